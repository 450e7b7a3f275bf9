package brokertest

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// Mutant is hapax with a fault planted into a copy of its source.
type Mutant struct {
	Name  string
	Edits []Edit
}

// Edit replaces a text that stands in a file once.
type Edit struct{ File, Old, New string }

// Build builds the mutant of the module in root as exe, which is in a directory that
// takes the copies too.
func (m Mutant) Build(ctx context.Context, root, exe string) error {
	root, err := filepath.Abs(root) // what is to be replaced is known by that
	if err != nil {
		return err
	}
	texts, err := m.Plant(root)
	if err != nil {
		return err
	}
	replaced := map[string]string{}
	for file, text := range texts {
		to := fmt.Sprintf("%s.%d.go", exe, len(replaced))
		if err := os.WriteFile(to, []byte(text), 0o600); err != nil {
			return err
		}
		replaced[filepath.Join(root, file)] = to
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replaced})
	if err != nil {
		return err
	}
	if err := os.WriteFile(exe+".json", overlay, 0o600); err != nil {
		return err
	}
	c := exec.CommandContext(ctx, "go", "build", "-overlay", exe+".json", "-o", exe, "./cmd/hapax")
	c.Dir = root
	if out, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("build %q: %w\n%s", m.Name, err, out)
	}
	return nil
}

// Plant gives the mutant's files, by their paths in the module in root.
func (m Mutant) Plant(root string) (texts map[string]string, err error) {
	texts = map[string]string{}
	for _, e := range append(slices.Clone(m.Edits), slowDisk()) {
		text, changed := texts[e.File]
		if !changed {
			b, err := os.ReadFile(filepath.Join(root, e.File))
			if err != nil {
				return nil, fmt.Errorf("plant %q: %w", m.Name, err)
			}
			text = string(b)
		}
		if n := strings.Count(text, e.Old); n != 1 {
			return nil, fmt.Errorf("plant %q: in %s it stands %d times, and should once: %s", m.Name, e.File, n, e.Old)
		}
		texts[e.File] = strings.Replace(text, e.Old, e.New, 1)
	}
	return texts, nil
}

// slowDisk makes a sync take as long as it does on most disks. So there is a while
// between a write and its sync which a kill may hit.
func slowDisk() Edit {
	return Edit{
		"internal/vfs/os_linux.go",
		"func syncData(f *os.File) error {", "func syncData(f *os.File) error {\n\t_ = unix.Nanosleep(&unix.Timespec{Nsec: 4_000_000}, nil)",
	}
}

// Sound is hapax on the slow disk of the mutants, without a fault.
func Sound() Mutant { return Mutant{Name: "no fault"} }

// Mutants have one fault each, which a course must find.
func Mutants() []Mutant { return slices.Concat(ofRecords(), ofTransactions(), ofMoves(), ofWindows()) }

// Unsynced are mutants that a trace must show: kill -9 loses nothing that was written,
// synced or not.
func Unsynced() []Mutant {
	return []Mutant{
		{"nothing is synced", []Edit{{
			"internal/vfs/os_linux.go", "if failed = unix.Fdatasync(int(fd)); failed != unix.EINTR {", "if failed = nil; true {",
		}}},
		ofRecords()[0],
		ofRecords()[1],
	}
}

// ofRecords are faults in what becomes of records.
func ofRecords() []Mutant {
	return []Mutant{
		{"records are acknowledged before the sync", []Edit{{
			"broker/00_produce.go", "if err := p.b.wal.Sync(p.end); err != nil {", "p.b.wal.Want(p.end)\n\t\tif err := error(nil); err != nil {",
		}}},
		{"a duplicate is acknowledged before its original is durable", []Edit{{
			"broker/partition/partition.go", "LogEnd: v.First.Position", "LogEnd: 0",
		}}},
		{"duplicates are appended", []Edit{{
			"broker/producer/table.go", "if v := p.check(b); v != (Verdict{}) {", "if v := p.check(b); v.Code == code.InvalidProducerEpoch {",
		}}},
		{"duplicates are told offset 0", []Edit{{
			"broker/partition/partition.go", "return Appended{Base: v.First.Offset,", "return Appended{Base: 0,",
		}}},
		{"the high watermark moves before the sync", []Edit{{
			"broker/partition/partition.go", "if !ok || a.log > synced {", "if !ok || a.log > synced+1<<30 {",
		}}},
		{"producers are not known after a restart", []Edit{{
			"broker/partition/snapshot.go", "wrote(p.producers, &h, producer.Place{Offset: h.BaseOffset, Time: now})", "_ = now",
		}}},
		{"compaction drops the last record of a key", []Edit{{
			"broker/compact/latest.go", "return ok && last > offset", "return ok && last >= offset",
		}}},
		{"a fetch begins behind the batch that holds its offset", []Edit{{
			"broker/partition/index.go", "if !yield(b.extent(i)) {", "if b.extent(i).Base < offset {\n\t\t\t\tcontinue\n\t\t\t}\n\t\t\tif !yield(b.extent(i)) {",
		}}},
	}
}

