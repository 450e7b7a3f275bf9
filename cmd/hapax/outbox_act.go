package main

import (
	"context"
	"fmt"
	"time"
)

// aside are records that were set aside, as an operator names them.
type aside struct {
	outboxPlace

	Positions []int64 `arg:"" optional:"" name:"position" help:"Positions, as hapax outbox list tells them."`
	All       bool    `help:"All that are set aside."`
	JSON      bool    `name:"json" help:"Print a line of JSON for each record."`
}

// outboxRetry is hapax outbox retry.
type outboxRetry struct{ aside }

func (*outboxRetry) examples() string {
	return `  hapax outbox retry --database sqlite:shop.db 1027 1031
  hapax outbox retry --database sqlite:shop.db --all

A record is published before those of its order key that wait for it, or set aside
again. The exit code is 4 if one of the positions is not that of a record that was set
aside.
`
}

// Run has records published after all.
func (c *outboxRetry) Run(w *world) error {
	return c.act(w, "tried again", func(ctx context.Context, b box, position int64) (int, error) { return b.Retry(ctx, position) })
}

// outboxDiscard is hapax outbox discard.
type outboxDiscard struct{ aside }

func (*outboxDiscard) examples() string {
	return `  hapax outbox discard --database sqlite:shop.db 1027

The record is gone, and never published; those of its order key are. What is printed
is all that is left of it. The exit code is 4 if one of the positions is not that of a
record that was set aside.
`
}

// Run deletes records.
func (c *outboxDiscard) Run(w *world) error {
	return c.act(w, "discarded", func(ctx context.Context, b box, position int64) (int, error) { return b.Discard(ctx, position) })
}

// page is how many records are looked up at once.
const page = 1000

// act does something to each record, and says so: it is the only trace that is left.
func (c *aside) act(w *world, done string, do func(context.Context, box, int64) (int, error)) error {
	if c.All == (len(c.Positions) > 0) {
		return usage("name positions, or --all")
	}
	b, end, err := c.open(w.ctx)
	if err != nil {
		return err
	}
	defer end()
	absent := 0
	for after := int64(-1); c.All; {
		faulty, err := b.Faulty(w.ctx, after, page)
		if err != nil {
			return c.found(err)
		}
		if len(faulty) == 0 && after < 0 && !c.JSON {
			_, err = fmt.Fprintln(w.stdout, "nothing is set aside")
		}
		if len(faulty) == 0 {
			return err
		}
		for _, f := range faulty {
			after = f.Position
			if _, err := c.one(w, b, after, done, do); err != nil {
				return err
			}
		}
	}
	for _, position := range c.Positions {
		was, err := c.one(w, b, position, done, do)
		if err != nil {
			return err
		}
		if !was {
			absent++
		}
	}
	if absent > 0 {
		return fmt.Errorf("%d of %d positions: %w", absent, len(c.Positions), errAside)
	}
	return nil
}

// one does it to one record, if it is set aside.
func (c *aside) one(w *world, b box, position int64, done string, do func(context.Context, box, int64) (int, error)) (was bool, err error) {
	faulty, err := b.Faulty(w.ctx, position-1, 1)
	if err != nil {
		return false, c.found(err)
	}
	act := struct {
		At   string `json:"at"`
		Done string `json:"done"`
		faultyView
	}{time.Now().UTC().Format(time.RFC3339), "not set aside", faultyView{Position: position}}
	if len(faulty) == 1 && faulty[0].Position == position {
		n, err := do(w.ctx, b, position)
		if err != nil {
			return false, err
		}
		if was = n == 1; was {
			act.Done, act.faultyView = done, viewOf(faulty[0])
		}
	}
	switch {
	case c.JSON:
		err = w.printJSON(act)
	case was:
		_, err = fmt.Fprintf(w.stdout, "%s %d: %s: topic %s, id %s, order key %q, %s\n", act.At, position, done, act.Topic, act.ID, faulty[0].OrderKey, act.Fault)
	default:
		_, err = fmt.Fprintf(w.stdout, "%s %d: %s\n", act.At, position, act.Done)
	}
	return was, err
}
