package inbox_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/identity"
)

// database is a small one in memory, and keeps marks: rows of transactions are seen
// by others once they are committed, and a mark waits for another transaction that
// made the same. Its faults are planted by tests.
type database struct {
	mu    sync.Mutex
	rows  []string
	marks map[[32]byte]stored
	high  map[string]hapax.Mark // by position or by number: the highest of each source or producer
	held  map[string]*tx        // what a transaction under way has marked

	ordered     bool // marks are by position, or by number, not by id
	lockTimeout time.Duration
	maxReceipt  int
	asked       int // calls of Mark

	// Faults; nil or an error of nil: none. Each is called with the database unlocked.
	onBegin, onMark, onKeep func() error
	onCommit                func() fault
}

// stored is the row of a mark.
type stored struct {
	digest  hapax.Digest
	receipt hapax.Receipt
}

// fault is what happens to a commit.
type fault uint8

const (
	sound     fault = iota
	serialise       // rolled back, to be run again
	refused         // rolled back, with an error
	cutBefore       // rolled back, and nobody knows
	cutAfter        // committed, and nobody knows
)

var (
	errDown    = errors.New("connection refused")
	errRefused = errors.New("constraint violated")
	errEnded   = errors.New("the transaction has ended")
)

func newDatabase() *database {
	return &database{
		marks: map[[32]byte]stored{}, high: map[string]hapax.Mark{}, held: map[string]*tx{},
		lockTimeout: time.Second, maxReceipt: 1 << 16,
	}
}

// tx is a transaction, of one goroutine.
type tx struct {
	db    *database
	rows  []string
	marks map[[32]byte]stored
	high  map[string]hapax.Mark
	ended chan struct{} // closed at the end
	first bool          // nothing was done before Mark
}

func (db *database) begin() *tx {
	return &tx{db: db, marks: map[[32]byte]stored{}, high: map[string]hapax.Mark{}, ended: make(chan struct{}), first: true}
}

// insert is a statement of a handler.
func (t *tx) insert(row string) {
	t.first = false
	t.rows = append(t.rows, row)
}

// end makes what t did visible, or drops it.
func (t *tx) end(commit bool) error {
	t.db.mu.Lock()
	defer t.db.mu.Unlock()
	select {
	case <-t.ended:
		return errEnded
	default:
	}
	if commit {
		t.db.rows = append(t.db.rows, t.rows...)
		maps.Copy(t.db.marks, t.marks)
		maps.Copy(t.db.high, t.high)
	}
	for k, holder := range t.db.held {
		if holder == t {
			delete(t.db.held, k)
		}
	}
	close(t.ended)
	return nil
}

func call(hook func() error) error {
	if hook == nil {
		return nil
	}
	return hook()
}

// Transact is [hapax.Marks].
func (db *database) Transact(ctx context.Context, f func(context.Context, *tx) error) error {
	for {
		if err := errors.Join(ctx.Err(), call(db.onBegin)); err != nil {
			return fmt.Errorf("begin: %w", err)
		}
		again, err := db.transact(ctx, f)
		if !again {
			return err
		}
	}
}

func (db *database) transact(ctx context.Context, f func(context.Context, *tx) error) (again bool, err error) {
	t := db.begin()
	defer func() { _ = t.end(false) }() // a panic too
	if err := f(ctx, t); err != nil {
		return false, err
	}
	var what fault
	if db.onCommit != nil {
		what = db.onCommit()
	}
	switch what {
	case serialise:
		return true, nil
	case refused:
		return false, errRefused
	case cutBefore, cutAfter:
		_ = t.end(what == cutAfter)
		return false, fmt.Errorf("commit: connection lost: %w", hapax.ErrUnknown)
	}
	if err := t.end(true); err != nil { // the handler has, and who knows how
		return false, fmt.Errorf("%w: %w", err, hapax.ErrUnknown)
	}
	return false, nil
}

