package main

import (
	"encoding/json"
	"fmt"

	"github.com/hapaxmq/hapax/internal/vfs"
	"github.com/hapaxmq/hapax/ledger"
)

// ledgerVerify is hapax ledger verify.
type ledgerVerify struct {
	Dir  string `arg:"" help:"The ledger's directory."`
	JSON bool   `name:"json" help:"Print JSON."`
}

// Run reads every byte of a ledger that nobody has open.
func (c *ledgerVerify) Run(w *world) error {
	r, err := ledger.Verify(vfs.OS(), c.Dir)
	if err != nil {
		return err
	}
	if c.JSON {
		return json.NewEncoder(w.stdout).Encode(r)
	}
	state := "closed"
	if !r.Clean {
		state = "not closed since it was last opened"
	}
	_, err = fmt.Fprintf(w.stdout, "%d first copies in %d files, %d bytes, %s: no damage\n", r.Identities, r.Files, r.Bytes, state)
	return err
}
