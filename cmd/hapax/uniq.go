package main

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/identity"
	"github.com/hapaxmq/hapax/internal/lines"
	"github.com/hapaxmq/hapax/ledger"
	"github.com/hapaxmq/hapax/uniq"
	"github.com/hapaxmq/hapax/window"
)

// The memory that a ledger may be given.
const (
	minMemory = 4 << 20
	maxMemory = 1 << 44
)

// uniqCommand is hapax uniq.
type uniqCommand struct {
	ID        string `placeholder:"SPEC" default:"line" help:"What names a message: line, json:PATH[,PATH…], content, content:-PATH[,PATH…], content:+PATH[,PATH…], cloudevents, sequence:PRODUCER_PATH,NUMBER_PATH[,EPOCH_PATH], or several joined by + (together) or | (the first that is there). Default: line."`
	Scope     string `placeholder:"SPEC" help:"Where an identity must be unique: a SPEC as for --id, or =NAME for one scope by that name."`
	Window    span   `placeholder:"DUR" help:"How long an identity is remembered, such as 90s, 24h or 7d. Default: for ever."`
	Last      int64  `placeholder:"N" help:"Until how many other identities came it is remembered."`
	EventTime string `placeholder:"PATH" help:"Measure --window by the time in this JSON field, RFC 3339 or a number of s, ms, µs or ns since 1970, instead of by the clock. JSON without it is an error, whatever --missing says. Lines older than the window reaches back pass, and are counted as late."`

	WindowKind string `placeholder:"KIND" enum:"first,renewed,tumbling" default:"first" help:"first: the window runs from the first copy (default); renewed: from the last one; tumbling: it is cut into aligned pieces."`

	Ledger     string `placeholder:"DIR" help:"Remember over runs, in this directory."`
	Out        string `placeholder:"FILE" help:"Write to FILE instead of standard output. With --ledger, FILE has each message exactly once even if runs are killed at any moment and started again: after a kill FILE is cut to the last checkpoint, and the inputs go on behind it. What somebody else appended is not cut off once a run has ended: the next one is refused."`
	Duplicates string `placeholder:"FILE" help:"Write duplicates to FILE instead of dropping them."`
	Conflicts  string `placeholder:"drop|pass|error|off|FILE" help:"What to do with a conflict, a line with the identity of an earlier one and another payload: drop it, with a warning (default); let it pass; stop with exit code 3; off, do not compare payloads (default for line and content, where there are no conflicts); or write it to FILE."`
	LeaveInput bool   `help:"With --ledger: go on though a run that was cut short had begun an input that is not given again, or though standard input begins like the one that an earlier run was reading and is another. Lines of that one which are in no output then count as duplicates, until it is given again, or for good if another took its place."`
	Missing    string `placeholder:"error|content|pass" enum:"error,content,pass" default:"error" help:"What to do with a line that has no identity: stop (default), name it by its content, or let it pass."`
	Stale      string `placeholder:"error|pass|drop" enum:"error,pass,drop" default:"error" help:"What to do with a line of a sequence whose number lies 1024 or more below its producer's highest, or whose epoch is lower than its producer's, so that nothing tells whether it is a copy: stop (default), let it pass, or drop it."`
	Mark       bool   `help:"Let duplicates through, marked: a JSON object gets a last member \"hapax\":\"duplicate\" (or \"conflict\"), another line a tab and the word."`

	Stats     bool `help:"Print to standard error how many lines were read, unique (first copies of an id), duplicates, conflicts and without id (let pass by --missing pass)."`
	JSON      bool `name:"json" help:"Print the statistics as JSON."`
	MaxLine   size `placeholder:"SIZE" default:"64MiB" help:"The longest line taken; a longer one is an error. Default: 64MiB."`
	MaxMemory size `placeholder:"SIZE" help:"Memory for identities, some 20 bytes each. When it is used up a ledger in a directory goes on from disk, at 2.5 bytes of memory each, and without one it is an error. Default: three quarters of the machine's."`

	Checkpoint size `hidden:"" default:"64MiB" help:"Input between two checkpoints."`

	Files []string `arg:"" optional:"" name:"file" help:"Lines to read, also as .gz or .zst. None, or -: standard input."`
}

