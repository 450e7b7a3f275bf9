package marking

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/identity"
	"github.com/hapaxmq/hapax/internal/sqltext"
)

// Numbers is the form with a row for each numbering, in the table of kind
// [sqltext.Numbers]: of the positions in a source or, if Sequences is set, of the
// sequences of a producer.
//
// Below the highest number that is marked all are Duplicate: numbers must be handled
// in their order, and one that failed must be handled before the next one.
type Numbers struct {
	Dialect   sqltext.Dialect
	Table     string
	Sequences bool
	Fault     func(error) sqltext.Fault
}

// number is a mark on its way.
type number struct {
	mark  *hapax.Mark
	id    [sha256.Size]byte // of the numbering
	epoch int64
	next  int64 // one above it
}

// numbering is what one call has of a numbering in one epoch, in rising order.
type numbering []number

func (n numbering) last() number { return n[len(n)-1] }

// Mark is the method of [Form].
func (f *Numbers) Mark(ctx context.Context, tx Tx, marks []hapax.Mark, wait time.Duration) error {
	all := make([]number, len(marks))
	for i := range marks {
		n, err := f.number(&marks[i])
		if err != nil {
			return err
		}
		all[i] = n
	}
	// In this order all transactions take their locks.
	slices.SortStableFunc(all, func(a, b number) int {
		return cmp.Or(bytes.Compare(a.id[:], b.id[:]), cmp.Compare(a.epoch, b.epoch), cmp.Compare(a.next, b.next))
	})
	for len(all) > 0 {
		var round []numbering // no numbering twice: a lower epoch goes first
		var later []number
		for len(all) > 0 {
			end := 1
			for end < len(all) && all[end].id == all[0].id && all[end].epoch == all[0].epoch {
				end++
			}
			if len(round) > 0 && round[len(round)-1][0].id == all[0].id {
				later = append(later, all[:end]...)
			} else {
				round = append(round, all[:end])
			}
			all = all[end:]
		}
		for part := range slices.Chunk(round, chunk) {
			if err := f.raise(ctx, tx, part, wait); err != nil {
				return err
			}
		}
		all = later
	}
	return nil
}

func (f *Numbers) number(m *hapax.Mark) (number, error) {
	m.Verdict, m.Receipt = 0, nil
	if f.Sequences {
		s := m.Sequence
		if len(s.Producer) == 0 {
			return number{}, fmt.Errorf("message without a producer: %w", hapax.ErrMissing)
		}
		if s.Number >= math.MaxInt64 {
			return number{}, fmt.Errorf("sequence number %d: want one below 1<<63 - 1: %w", s.Number, hapax.ErrMalformed)
		}
		return number{mark: m, id: identity.SharedKey(m.Scope, s.Producer), epoch: int64(s.Epoch), next: int64(s.Number) + 1}, nil
	}
	p := m.Position
	if p.Source == "" {
		return number{}, fmt.Errorf("message without a source: %w", hapax.ErrMissing)
	}
	if p.Offset < 0 || p.Offset == math.MaxInt64 {
		return number{}, fmt.Errorf("offset %d: want one from 0 to 1<<63 - 2: %w", p.Offset, hapax.ErrMalformed)
	}
	return number{mark: m, id: identity.SharedKey(m.Scope, hapax.Identity(p.Source)), next: p.Offset + 1}, nil
}

// raise moves different numberings up and gives their numbers verdicts.
func (f *Numbers) raise(ctx context.Context, tx Tx, round []numbering, wait time.Duration) error {
	switch {
	case f.Dialect == sqltext.Postgres && len(round) == 1 && len(round[0]) == 1 && wait > noWait:
		return f.raiseSingle(ctx, tx, round[0], wait)
	case f.Dialect == sqltext.Postgres:
		return f.raiseAll(ctx, tx, round, wait)
	}
	for _, n := range round {
		moved, previous, err := f.raiseOne(ctx, tx, n.last(), wait)
		if err != nil {
			return err
		}
		if !moved && previous == unknown {
			if err := f.refuse(ctx, tx, n); err != nil {
				return err
			}
			continue
		}
		n.answer(previous)
	}
	return nil
}

// unknown is where a numbering stands that did not move, until it is asked.
const unknown = -1

