package main

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/internal/vfs"
	"github.com/hapaxmq/hapax/ledger"
)

// sameFlags demands of the flags that they are those that a ledger was made with, and
// names both, where the ledger's own error names options.
func (c *uniqCommand) sameFlags(o ledger.Options) error {
	if c.Ledger == "" {
		return nil
	}
	has, err := ledger.Inspect(vfs.OS(), c.Ledger)
	if err != nil {
		return nil //nolint:nilerr // it is yet to be made, or opening says what is wrong
	}
	differ := func(made, asked string) error {
		return fmt.Errorf("the ledger %s was made with %s, and this is %s: give it what it was made with, or name another --ledger",
			c.Ledger, made, asked)
	}
	payloads := map[bool]string{
		true:  "--conflicts drop, pass, error or FILE (drop is the default)",
		false: "--conflicts off (the default for line and content)",
	}
	switch {
	case has.Identity != o.Identity:
		return differ("--id "+has.Identity, "--id "+o.Identity)
	case has.Scope != o.Scope:
		return differ(scopeFlag(has.Scope), scopeFlag(o.Scope))
	case has.Window != o.Window:
		return differ(windowFlags(has.Window), windowFlags(o.Window))
	case has.Digests != o.Digests:
		return differ(payloads[has.Digests], payloads[o.Digests])
	}
	return nil
}

func scopeFlag(scope string) string {
	return cmp.Or(strings.TrimSuffix("--scope "+scope, "--scope "), "no --scope")
}

// windowFlags are the flags that make a window.
func windowFlags(w hapax.Window) string {
	if w.Unbounded {
		return "neither --window nor --last"
	}
	var flags []string
	if w.Time != 0 {
		flags = append(flags, fmt.Sprint("--window ", w.Time))
	}
	if w.Count != 0 {
		flags = append(flags, fmt.Sprint("--last ", w.Count))
	}
	if w.Bytes != 0 {
		flags = append(flags, fmt.Sprintf("a window of %d bytes", w.Bytes))
	}
	if w.Kind != hapax.First {
		flags = append(flags, "--window-kind "+w.Kind.String())
	}
	if w.EventTime {
		flags = append(flags, "--event-time")
	}
	return strings.Join(flags, " ")
}