func (*uniqCommand) examples() string {
	return `  hapax uniq access.log > unique.log
  hapax uniq --id json:order.id --duplicates again.jsonl orders-*.jsonl.gz
  hapax uniq --id json:tenant,id --window 24h --event-time created_at events.jsonl
  hapax uniq --id content:-received_at,attempt webhooks.jsonl
  hapax uniq --id cloudevents --ledger seen/ --out events.jsonl new/*.jsonl

PATH names the fields down to a value with dots between them, and elements of
arrays by number: order.id, items.0.sku. A backslash takes the next character as
part of a name: a\.b. In files and pipes messages are lines: they have neither key
nor headers, so the kinds "key" and "header:NAME" are for programs.

A line that is not the JSON which --id, --scope or --event-time needs stops the run
before it, with --missing pass and content too: those are about JSON that lacks the
field, and blank lines, which both let pass.

A SIZE is a number of bytes, or a number with KiB, MiB, GiB or TiB (K, M, G and T are
the same), or with KB, MB, GB or TB: 4096, 64MiB, 1.5GB.

A line ends in "\n"; a "\r" before it is part of the line. Bytes are kept as they
came, and the order too.

The size of plain files tells how much to make room for. Through a pipe it takes
up to three times as long as with their names, or with "<".

With --ledger, a file that has grown since an earlier run is read on from where
that one ended, whatever its name is now. An input that was not read to its end
because of a kill must be given again, standard input from its start, and what was
done of it is left out. A run without it is refused, as other inputs may repeat
lines that are remembered and were cut from the output; --leave-input takes them
all the same. So do not pipe in what cannot be had again, such as a consumer that
goes on from a position of its own: let it write a file, and give hapax that.

Without --out nothing can tell whether the output arrived. A second run prints
only what is new; one that follows a kill may print again up to a second's worth
of what was printed before.
`
}

// Run lets each line through once.
func (c *uniqCommand) Run(w *world) error {
	o, bounds, err := c.options()
	if err != nil {
		return err
	}
	outputs := c.outputFiles()
	if c.Out == "" {
		outputs = append(outputs, "") // standard output
	}
	if err := w.checkFiles(c.Files, outputs...); err != nil {
		return err
	}
	if _, err := os.Stat(c.Ledger); c.Ledger != "" && errors.Is(err, fs.ErrNotExist) {
		if err := new(positions).checkOutputs(c.outputFiles()); err != nil { // before there is a ledger
			return err
		}
	}
	expect, err := c.expect(w, o.Naming)
	if err != nil {
		return err
	}
	closed := closedCleanly(c.Ledger)
	settings := w.ledgerOptions(memoryFor(c.MaxMemory))
	settings.Window, settings.Expect, settings.Durability = bounds, expect, ledger.Written
	if !closed {
		// The first run is mostly the long one, and waits for the disk. To write an
		// image of the table as well would take as long as the next run takes to
		// read the log instead.
		settings.QuickStart = -1
	}
	settings.Identity, settings.Scope, settings.Digests = o.Naming.Identity.String(), c.Scope, o.Naming.Digests
	if o.Naming.Numbered {
		settings.Sequences.Idle = bounds.Time
	}
	if err := c.sameFlags(settings); err != nil {
		return err
	}
	l, err := ledger.Open(c.Ledger, settings)
	if err != nil {
		return full(err, c.whenFull(o.Naming))
	}
	o.Ledger = l
	return full(errors.Join(c.run(w, l, closed, o), l.Close()), c.whenFull(o.Naming))
}

// whenFull is what to do when no more can be remembered.
func (c *uniqCommand) whenFull(n uniq.Naming) string {
	switch {
	case n.Numbered && c.Window == 0 && c.Ledger == "":
		return "raise --max-memory, or let producers that send no more be forgotten, by --window"
	case c.Ledger == "" && !n.Numbered:
		return "raise --max-memory, bound what is remembered by --window or --last, or keep it in a --ledger"
	}
	return "raise --max-memory"
}

// closedCleanly tells whether the last run with a ledger got as far as closing
// it: that leaves a file by this name, which opening takes away. A ledger that was
// never opened has one too.
func closedCleanly(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, "clean"))
	return dir != "" && err == nil
}

// expect is how many identities to make room for at once, 0 if nothing tells.
func (c *uniqCommand) expect(w *world, n uniq.Naming) (int64, error) {
	if c.EventTime != "" || n.Numbered {
		return 0, nil
	}
	n.Hasher, n.Digests = identity.NewHasher([16]byte{}).Scoped, false
	namer, err := uniq.NewNamer(n)
	if err != nil {
		return 0, err
	}
	expect := w.expect(c.Files, namer)
	if c.Last > 0 {
		expect = min(expect, c.Last)
	}
	return expect, nil
}