// raiseSingle is raise in PostgreSQL for one number, which nearly always is one of a numbering
// that is there, and above it.
func (f *Numbers) raiseSingle(ctx context.Context, tx Tx, n numbering, wait time.Duration) error {
	to := n[0]
	err := limited(ctx, wait, func(ctx context.Context) error {
		done, err := tx.Exec(ctx, sqltext.Advance(f.Table), to.id[:], to.epoch, to.next)
		if err == nil && done.Rows == 0 {
			done, err = tx.Exec(ctx, sqltext.RaiseOne(f.Table), to.id[:], to.epoch, to.next)
		}
		if err == nil && done.Rows == 1 {
			to.mark.Verdict = hapax.Fresh
		}
		return err
	})
	if err != nil || to.mark.Verdict == hapax.Fresh {
		return err
	}
	return f.refuse(ctx, tx, n)
}

// raiseAll is raise in PostgreSQL, all in one statement.
func (f *Numbers) raiseAll(ctx context.Context, tx Tx, round []numbering, wait time.Duration) error {
	var moved []byte
	var restored string
	ids := sqltext.Array(round, 70, func(dst []byte, n numbering) []byte { id := n.last().id; return sqltext.AppendBytea(dst, id[:]) })
	epochs := sqltext.Array(round, 11, func(dst []byte, n numbering) []byte { return strconv.AppendInt(dst, n.last().epoch, 10) })
	nexts := sqltext.Array(round, 20, func(dst []byte, n numbering) []byte { return strconv.AppendInt(dst, n.last().next, 10) })
	err := tx.Query(ctx, func(scan func(...any) error) error { return scan(&moved, &restored) },
		sqltext.Raise(f.Dialect, f.Table, wait, ""), ids, epochs, nexts, timeout(wait))
	if err != nil {
		return err
	}
	for row := range slices.Chunk(moved, sha256.Size+8) {
		id, previous := row[:sha256.Size], int64(binary.BigEndian.Uint64(row[sha256.Size:]))
		at, ok := slices.BinarySearchFunc(round, id, func(n numbering, id []byte) int { return bytes.Compare(n[0].id[:], id) })
		if ok {
			round[at].answer(previous)
		}
	}
	for _, n := range round {
		if n[0].mark.Verdict == 0 {
			if err := f.refuse(ctx, tx, n); err != nil {
				return err
			}
		}
	}
	return nil
}

// raiseOne is raise of one numbering elsewhere. If it tells where the numbering stood,
// that settles the verdicts.
func (f *Numbers) raiseOne(ctx context.Context, tx Tx, to number, wait time.Duration) (moved bool, previous int64, err error) {
	if f.Dialect != sqltext.SQLite {
		row := string(appendRow(nil, to.id[:], to.epoch, to.next))
		var done Done
		err := atMost(ctx, tx, f.Dialect, wait, func(ctx context.Context) (err error) {
			done, err = tx.Exec(ctx, sqltext.Raise(f.Dialect, f.Table, wait, row))
			return err
		})
		if done.Last == math.MaxInt64 { // of a higher epoch
			return false, unknown, err
		}
		return done.Last < to.next, done.Last, err
	}
	statement := sqltext.Raise(f.Dialect, f.Table, wait, "")
	previous = unknown
	err = patiently(ctx, f.Fault, wait, func() error {
		return tx.Query(ctx, func(scan func(...any) error) error { return scan(&previous) }, statement, to.id[:], to.epoch, to.next)
	})
	return previous != unknown, previous, err
}

// refuse gives verdicts to the numbers of a numbering that stands above them all.
func (f *Numbers) refuse(ctx context.Context, tx Tx, n numbering) error {
	verdict := hapax.Duplicate
	if f.Sequences {
		id, epoch := n.last().id, int64(0)
		err := tx.Query(ctx, func(scan func(...any) error) error { return scan(&epoch) }, sqltext.Epoch(f.Dialect, f.Table), id[:])
		if err != nil {
			return err
		}
		if epoch > n.last().epoch { // a restarted producer has fenced this one
			verdict = hapax.Stale
		}
	}
	for _, m := range n {
		m.mark.Verdict = verdict
	}
	return nil
}

// answer gives verdicts to the numbers of a numbering that stood at previous.
func (n numbering) answer(previous int64) {
	for i, m := range n {
		copied := i > 0 && n[i-1].next == m.next
		if m.mark.Verdict = hapax.Fresh; m.next <= previous || copied {
			m.mark.Verdict = hapax.Duplicate
		}
	}
}

// Keep is the method of [Form]: there is no row that could keep a receipt.
func (f *Numbers) Keep(_ context.Context, _ Tx, m *hapax.Mark) error { return keepNone(m) }

func keepNone(m *hapax.Mark) error {
	if m.Receipt == nil {
		return nil
	}
	return fmt.Errorf("keep: these marks keep no receipts: %w", hapax.ErrReceiptSize)
}
