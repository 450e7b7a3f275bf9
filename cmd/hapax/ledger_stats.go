package main

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/hapaxmq/hapax/ledger"
	"github.com/hapaxmq/hapax/uniq"
)

// ledgerStats is hapax ledger stats.
type ledgerStats struct {
	Dir  string `arg:"" help:"The ledger's directory."`
	JSON bool   `name:"json" help:"Print JSON."`
}

// ledgerState is what stats prints.
type ledgerState struct {
	Window   string         `json:"window"`
	Identity string         `json:"identity"`
	Scope    string         `json:"scope"`
	Digests  bool           `json:"digests"`
	Created  time.Time      `json:"created"`
	Live     int64          `json:"live"`      // identities remembered
	LiveCold int64          `json:"live_cold"` // of these, in cold files
	Evicted  int64          `json:"evicted_live"`
	Claims   int64          `json:"claims"`
	Memory   int64          `json:"memory_bytes"`
	Disk     int64          `json:"disk_bytes"`
	Sources  []ledgerSource `json:"sources"`

	Producers int64 `json:"producers"` // remembered by their numbers
}

// ledgerSource is an input with a position.
type ledgerSource struct {
	Source string     `json:"source"`
	Offset int64      `json:"offset"`
	Note   *uniq.Note `json:"note,omitempty"` // of hapax uniq

	// Unfinished: lines behind the offset may be remembered that are in no output.
	Unfinished bool `json:"unfinished,omitempty"`
}

// Run tells what the ledger holds.
func (c *ledgerStats) Run(w *world) error {
	l, info, err := w.stored(c.Dir, true)
	if err != nil {
		return err
	}
	err = c.print(w, stateOf(l, info))
	return errors.Join(err, l.Close())
}

func stateOf(l *ledger.Ledger, info ledger.Info) ledgerState {
	s := l.Stats()
	state := ledgerState{
		Window: info.Window.String(), Identity: info.Identity, Scope: info.Scope, Digests: info.Digests, Created: info.Created,
		Live: s.Live, LiveCold: s.LiveCold, Evicted: s.EvictedLive, Claims: s.Claims, Memory: s.Memory, Disk: s.Disk,
		Sources: []ledgerSource{}, Producers: s.Producers,
	}
	for _, p := range l.Checkpoints() {
		source := ledgerSource{Source: p.Source, Offset: p.Offset}
		if note, err := uniq.ParseNote(p.Note); err == nil {
			source.Note = &note
			source.Unfinished = !strings.HasPrefix(p.Source, outputPrefix) && (note.CutShort() || note.Left)
		}
		state.Sources = append(state.Sources, source)
	}
	return state
}

func (c *ledgerStats) print(w *world, s ledgerState) error {
	if c.JSON {
		return w.printJSON(s)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "identity    %s\nscope       %s\nwindow      %s\n", s.Identity, cmp.Or(s.Scope, "one for all"), s.Window)
	fmt.Fprintf(&b, "created     %s\nremembered  %s, of which %s on disk only\n", s.Created.Format(time.RFC3339), count(s.Live), count(s.LiveCold))
	fmt.Fprintf(&b, "claimed     %s\nmemory      %s\ndisk        %s\n", count(s.Claims), bytesText(s.Memory), bytesText(s.Disk))
	if s.Producers > 0 || strings.HasPrefix(s.Identity, "sequence:") {
		fmt.Fprintf(&b, "producers   %s, by their numbers\n", count(s.Producers))
	}
	if s.Evicted > 0 {
		fmt.Fprintf(&b, "gone early  %s\n", count(s.Evicted))
	}
	lengths := map[string]int64{}
	for _, source := range s.Sources {
		if source.Note != nil {
			for _, m := range source.Note.Outputs {
				lengths[m.Path] = max(lengths[m.Path], m.Length)
			}
		}
		if strings.HasPrefix(source.Source, outputPrefix) {
			continue
		}
		fmt.Fprintf(&b, "source      %s, done up to %d", source.Source, source.Offset)
		if source.Note != nil {
			fmt.Fprintf(&b, " (line %s%s)", count(source.Note.Line), ofPath(source.Note.Path))
		}
		if source.Unfinished {
			b.WriteString(", cut short: lines behind that may be remembered and in no output, until it is given again")
		}
		b.WriteByte('\n')
	}
	for _, path := range slices.Sorted(maps.Keys(lengths)) {
		fmt.Fprintf(&b, "output      %s, %s bytes\n", path, count(lengths[path]))
	}
	_, err := fmt.Fprint(w.stdout, b.String())
	return err
}

func ofPath(path string) string {
	if path == "" {
		return ""
	}
	return " of " + path
}
