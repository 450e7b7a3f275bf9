package ledger

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/identity"
	"github.com/hapaxmq/hapax/window"
)

// Ledger is an open ledger, made by [Open]; the zero value is as one that was
// closed. All methods may be called from several goroutines at once; Close may be
// called with others in flight.
//
// Locks, in the order they are taken:
//
//	mu       everything that has an order: generations, sweeps, claims,
//	         positions, and in a ledger with a directory every verdict
//	stripes  the table's shards, sixteen to a lock
//	journal  its own
//	hidden   what is forgotten of cold files
//
// A ledger in memory whose window needs no order admits under stripes alone.
//
// What its parts can do alone is theirs; here is what takes several of them.
type Ledger struct {
	o      Options
	dir    string
	hasher identity.Hasher
	lock   io.Closer // of the directory

	mu       sync.Mutex
	gens     *window.Generations
	current  *window.Generation // takes what arrives now; nil before the first
	claims   claims
	sources  sources
	receipts receipts
	hot      hot
	cold     coldFiles
	picture  *picture // what the table is being fetched from, or was, or nil
	journal  *journal // nil: in memory only
	frame    admitFrame
	serving  bool  // between Open and Close
	terse    bool  // MaxDisk has no room for what is to be told of copies
	failed   error // why nothing is served any more

	evictions  evictions  // under mu
	came, aged int64      // when the last step came, and when copies were last counted by their age; Unix nanoseconds
	sequences  *sequences // nil before the first producer is met; under mu

	stripes    *stripeSet   // in memory of its own, which begins with a cache line
	unordered  bool         // stripes can give verdicts
	concurrent bool         // Admit needs stripes alone: nothing is logged
	timed      bool         // a timer, not each call, ends slices of time
	deadline   atomic.Int64 // when the generations have something to do: Unix ns

	stats   stats
	running sync.WaitGroup // background goroutines
	stop    chan struct{}
	wake    chan struct{}
}

// Open opens the ledger in dir, or makes one there. An empty dir keeps it in
// memory only. On return everything acknowledged before is remembered, or an
// error says why it cannot be: damage is a [hapax.ErrCorrupt].
func Open(dir string, o Options) (*Ledger, error) {
	o.setDefaults()
	if err := o.validate(); err != nil {
		return nil, fmt.Errorf("open ledger %s: %w", cmp.Or(dir, "in memory"), err)
	}
	l := &Ledger{
		o: o, dir: dir, stripes: new(stripeSet),
		sources: sources{named: make(map[string]*source), most: o.MaxSources, unconfirmed: o.MaxUnconfirmed},
		claims:  claims{Claims: window.NewClaims(o.MaxClaims, 0)},
		stop:    make(chan struct{}), wake: make(chan struct{}, 1), serving: true,
	}
	l.receipts.limit = o.MaxReceipts
	l.cold.done, l.cold.stuck = sync.NewCond(&l.mu), make(map[uint64]int64)
	if err := l.open(); err != nil {
		return nil, errors.Join(fmt.Errorf("open ledger %s: %w", cmp.Or(dir, "in memory"), err), l.shut())
	}
	l.running.Go(l.maintain)
	if l.journal != nil && !l.o.ReadOnly {
		l.running.Go(l.keepLog)
	}
	return l, nil
}