func (c *uniqCommand) run(w *world, l *ledger.Ledger, closed bool, o uniq.Options) error {
	var place func(*opened, *lines.Input) error
	var p *positions
	if c.Ledger != "" {
		var err error
		if p, err = readPositions(l, w.stderr); err != nil {
			return err
		}
		p.leave = c.LeaveInput
		if err := c.agree(w, p, closed); err != nil {
			return err
		}
		place = func(o *opened, in *lines.Input) error { return p.place(w.ctx, o, in) }
	}
	var files outputs
	err := c.openOutputs(w, &files, p, &o)
	if err == nil && p != nil {
		err = errors.Join(p.keepOutputs(w.ctx), l.Sync(w.ctx)) // before anything is in them
	}
	if err != nil {
		return errors.Join(err, files.close())
	}
	o.Progress = new(uniq.Progress)
	o.Warn = func(text string) { w.stderr.say("warning: %s", text) }
	watched := w.watch(o.Progress, c.Out == "")
	start := time.Now()
	err = uniq.Run(w.ctx, w.inputs(c.Files, place), o)
	watched()
	if p != nil {
		p.warnUnfinished()
		err = errors.Join(err, p.settle(w.ctx, o.Unique, o.Duplicates, o.Conflicts))
		if err == nil {
			err = finishPipes(context.WithoutCancel(w.ctx), l, w.stderr)
		}
	}
	err = errors.Join(err, files.close())
	return errors.Join(c.report(w, o.Progress.Stats(), time.Since(start)), err)
}

// agree demands of inputs and outputs that they fit what earlier runs left.
func (c *uniqCommand) agree(w *world, p *positions, closed bool) error {
	if err := p.checkOutputs(c.outputFiles()); err != nil {
		return err
	}
	if closed {
		if err := p.leavePipes(w.ctx); err != nil {
			return err
		}
	}
	if err := p.checkUnfinished(w.ctx, c.Files); err != nil {
		return err
	}
	return p.tellNew(c.Out)
}

// options turns flags into options, all but the ledger and the outputs.
func (c *uniqCommand) options() (o uniq.Options, w hapax.Window, err error) {
	for _, name := range c.outputFiles() {
		if name == "-" {
			return o, w, usage("-: that is no file: without --out, standard output is written to; ./- is a file of that name")
		}
	}
	o = uniq.Options{MaxLine: int(c.MaxLine), Mark: c.Mark, CheckpointBytes: int64(c.Checkpoint)}
	if o.Naming, err = c.naming(); err != nil {
		return o, w, err
	}
	switch c.Conflicts {
	case "pass":
		o.OnConflict = uniq.Pass
	case "error":
		o.OnConflict = uniq.Stop
	}
	if c.Mark && c.Duplicates != "" {
		return o, w, usage("--mark lets duplicates through, and --duplicates takes them away: choose one")
	}
	if c.LeaveInput && c.Ledger == "" {
		return o, w, usage("--leave-input goes with --ledger: without one there is nothing that an earlier run left")
	}
	if c.Stale != "error" && !o.Naming.Numbered {
		return o, w, usage("--stale %s goes with --id sequence:…, and not with --id %s: only numbers can be too low", c.Stale, c.ID)
	}
	if c.Last < 0 {
		return o, w, usage("--last %d: want 1 or more", c.Last)
	}
	if c.MaxMemory != 0 && (c.MaxMemory < minMemory || c.MaxMemory > maxMemory) {
		return o, w, usage("--max-memory: want 4MiB to 16TiB")
	}
	o.OnStale = map[string]uniq.Action{"error": uniq.Stop, "pass": uniq.Pass, "drop": uniq.Drop}[c.Stale]
	names := map[string]bool{}
	for _, name := range c.outputFiles() {
		if names[name] {
			return o, w, usage("%s is named for two outputs", name)
		}
		names[name] = true
	}
	w = hapax.Window{Time: time.Duration(c.Window), Count: c.Last, EventTime: c.EventTime != ""}
	w.Unbounded = w.Time == 0 && w.Count == 0
	if w.Kind, err = hapax.ParseWindowKind(c.WindowKind); err == nil {
		err = w.Validate()
	}
	switch {
	case o.Naming.Numbered && w.Time != 0 && (w.Time < time.Second || w.Time > window.MaxIdle):
		err = usage("--window %v: for --id %s want 1s to %v", w.Time, c.ID, window.MaxIdle)
	case w.Time != 0 && w.Time < time.Millisecond:
		err = usage("--window %v: want 1ms or more", w.Time)
	case c.EventTime != "" && c.Window == 0:
		err = usage("--event-time needs --window")
	case w.Kind != hapax.First && w.Unbounded:
		err = usage("--window-kind %s needs --window or --last", c.WindowKind)
	case err != nil:
		err = usage("%w", err)
	}
	return o, w, err
}

