package ledgertest

import (
	"context"
	"iter"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/ledger"
)

// Admitter is what [RunAdmit] examines; a [*ledger.Ledger] is one.
type Admitter interface {
	hapax.Ledger
	Admit(ctx context.Context, b *ledger.Batch) error
	AdmitOne(ctx context.Context, e *ledger.Entry) error
	Confirm(ctx context.Context, c ledger.Checkpoint) error
	Checkpoint(source string) (ledger.Checkpoint, bool)
	Checkpoints() []ledger.Checkpoint
	Lookup(ctx context.Context, fp hapax.Fingerprint) (ledger.Sighting, bool, error)
	Forget(ctx context.Context, fp hapax.Fingerprint) (bool, error)
	All() iter.Seq2[ledger.Sighting, error]
	Stats() ledger.Stats
	Sync(ctx context.Context) error
	Close() error
}

// AdmitFactory makes the ledgers that [RunAdmit] examines.
type AdmitFactory struct {
	// Open opens a ledger; an empty dir is one in memory only.
	Open func(dir string, o ledger.Options) (Admitter, error)
	// Verify reads every byte of a closed ledger and returns an error if any was
	// changed. Nil: damage that no answer depends on need not be told.
	Verify func(dir string, o ledger.Options) error
	// Disk returns a new, empty place. Nil: the ledgers are in memory only, and
	// what needs a reopen is skipped.
	Disk func(tb testing.TB) Disk
	// Tune changes the options of every ledger, to bring about a form such as
	// one that keeps most of its generations cold. May be nil.
	Tune func(*ledger.Options)
}

// admitCheck is one question of the exam.
type admitCheck struct {
	name string
	on   place
	run  func(testing.TB, AdmitFactory)
}

// place is where a check makes sense.
type place uint8

const (
	anywhere     place = iota
	inMemory           // of a ledger in memory only
	onDisk             // of one with files
	onFaultyDisk       // of one whose files are in memory, where they can fail
)

func statements() []admitCheck {
	var all []admitCheck
	for _, part := range [][]admitCheck{
		batchChecks(), keyChecks(), edgeChecks(), eventChecks(), longChecks(), positionChecks(), explainChecks(),
		claimMixChecks(), openChecks(), budgetChecks(), faultChecks(), damageChecks(), randomChecks(), systemChecks(),
	} {
		all = append(all, part...)
	}
	return all
}

// RunAdmit examines the ledgers that f makes, one subtest a statement.
func RunAdmit(t *testing.T, f AdmitFactory) {
	at := inMemory
	if f.Disk != nil {
		at = onDisk
		if f.Disk(t).PowerLost != nil {
			at = onFaultyDisk
		}
	}
	for _, c := range statements() {
		if c.on == anywhere || c.on == at || c.on == onDisk && at == onFaultyDisk {
			t.Run(c.name, func(t *testing.T) { c.run(t, f) })
		}
	}
}

// clockStart is when the exam's clocks begin, in Unix nanoseconds.
const clockStart = 1_700_000_000_123_456_789

// torture reports whether the long forms are asked for.
func torture() bool { return os.Getenv("HAPAX_TORTURE") != "" }

// patience is how long each course of random work goes on: as HAPAX_TORTURE says.
func patience() time.Duration {
	d, err := time.ParseDuration(os.Getenv("HAPAX_TORTURE"))
	if err != nil {
		return 0
	}
	return d
}

// clock is set by hand. It is read from several goroutines.
type clock struct{ nanos atomic.Int64 }

func newClock() *clock {
	c := new(clock)
	c.nanos.Store(clockStart)
	return c
}

func (c *clock) now() time.Time          { return time.Unix(0, c.nanos.Load()) }
func (c *clock) advance(d time.Duration) { c.nanos.Add(int64(d)) }