func (l *Ledger) open() (err error) {
	var d opening
	if l.dir != "" {
		if d, err = l.enter(); err != nil {
			return err
		}
	}
	l.unordered = l.o.unordered()
	l.concurrent = l.unordered && l.dir == ""
	l.timed = l.concurrent && l.o.Clock == nil && (l.o.Window.Time == 0 || l.o.Window.Time >= coarseTime)
	var grace int64
	if l.timed {
		grace = int64(l.o.Window.Time / 512)
	}
	l.gens = window.NewGenerations(l.o.Window, grace)
	l.hot = hot{sweptTable: sweptTable{gens: l.gens, stripes: l.stripes, nudge: l.nudge}, o: &l.o}
	l.cold.o, l.cold.gens, l.cold.evictions = &l.o, l.gens, &l.evictions
	if l.o.exact() {
		l.hot.recency = window.NewRecency()
	}
	if l.hot.mem, err = newMemory(l.o.hotMemory(l.dir), l.o.Digests || l.hot.recency != nil); err != nil {
		return err
	}
	if l.dir == "" {
		l.hasher = identity.NewHasher(newSecret())
		err = l.hot.newTable(l.o.Expect)
	} else {
		err = d.read(l)
	}
	if err != nil {
		return err
	}
	l.gens.LimitGeneration(int64(l.hot.mem.limit) * 4 / 16)
	l.hot.lookAhead()
	l.frame.marked = math.MinInt64
	l.hot.mem.measure(l.hot.table)
	l.mu.Lock()
	defer l.mu.Unlock()
	if w, list := l.o.Window, l.gens.List(); w.Kind == hapax.Tumbling && !w.EventTime && len(list) > 0 {
		l.current = list[len(list)-1] // full, it goes on as it did before: see awaitsNext
	}
	return l.turn(l.now())
}

// Hasher makes the ledger's fingerprints for one scope.
func (l *Ledger) Hasher(s hapax.Scope) identity.Hasher { return l.hasher.Scoped(s) }

// now is the time by the ledger's clock in Unix nanoseconds.
func (l *Ledger) now() int64 {
	if l.o.Clock != nil {
		return l.o.Clock().UnixNano()
	}
	return time.Now().UnixNano()
}

// ready is nil while the ledger serves. It must hold mu.
func (l *Ledger) ready() error {
	switch {
	case l.failed != nil:
		return l.failed
	case !l.serving:
		return hapax.ErrClosed
	}
	return nil
}

// fail makes the ledger refuse all work until it is opened again: after a write
// that failed nobody knows what the disk holds. It must hold mu.
func (l *Ledger) fail(err error) error {
	if l.failed == nil {
		l.failed = fmt.Errorf("ledger %s has failed; open it again: %w", l.dir, err)
		l.o.Logger.Error("ledger failed", "dir", l.dir, "error", err)
		l.cold.done.Broadcast() // who waits for a cold file waits in vain
		if l.concurrent {
			l.stripes.close()
		}
	}
	return l.failed
}

// sound is err or, if there is none, why the ledger has failed: it may have done
// so while the table was read. Whoever reads the table ends with it, under mu.
func (l *Ledger) sound(err error) error {
	if err == nil {
		err = l.failed
	}
	return err
}

// Sync makes everything admitted so far durable, whatever [Options.Durability].
func (l *Ledger) Sync(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	l.mu.Lock()
	err := l.ready()
	l.mu.Unlock()
	if err != nil || l.journal == nil || l.o.ReadOnly {
		return err
	}
	return l.settled(l.journal.Sync(l.journal.End()))
}

// settled turns the failure of a write into the ledger's own.
func (l *Ledger) settled(err error) error {
	if err == nil {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.fail(err)
}

// Close makes everything durable, seals the files and lets go of the memory.
// Calls in flight end first or get [hapax.ErrClosed]; a second Close does
// nothing.
func (l *Ledger) Close() error {
	l.mu.Lock()
	if !l.serving {
		l.mu.Unlock()
		return nil
	}
	l.serving = false
	l.mu.Unlock()
	close(l.stop)
	l.running.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stripes.close()
	if err := l.shut(); err != nil {
		return fmt.Errorf("close ledger %s: %w", l.dir, err)
	}
	return nil
}

// shut releases what open took, as far as it got.
func (l *Ledger) shut() error {
	var err error
	if l.evictions.untold > 0 {
		l.evictions.tell(l.o.Logger, l.dir, l.now())
	}
	if l.journal != nil {
		err = l.endLog()
	}
	err = errors.Join(err, l.cold.close(), l.picture.close())
	if l.hot.mem != nil {
		err = errors.Join(err, l.hot.mem.release())
	}
	err = errors.Join(err, l.sequences.release())
	if l.lock != nil {
		err = errors.Join(err, l.lock.Close())
	}
	return err
}