func (c *uniqCommand) naming() (n uniq.Naming, err error) {
	if n.Identity, err = parseID(c.ID); err != nil {
		return n, err
	}
	n.Numbered = n.Identity.IsSequence()
	if n.Numbered && (c.Last != 0 || c.EventTime != "" || c.WindowKind != "first" || c.Missing == "content" || c.Conflicts != "" && c.Conflicts != "off") {
		return n, usage("--id %s keeps no ids: it goes with --window, and not with --last, --event-time, --window-kind, --conflicts or --missing content", c.ID)
	}
	if n.Scope, n.Within, err = parseScope(c.Scope); err != nil {
		return n, err
	}
	if n.Missing, err = identity.ParseMissingPolicy(c.Missing); err != nil {
		return n, usage("--missing: %w", err)
	}
	if c.EventTime != "" {
		if n.EventTime, err = uniq.ParseEventTime(c.EventTime); err != nil {
			return n, usage("--event-time: %w", err)
		}
	}
	switch c.Conflicts {
	case "off":
	case "":
		n.Digests = !conflictFree(n.Identity) && !n.Numbered
	default:
		n.Digests = true
	}
	return n, nil
}

// parseID reads --id.
func parseID(text string) (*identity.Extractor, error) {
	x, err := identity.Parse(text)
	switch {
	case err != nil:
		return nil, usage("--id: %w", err)
	case x.NeedsEnvelope():
		return nil, usage("--id %s: lines have neither key nor headers", text)
	}
	return x, nil
}

// parseScope reads --scope: an identity of each message, or "=" and a name.
func parseScope(text string) (*identity.Extractor, hapax.Scope, error) {
	if name, constant := strings.CutPrefix(text, "="); constant || text == "" {
		return nil, hapax.Scope(name), nil
	}
	x, err := identity.Parse(text)
	if err != nil {
		return nil, "", usage("--scope: %w", err)
	}
	if x.NeedsEnvelope() {
		return nil, "", usage("--scope %s: lines have neither key nor headers", text)
	}
	return x, "", nil
}

// conflictFree tells whether the identity is the payload, or what counts of it.
func conflictFree(x *identity.Extractor) bool {
	spec := x.String()
	return strings.HasPrefix(spec, "line") || strings.HasPrefix(spec, "content")
}

// conflictFile is the file that --conflicts names, if it does.
func (c *uniqCommand) conflictFile() string {
	switch c.Conflicts {
	case "drop", "pass", "error", "off":
		return ""
	}
	return c.Conflicts
}

// outputFiles are the files to write to, as they were named.
func (c *uniqCommand) outputFiles() []string {
	return slices.DeleteFunc([]string{c.Out, c.Duplicates, c.conflictFile()}, func(name string) bool { return name == "" })
}

func (c *uniqCommand) openOutputs(w *world, files *outputs, p *positions, o *uniq.Options) error {
	o.Unique = &uniq.Output{Name: "standard output", File: pipe{w.stdout}}
	if info := regular(w.stdout); info != nil && c.Out == "" {
		files.taken = append(files.taken, info)
	}
	for _, f := range []struct {
		name string
		to   **uniq.Output
	}{{c.Out, &o.Unique}, {c.Duplicates, &o.Duplicates}, {c.conflictFile(), &o.Conflicts}} {
		if f.name == "" {
			continue
		}
		var err error
		if *f.to, err = files.create(f.name, f.to == &o.Unique, p); err != nil {
			return err
		}
	}
	return nil
}

// memoryFor is what a user allows, or most of what there is.
func memoryFor(s size) int64 {
	if s > 0 {
		return int64(s)
	}
	return ram() / 4 * 3
}