// Mark is [hapax.Marks].
func (db *database) Mark(ctx context.Context, t *tx, marks []hapax.Mark) error {
	if !t.first {
		return errors.New("the mark is not the first statement")
	}
	if err := call(db.onMark); err != nil {
		return err
	}
	db.mu.Lock()
	db.asked++
	db.mu.Unlock()
	before := maps.Clone(t.marks)
	for i := range marks {
		if marks[i].Time.Year() > 9999 {
			t.marks = before
			return fmt.Errorf("time %v: %w", marks[i].Time, hapax.ErrMalformed)
		}
		if err := db.wait(ctx, t, db.lockOf(&marks[i])); err != nil {
			t.marks = before
			return err
		}
		db.mark(t, &marks[i])
	}
	return nil
}

// Ordered is [inbox.Ordered].
func (db *database) Ordered() bool { return db.ordered }

// lockOf is what is marked by m.
func (db *database) lockOf(m *hapax.Mark) string {
	switch {
	case db.ordered && len(m.Sequence.Producer) > 0:
		return "producer " + string(m.Sequence.Producer)
	case db.ordered:
		return "source " + m.Position.Source
	}
	k := identity.SharedKey(m.Scope, m.Identity)
	return string(k[:])
}

// wait takes the lock, when the transaction that has it has ended.
func (db *database) wait(ctx context.Context, t *tx, lock string) error {
	timeout := time.After(db.lockTimeout)
	for {
		db.mu.Lock()
		holder := db.held[lock]
		if holder == nil || holder == t {
			db.held[lock] = t
			db.mu.Unlock()
			return nil
		}
		db.mu.Unlock()
		select {
		case <-holder.ended:
		case <-timeout:
			return &hapax.InFlightError{RetryAfter: db.lockTimeout}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// mark gives m its verdict.
func (db *database) mark(t *tx, m *hapax.Mark) {
	db.mu.Lock()
	defer db.mu.Unlock()
	lock := db.lockOf(m)
	if db.ordered {
		high, ok := t.high[lock]
		if !ok {
			high, ok = db.high[lock]
		}
		switch {
		case !ok || high.Position.Offset < m.Position.Offset || high.Sequence.Epoch < m.Sequence.Epoch ||
			high.Sequence.Epoch == m.Sequence.Epoch && high.Sequence.Number < m.Sequence.Number:
			m.Verdict = hapax.Fresh
			t.high[lock] = *m
		case high.Sequence.Epoch > m.Sequence.Epoch:
			m.Verdict = hapax.Stale
		default:
			m.Verdict = hapax.Duplicate
		}
		return
	}
	k := identity.SharedKey(m.Scope, m.Identity)
	was, ok := t.marks[k]
	if !ok {
		was, ok = db.marks[k]
	}
	switch {
	case !ok:
		m.Verdict = hapax.Fresh
		t.marks[k] = stored{digest: m.Digest}
	case was.digest != m.Digest && was.digest != 0 && m.Digest != 0:
		m.Verdict = hapax.Conflict
	default:
		m.Verdict, m.Receipt = hapax.Duplicate, was.receipt
	}
}

// Keep is [hapax.Marks].
func (db *database) Keep(_ context.Context, t *tx, m *hapax.Mark) error {
	if len(m.Receipt) > db.maxReceipt {
		return hapax.ErrReceiptSize
	}
	if err := call(db.onKeep); err != nil {
		return err
	}
	k := identity.SharedKey(m.Scope, m.Identity)
	row := t.marks[k]
	row.receipt = slices.Clone(m.Receipt)
	t.marks[k] = row
	return nil
}

// effects are the committed rows, in order.
func (db *database) effects() []string {
	db.mu.Lock()
	defer db.mu.Unlock()
	return slices.Clone(db.rows)
}

// forget takes all marks away, as at the end of a window.
func (db *database) forget() {
	db.mu.Lock()
	defer db.mu.Unlock()
	clear(db.marks)
}
