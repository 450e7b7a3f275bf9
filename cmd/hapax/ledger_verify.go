package main

import (
	"errors"
	"fmt"

	"github.com/hapaxmq/hapax/ledger"
)

// ledgerVerify is hapax ledger verify.
type ledgerVerify struct {
	Dir  string `arg:"" help:"The ledger's directory."`
	JSON bool   `name:"json" help:"Print JSON."`
}

// Run checks a ledger.
func (c *ledgerVerify) Run(w *world) error {
	l, _, err := w.stored(c.Dir, true)
	if err != nil {
		return err
	}
	return errors.Join(c.verify(w, l), l.Close())
}

func (c *ledgerVerify) verify(w *world, l *ledger.Ledger) error {
	n := 0
	for _, err := range l.All() {
		if err != nil {
			return err
		}
		n++
	}
	_, err := fmt.Fprintf(w.stdout, "%d identities, no damage\n", n)
	return err
}