// ofTransactions are faults in what becomes of transactions.
func ofTransactions() []Mutant {
	return []Mutant{
		{"ends of transactions are answered before the sync", []Edit{{
			"broker/conn.go", "fill(b.wal.Sync(end))", "b.wal.Want(end)\n\t\tfill(nil)",
		}}},
		{"the last stable offset is ignored", []Edit{{
			"broker/partition/read.go", "if committed {\n\t\treturn p.stable()", "if false {\n\t\treturn p.stable()",
		}}},
		{"the last stable offset moves before the sync", []Edit{{
			"broker/producer/table.go", "if first != None && at.Position > synced {", "if false {",
		}}},
		{"readers are told of no aborted transactions", []Edit{{
			"broker/partition/read.go", "r.Aborted = p.aborted.between(", "_ = p.aborted.between(",
		}}},
		{"aborted transactions are not known after a restart", []Edit{{
			"broker/partition/end.go", "p.aborted = append(p.aborted, a)", "if p.log.wal != nil {\n\t\tp.aborted = append(p.aborted, a)\n\t}",
		}}},
		{"epochs fence nobody", []Edit{{
			"broker/txn/coordinator.go", "case e.producer != p:", "case false:",
		}, {
			"broker/producer/table.go", "case b.Epoch < p.epoch:", "case false:",
		}}},
		{"a successor begins without ending what is open", []Edit{{
			"broker/txn/init.go", "if !e.isOpen() {", "if true {",
		}, {
			"broker/txn/apply.go", "func (e *entry) heldNext(event *Event) error {\n\tif e.isOpen() {", "func (e *entry) heldNext(event *Event) error {\n\tif false {",
		}}},
		{"the marker of one partition is missing", []Edit{{
			"broker/partition/end.go", "p == nil || p.dropped {\n\t\t\tcontinue", "p == nil || p.dropped || i == 2 {\n\t\t\tcontinue",
		}}},
		{"one partition is ended the other way", []Edit{{
			"broker/partition/end.go", "m.Offset, m.LeaderEpoch = p.end, LeaderEpoch\n", "m.Offset, m.LeaderEpoch = p.end, LeaderEpoch\n\t\tif i == 2 {\n\t\t\tm.Commit = false\n\t\t}\n",
		}}},
		{"offsets of groups are not recovered with their transaction", []Edit{{
			"broker/transactions.go", "t.endGroups(event)\n\treturn t.c.Apply(event)", "return t.c.Apply(event)",
		}}},
		{"open transactions are not known after a restart", []Edit{{
			"broker/partition/snapshot.go", "wrote(p.producers, &h, producer.Place{Offset: h.BaseOffset, Time: now})", "h.Attributes &^= batch.Transactional\n\twrote(p.producers, &h, producer.Place{Offset: h.BaseOffset, Time: now})",
		}}},
	}
}

// ofMoves are faults in what becomes of records that are moved: compacted, or put
// together from small batches, or out of a file that is mostly dead.
func ofMoves() []Mutant {
	return []Mutant{
		{"moved records have other offsets", []Edit{{
			"broker/partition/keep.go",
			"at, err := p.log.Append(FrameKept, head, k.Batches)",
			"if len(k.Batches) > 7 {\n\t\tk.Batches[7]++\n\t}\n\tat, err := p.log.Append(FrameKept, head, k.Batches)",
		}}},
		{"moved records are read in the file where they were", []Edit{{
			"broker/partition/keep.go", "run.File, run.At = at.File, at.Offset+int64(len(head))", "run.File, run.At = k.First.File, k.First.At",
		}}},
		{"files go with moved records in them", []Edit{{
			"broker/partition/index.go",
			"files[b.file] += b.bytes", "if b.entries[0].length&runBit == 0 {\n\t\t\tfiles[b.file] += b.bytes\n\t\t}",
		}}},
		{"moved batches end with the first of them", []Edit{{
			"broker/partition/keep.go",
			"run.Last, run.Run = h.LastOffset(), n > 0", "if run.Run = n > 0; n == 0 {\n\t\t\trun.Last = h.LastOffset()\n\t\t}",
		}}},
		{"batches that compaction makes have wrong checksums", []Edit{{
			"broker/compact/filter.go",
			"dst, err := f.encoder.Append(dst, h, f.kept)", "at := len(dst)\n\tdst, err := f.encoder.Append(dst, h, f.kept)\n\tdst[at+17]++",
		}}},
		{"compaction takes aborted records for committed ones", []Edit{{
			"broker/compaction.go", "aborted.Add(a.Producer, compact.Span{First: a.First, Last: a.Last})", "_ = a",
		}}},
		{"compaction goes beyond the last stable offset", []Edit{{
			"broker/partition/dirty.go", "limit, left, n := p.limit(true),", "limit, left, n := p.limit(false),",
		}}},
	}
}
