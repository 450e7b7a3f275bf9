package marking

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/hapaxmq/hapax/internal/sqltext"
)

// TestBatchAfter: batches shrink while they take long, so that nobody waits for one for
// long, and grow again, within their bounds.
func TestBatchAfter(t *testing.T) {
	t.Parallel()
	const ms = time.Millisecond
	for _, c := range []struct {
		rows int
		took time.Duration
		want int
	}{
		{batch, ms, batch}, {batch, 50 * ms, batch}, {batch, 51 * ms, batch / 2}, {150, time.Second, minBatch},
		{minBatch, time.Second, minBatch}, {minBatch, 13 * ms, minBatch}, {minBatch, 12 * ms, 2 * minBatch}, {3000, 0, batch},
	} {
		if got := batchAfter(c.rows, c.took); got != c.want {
			t.Errorf("after %d rows in %v: %d, want %d", c.rows, c.took, got, c.want)
		}
	}
}

// cut is a connection to SQLite whose BEGIN is cut short when it has begun.
type cut struct{ open bool }

func (c *cut) Exec(ctx context.Context, statement string, _ ...any) (Done, error) {
	switch statement {
	case "BEGIN IMMEDIATE":
		c.open = true
		return Done{}, context.Canceled
	case "ROLLBACK":
		c.open = false
	}
	return Done{}, ctx.Err()
}

func (*cut) Query(context.Context, func(func(...any) error) error, string, ...any) error { return nil }

// TestCutSweep: a sweep that is cut short leaves no transaction open on its connection, which
// would take in the writes of whoever has it next.
func TestCutSweep(t *testing.T) {
	t.Parallel()
	c := &cut{}
	table := Table{
		Dialect: sqltext.SQLite, Name: "marks", Fault: unclear,
		Session: func(ctx context.Context, f func(context.Context, Tx) error) error { return f(ctx, c) },
	}
	if _, err := table.Sweep(t.Context(), time.Hour); !errors.Is(err, context.Canceled) || c.open {
		t.Errorf("%v; a transaction is open: %v", err, c.open)
	}
}
