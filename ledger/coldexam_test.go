package ledger_test

import (
	"context"
	"iter"
	"sync/atomic"
	"testing"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/ledger"
	"github.com/hapaxmq/hapax/ledgertest"
)

// chilled is a ledger that keeps in memory only what must be there: before a call
// all generations move to cold files. It happens before each
// of the first calls, and more and more seldom then.
type chilled struct {
	*ledger.Ledger
	calls, chills, next atomic.Int64
	most                *atomic.Int64 // identities that were cold; may be nil
}

func (c *chilled) chill() {
	if n := c.calls.Add(1); n < c.next.Load() {
		return
	}
	c.next.Store(c.calls.Load() + c.chills.Add(1))
	c.Chill()
	if c.most != nil {
		c.most.Store(max(c.most.Load(), c.Stats().LiveCold))
	}
}

func openChilled(dir string, o ledger.Options) (ledgertest.Admitter, error) {
	l, err := ledger.Open(dir, o)
	if err != nil {
		return nil, err
	}
	return &chilled{Ledger: l}, nil
}

func (c *chilled) Admit(ctx context.Context, b *ledger.Batch) error {
	c.chill()
	return c.Ledger.Admit(ctx, b)
}

func (c *chilled) AdmitOne(ctx context.Context, e *ledger.Entry) error {
	c.chill()
	return c.Ledger.AdmitOne(ctx, e)
}

func (c *chilled) Claim(ctx context.Context, r hapax.Request) (hapax.Claim, error) {
	c.chill()
	return c.Ledger.Claim(ctx, r)
}

func (c *chilled) Commit(ctx context.Context, claim hapax.Claim, r hapax.Receipt) error {
	c.chill()
	return c.Ledger.Commit(ctx, claim, r)
}

func (c *chilled) Lookup(ctx context.Context, fp hapax.Fingerprint) (ledger.Sighting, bool, error) {
	c.chill()
	return c.Ledger.Lookup(ctx, fp)
}

func (c *chilled) Forget(ctx context.Context, fp hapax.Fingerprint) (bool, error) {
	c.chill()
	return c.Ledger.Forget(ctx, fp)
}

func (c *chilled) All() iter.Seq2[ledger.Sighting, error] {
	c.chill()
	return c.Ledger.All()
}

// TestAdmitCold sits the exam of batches and windows with most of what is
// remembered in cold files.
func TestAdmitCold(t *testing.T) {
	if testing.Short() {
		t.Skip("as long as the exam on disk")
	}
	t.Parallel()
	ledgertest.RunAdmit(t, ledgertest.AdmitFactory{
		Open: openChilled, Verify: verify, Disk: ledgertest.MemoryDisk,
		Tune: func(o *ledger.Options) { o.MaxMemory = 8 << 20 },
	})
}
