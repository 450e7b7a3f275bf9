package marking

import (
	"testing"
	"time"
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
