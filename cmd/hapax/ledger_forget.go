package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/hapaxmq/hapax/ledger"
)

// ledgerForget is hapax ledger forget.
type ledgerForget struct {
	ids
	JSON bool `name:"json" help:"Print a line of JSON for each id."`
}

func (*ledgerForget) examples() string {
	return `  hapax ledger forget seen/ order-1001

The next copy passes as a first one. The exit code is 4 if one of them was not
remembered.
`
}

// Run forgets ids.
func (c *ledgerForget) Run(w *world) error {
	l, info, err := w.stored(c.Dir, false)
	if err != nil {
		return err
	}
	return errors.Join(c.forget(w, l, info), l.Close())
}

func (c *ledgerForget) forget(w *world, l *ledger.Ledger, info ledger.Info) error {
	if strings.HasPrefix(info.Identity, "sequence:") {
		return usage("the ledger keeps numbers (%s), of which none can be forgotten by itself", info.Identity)
	}
	all, err := c.fingerprints(l, info)
	if err != nil {
		return err
	}
	absent := 0
	for _, id := range all {
		known, err := l.Forget(w.ctx, id.fingerprint)
		if err != nil {
			return err
		}
		word := "forgotten"
		if !known {
			absent++
			word = "not remembered"
		}
		if c.JSON {
			err = w.printJSON(struct {
				ID          string `json:"id"`
				Fingerprint string `json:"fingerprint"`
				Forgotten   bool   `json:"forgotten"`
			}{id.text, id.fingerprint.String(), known})
		} else {
			_, err = fmt.Fprintf(w.stdout, "%s: %s\n", id.text, word)
		}
		if err != nil {
			return err
		}
	}
	return absentError(absent, len(all))
}
