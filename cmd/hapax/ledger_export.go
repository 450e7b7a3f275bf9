package main

import (
	"bufio"
	"encoding/json"
	"errors"

	"github.com/hapaxmq/hapax/ledger"
)

// ledgerExport is hapax ledger export.
type ledgerExport struct {
	Dir  string `arg:"" help:"The ledger's directory."`
	JSON bool   `name:"json" help:"Print JSON lines, which it does anyway."`
}

func (*ledgerExport) examples() string {
	return `  hapax ledger export seen/ | jq -r .fingerprint

` + statesHelp
}

// Run prints every identity.
func (c *ledgerExport) Run(w *world) error {
	l, info, err := w.stored(c.Dir, true)
	if err != nil {
		return err
	}
	err = export(w, l, info)
	if n := l.Stats().Producers; err == nil && n > 0 {
		w.stderr.say("warning: %s producers are remembered by their numbers, and are not printed: look one up with hapax ledger lookup", count(n))
	}
	return errors.Join(err, l.Close())
}

func export(w *world, l *ledger.Ledger, info ledger.Info) error {
	out := bufio.NewWriterSize(w.stdout, 64<<10)
	encoder := json.NewEncoder(out)
	known := newSightings(l, info)
	for s, err := range l.All() {
		if err == nil {
			err = w.ctx.Err()
		}
		if err == nil {
			err = encoder.Encode(known.of("", s, true))
		}
		if err != nil {
			return err
		}
	}
	return out.Flush()
}
