package brokertest

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
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
	replaced := map[string]string{}
	for n, e := range append(m.Edits, slowDisk()) {
		path := filepath.Join(root, e.File)
		from := path
		if copied, again := replaced[path]; again {
			from = copied
		}
		text, err := os.ReadFile(from)
		if err != nil {
			return fmt.Errorf("plant %q: %w", m.Name, err)
		}
		if n := strings.Count(string(text), e.Old); n != 1 {
			return fmt.Errorf("plant %q: %s has %d times, and should have once: %s", m.Name, e.File, n, e.Old)
		}
		to := fmt.Sprintf("%s.%d.go", exe, n)
		if err := os.WriteFile(to, []byte(strings.Replace(string(text), e.Old, e.New, 1)), 0o600); err != nil {
			return err
		}
		replaced[path] = to
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
func Mutants() []Mutant { return append(ofRecords(), ofTransactions()...) }

// ofRecords are faults in what becomes of records.
func ofRecords() []Mutant {
	return []Mutant{
		{"records are acknowledged before the sync", []Edit{{
			"broker/00_produce.go", "if err := p.b.wal.Sync(p.end); err != nil {", "p.b.wal.Want(p.end)\n\t\tif err := error(nil); err != nil {",
		}}},
		{"a duplicate is acknowledged before its original is durable", []Edit{{
			"broker/partition/partition.go", "LogEnd: v.First.Position}, nil", "LogEnd: 0}, nil",
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
			"broker/partition/snapshot.go", "if h.Idempotent() {", "if false {",
		}}},
		{"a fetch begins behind the batch that holds its offset", []Edit{{
			"broker/partition/index.go", "i := sort.Search(len(extents), func(i int) bool { return extents[i].Last >= offset })",
			"i := sort.Search(len(extents), func(i int) bool { return extents[i].Base >= offset })",
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
			"broker/partition/snapshot.go", "p.producers.Apply(sender(&h),", "b := sender(&h)\n\t\tb.Transactional = false\n\t\tp.producers.Apply(b,",
		}}},
	}
}
