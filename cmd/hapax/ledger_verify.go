package main

import (
	"fmt"
	"time"

	"github.com/hapaxmq/hapax/internal/vfs"
	"github.com/hapaxmq/hapax/ledger"
)

// ledgerVerify is hapax ledger verify.
type ledgerVerify struct {
	Dir  string `arg:"" help:"The ledger's directory."`
	JSON bool   `name:"json" help:"Print JSON."`
}

func (*ledgerVerify) examples() string {
	return `  hapax ledger verify seen/
  hapax ledger verify --json seen/

Nobody may have the ledger open. The exit code is 1 if anything is damaged or
missing; the message names the file and says what to do. Of a ledger that was
not closed, as after a crash, what was written last may have been cut off
without a trace.
`
}

// verified is a [ledger.Report] as JSON.
type verified struct {
	Window     string    `json:"window"`
	Identity   string    `json:"identity"`
	Scope      string    `json:"scope"`
	Digests    bool      `json:"digests"`
	Created    time.Time `json:"created"`
	Files      int       `json:"files"`
	Frames     int64     `json:"frames"`
	Identities int64     `json:"identities"`
	Bytes      int64     `json:"bytes"`
	Torn       int64     `json:"torn_bytes"`
	Clean      bool      `json:"clean"`
}

// Run reads every byte of a ledger that nobody has open.
func (c *ledgerVerify) Run(w *world) error {
	r, err := ledger.Verify(vfs.OS(), c.Dir)
	if err != nil {
		return err
	}
	if c.JSON {
		return w.printJSON(verified{
			Window: r.Info.Window.String(), Identity: r.Info.Identity, Scope: r.Info.Scope, Digests: r.Info.Digests, Created: r.Info.Created,
			Files: r.Files, Frames: r.Frames, Identities: r.Identities, Bytes: r.Bytes, Torn: r.Torn, Clean: r.Clean,
		})
	}
	state := "closed, and as it was then"
	switch {
	case r.Torn > 0:
		state = fmt.Sprintf("not closed since it was last opened; %s at the end are no whole frame, and will be cut", bytesText(r.Torn))
	case !r.Clean:
		state = "not closed since it was last opened"
	}
	files := "1 file"
	if r.Files != 1 {
		files = fmt.Sprintf("%d files", r.Files)
	}
	_, err = fmt.Fprintf(w.stdout, "no damage: %s first copies in %s, %s; %s\n", count(r.Identities), files, bytesText(r.Bytes), state)
	return err
}
