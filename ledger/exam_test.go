package ledger_test

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/internal/vfs"
	"github.com/hapaxmq/hapax/ledger"
	"github.com/hapaxmq/hapax/ledgertest"
)

func open(dir string, o ledger.Options) (ledgertest.Admitter, error) {
	l, err := ledger.Open(dir, o)
	if err != nil {
		return nil, err
	}
	return l, nil
}

// verify tells of damage that no answer depends on.
func verify(dir string, o ledger.Options) error {
	if o.FS == nil {
		o.FS = vfs.OS()
	}
	_, err := ledger.Verify(o.FS, dir)
	return err
}

// TestAdmit sits the exam of batches and windows in every form.
func TestAdmit(t *testing.T) {
	t.Parallel()
	t.Run("memory", func(t *testing.T) {
		t.Parallel()
		ledgertest.RunAdmit(t, ledgertest.AdmitFactory{Open: open})
	})
	t.Run("disk", func(t *testing.T) {
		t.Parallel()
		ledgertest.RunAdmit(t, ledgertest.AdmitFactory{Open: open, Verify: verify, Disk: ledgertest.MemoryDisk})
	})
	t.Run("directory", func(t *testing.T) {
		t.Parallel()
		ledgertest.RunAdmit(t, ledgertest.AdmitFactory{Open: open, Verify: verify, Disk: ledgertest.RealDisk})
	})
}

const maxReceipt = 4096

// contract makes the ledgers that sit the exam of claims, in the form that as
// gives them.
func contract(disk func(testing.TB) ledgertest.Disk, as func(*ledger.Ledger) hapax.Ledger) ledgertest.Factory {
	return ledgertest.Factory{
		Capabilities: ledgertest.Capabilities{Durable: disk != nil, ServerClock: true,
			FencedWrites: true, Receipts: true, Digests: true, Batches: true, Operator: true},
		New: func(tb testing.TB, window time.Duration) *ledgertest.Instance {
			var clock atomic.Int64
			clock.Store(1_700_000_000_000_000_000)
			now := func() time.Time { return time.Unix(0, clock.Load()) }
			at := ledgertest.Disk{}
			if disk != nil {
				at = disk(tb)
			}
			open := func() (*ledger.Ledger, error) {
				return ledger.Open(at.Dir, ledger.Options{Window: hapax.Window{Time: window}, Digests: true,
					MaxMemory: 4 << 20, MaxReceipt: maxReceipt, FS: at.FS, Clock: now})
			}
			l, err := open()
			if err != nil {
				tb.Fatalf("open: %v", err)
			}
			tb.Cleanup(func() { _ = l.Close() })
			in := &ledgertest.Instance{
				Ledger: as(l), Now: now, Advance: func(d time.Duration) { clock.Add(int64(d)) },
				Close:      func() error { return l.Close() },
				MaxReceipt: maxReceipt, TooLarge: hapax.ErrReceiptSize,
			}
			if disk == nil {
				return in
			}
			in.Reopen = func() (hapax.Ledger, error) {
				if err := l.Close(); err != nil {
					return nil, err
				}
				if l, err = open(); err != nil {
					return nil, err
				}
				return as(l), nil
			}
			in.Crash = func() (hapax.Ledger, error) {
				left := at.Killed(tb)
				_ = l.Close()
				at = left
				if l, err = open(); err != nil {
					return nil, err
				}
				return as(l), nil
			}
			return in
		},
	}
}

// TestContract sits the exam of claims in every form.
func TestContract(t *testing.T) {
	plain := func(l *ledger.Ledger) hapax.Ledger { return l }
	t.Run("memory", func(t *testing.T) { ledgertest.RunLedger(t, contract(nil, plain)) })
	t.Run("disk", func(t *testing.T) { ledgertest.RunLedger(t, contract(ledgertest.MemoryDisk, plain)) })
	t.Run("directory", func(t *testing.T) { ledgertest.RunLedger(t, contract(ledgertest.RealDisk, plain)) })
	t.Run("cold", func(t *testing.T) {
		var most atomic.Int64
		ledgertest.RunLedger(t, contract(ledgertest.MemoryDisk, func(l *ledger.Ledger) hapax.Ledger {
			return &chilled{Ledger: l, most: &most}
		}))
		if most.Load() == 0 {
			t.Error("nothing was cold")
		}
	})
}
