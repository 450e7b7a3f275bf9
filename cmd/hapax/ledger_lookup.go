package main

import (
	"errors"
	"fmt"

	"github.com/hapaxmq/hapax/ledger"
)

// ledgerLookup is hapax ledger lookup.
type ledgerLookup struct {
	ids
	JSON bool `name:"json" help:"Print a line of JSON for each id."`
}

func (*ledgerLookup) examples() string {
	return `  hapax ledger lookup seen/ 72d3162e-cc78-11e3-81ab-4c9367dc0958
  hapax ledger lookup seen/ --scope tenant-7 1001 1002 --json

The exit code is 4 if one of them is not remembered. A place in a file is the number
of a line, counted on if the file was ever read anew.

` + statesHelp
}

// Run looks ids up.
func (c *ledgerLookup) Run(w *world) error {
	l, info, err := w.stored(c.Dir, true)
	if err != nil {
		return err
	}
	return errors.Join(c.lookup(w, l, info), l.Close())
}

func (c *ledgerLookup) lookup(w *world, l *ledger.Ledger, info ledger.Info) error {
	all, err := c.fingerprints(l, info)
	if err != nil {
		return err
	}
	absent := 0
	known := newSightings(l, info)
	for _, id := range all {
		out, err := known.lookUp(w.ctx, id)
		if err != nil {
			return err
		}
		if out.State == isUnknown {
			absent++
		}
		if c.JSON {
			err = w.printJSON(out)
		} else {
			_, err = fmt.Fprintln(w.stdout, out)
		}
		if err != nil {
			return err
		}
	}
	return absentError(absent, len(all))
}

func absentError(absent, of int) error {
	if absent == 0 {
		return nil
	}
	return fmt.Errorf("%d of %d ids: %w", absent, of, errAbsent)
}
