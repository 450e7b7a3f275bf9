package uniq

import (
	"context"
	"fmt"

	"github.com/hapaxmq/hapax/ledger"
)

// commits writes checkpoints, one at a time, while the run goes on.
type commits struct {
	ledger  Ledger
	outputs []*Output
	todo    chan []ledger.Checkpoint
	failed  chan error // holds the first error
	ended   chan struct{}
}

// startCommits runs until close, even if ctx ends.
func startCommits(ctx context.Context, l Ledger, outputs []*Output) *commits {
	c := &commits{
		ledger: l, outputs: outputs,
		todo: make(chan []ledger.Checkpoint), failed: make(chan error, 1), ended: make(chan struct{}),
	}
	ctx = context.WithoutCancel(ctx)
	go func() {
		defer close(c.ended)
		for points := range c.todo {
			if err := c.commit(ctx, points); err != nil {
				c.failed <- err
				for range c.todo { // nobody must wait
				}
				return
			}
		}
	}()
	return c
}

// commit makes the outputs durable, then says so in the ledger. The outputs may
// have grown beyond the checkpoints' lengths meanwhile.
func (c *commits) commit(ctx context.Context, points []ledger.Checkpoint) error {
	for _, o := range c.outputs {
		if err := o.File.Sync(); err != nil {
			return fmt.Errorf("sync %s: %w", o.Name, err)
		}
	}
	for _, p := range points {
		if err := c.ledger.Confirm(ctx, p); err != nil {
			return fmt.Errorf("write checkpoint: %w", err)
		}
	}
	if err := c.ledger.Sync(ctx); err != nil {
		return fmt.Errorf("write checkpoint: %w", err)
	}
	return nil
}

// offer hands over checkpoints if the last ones are written, or waits until they
// are. It tells whether it did.
func (c *commits) offer(points []ledger.Checkpoint, wait bool) bool {
	if wait {
		c.todo <- points
		return true
	}
	select {
	case c.todo <- points:
		return true
	default:
		return false
	}
}

// close waits for what was handed over and returns the error of the first that
// failed, unless it was taken from failed.
func (c *commits) close() error {
	close(c.todo)
	<-c.ended
	select {
	case err := <-c.failed:
		return err
	default:
		return nil
	}
}
