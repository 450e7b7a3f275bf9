package main

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime"
	"time"

	"golang.org/x/term"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/audit"
	"github.com/hapaxmq/hapax/identity"
	"github.com/hapaxmq/hapax/internal/lines"
	"github.com/hapaxmq/hapax/uniq"
)

// auditCommand is hapax audit.
type auditCommand struct {
	ID        string `placeholder:"SPEC" default:"line" help:"What names a message, as for uniq. Default: line."`
	Scope     string `placeholder:"SPEC" help:"Where an identity must be unique, as for uniq."`
	EventTime string `placeholder:"PATH" help:"The JSON field with the time of a message, for ages in time."`
	Conflicts string `placeholder:"count|off" enum:"count,off" default:"count" help:"What to do with a conflict, a copy with another payload: count it apart, and leave it out of ages and windows (default); or off, do not compare payloads, so that every copy is a duplicate."`
	JSON      bool   `name:"json" help:"Print the report as JSON."`
	Worst     int    `placeholder:"N" default:"10" help:"How many of the identities with the most copies to list. Default: 10."`
	MaxLine   size   `placeholder:"SIZE" default:"64MiB" help:"The longest line taken, in bytes or as 512KiB, 64MiB, 1.5GiB (see hapax uniq --help). Default: 64MiB."`
	MaxMemory size   `placeholder:"SIZE" help:"Memory for what was seen, 40 bytes an identity. Default: three quarters of the machine's."`

	Files []string `arg:"" optional:"" name:"file" help:"Lines to read, also as .gz or .zst. None, or -: standard input."`
}

func (*auditCommand) examples() string {
	return `  hapax audit access.log
  hapax audit --id json:delivery --event-time received_at webhooks-*.jsonl.gz
  hapax audit --id content --json events.jsonl | jq '.ages[0].windows'

Ages and windows are those of duplicates. If each retry carries a time of its own,
copies are conflicts: --conflicts off counts them in. Windows are measured by the
time between event times, the count of messages, and the bytes of input:

  catches     this share of the duplicates, at least
  window      how long it must be; by count, in messages: a --last of that many
              identities reaches as far, and perhaps farther
  if renewed  how long if each copy starts it anew (--window-kind renewed)
  ids inside  the most that are in the window at once; where it misses copies,
              which come in as new, it is an estimate, with their share on top
  memory      for so many, all in memory
  if cold     if a ledger keeps all but the newest on disk
  disk        that a ledger takes

Lines without an identity or a time are counted, and a blank line is one of them.
Any other that is not the JSON which the identity or the time needs is an error.
`
}

// Run reports what duplicates there are.
func (c *auditCommand) Run(w *world) error {
	naming, err := c.naming()
	if err != nil {
		return err
	}
	if c.Worst < 1 {
		return usage("--worst %d: want 1 or more", c.Worst)
	}
	if err := w.checkFiles(c.Files, ""); err != nil {
		return err
	}
	namer, err := uniq.NewNamer(naming)
	if err != nil {
		return err
	}
	a := audit.New(audit.Options{Memory: memoryFor(c.MaxMemory), Worst: c.Worst})
	var progress uniq.Progress
	watched := w.watch(&progress, false)
	err = c.read(w, namer, a, &progress)
	watched()
	if err != nil {
		return full(err, "raise --max-memory, or audit a part")
	}
	report := a.Report()
	if c.JSON {
		encoder := json.NewEncoder(w.stdout)
		encoder.SetIndent("", "  ")
		return encoder.Encode(report)
	}
	return report.WriteText(w.stdout, w.width())
}

// width is how many columns standard output has; 80 if nobody knows.
func (w *world) width() int {
	if f, ok := w.stdout.(*os.File); ok {
		if columns, _, err := term.GetSize(int(f.Fd())); err == nil && columns > 40 {
			return columns
		}
	}
	return 80
}

func (c *auditCommand) naming() (n uniq.Naming, err error) {
	if n.Identity, err = parseID(c.ID); err != nil {
		return n, err
	}
	if n.Scope, n.Within, err = parseScope(c.Scope); err != nil {
		return n, err
	}
	if c.EventTime != "" {
		if n.EventTime, err = uniq.ParseEventTime(c.EventTime); err != nil {
			return n, usage("--event-time: %w", err)
		}
		n.EventTime.Optional = true
	}
	var secret [16]byte
	if _, err := rand.Read(secret[:]); err != nil {
		return n, err
	}
	n.Hasher = identity.NewHasher(secret).Scoped
	n.Missing = identity.PassOnMissing
	n.Digests = c.Conflicts != "off" && !conflictFree(n.Identity)
	n.KeepIDs = true
	return n, nil
}

// read has the audit look at all lines.
func (c *auditCommand) read(w *world, namer *uniq.Namer, a *audit.Audit, progress *uniq.Progress) error {
	o := lines.Options{Workers: runtime.GOMAXPROCS(0), MaxLine: int(c.MaxLine)}
	r := lines.Start(w.ctx, w.inputs(c.Files, nil), o, namer.Name)
	defer r.Close()
	for {
		chunk, err := r.Next(w.ctx)
		if chunk != nil {
			if err := observe(a, namer, chunk); err != nil {
				return err
			}
			progress.Add(uniq.Stats{Read: int64(len(chunk.Ends)), Bytes: int64(len(chunk.Text))})
			r.Release(chunk)
		}
		if errors.Is(err, lines.ErrEnd) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// observe adds the lines of a chunk to the audit.
func observe(a *audit.Audit, namer *uniq.Namer, c *uniq.Chunk) error {
	without := c.Notes.Without
	entry := 0
	for i := range c.Ends {
		o := audit.Observation{
			Size:     int64(int(c.Ends[i]) - c.Start(i)),
			Position: hapax.Position{Source: c.Input.Name, Offset: c.Line + int64(i) + 1},
		}
		var at int64
		if len(without) > 0 && int(without[0]) == i {
			without, o.Missing = without[1:], true
			at, _ = namer.Time(c.Value(i)) // a blank line has none
		} else {
			e := &c.Notes.Entries[entry]
			o.Fingerprint, o.Digest, at = e.Fingerprint, e.Digest, e.Time
			o.ID = readable(c.Notes.ID(entry))
			entry++
		}
		if namer.EventTime != nil && at != uniq.NoTime {
			o.Time = time.Unix(0, at)
		}
		if err := a.Add(o); err != nil {
			return fmt.Errorf("%s: %w", c.Input.At(c.Line+int64(i)+1), err)
		}
	}
	return nil
}

// readable is what people can read of an identity: its parts are led by control
// characters and by lengths of eight bytes.
func readable(id []byte) []byte {
	clean := true
	for _, b := range id {
		clean = clean && b >= ' '
	}
	if clean {
		return id
	}
	var text []byte
	for i := 0; i < len(id); i++ {
		if rest := id[i:]; len(rest) > 8 && binary.BigEndian.Uint64(rest) < 1<<32 {
			i += 7
			continue
		}
		if id[i] >= ' ' {
			text = append(text, id[i])
		} else if len(text) > 0 && text[len(text)-1] != ' ' {
			text = append(text, ' ')
		}
	}
	return text
}
