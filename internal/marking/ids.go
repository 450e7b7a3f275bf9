package marking

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/identity"
	"github.com/hapaxmq/hapax/internal/sqltext"
)

// IDs is the form with a row for each message, in the table of kind [sqltext.Inbox]
// or, if Span is set, [sqltext.Partitions].
type IDs struct {
	Dialect    sqltext.Dialect
	Table      string
	MaxReceipt int
	Span       time.Duration // of a partition
	Fault      func(error) sqltext.Fault
}

// chunk bounds the messages of one statement, for databases count its parameters.
const chunk = 1000

// passes bounds how often marks are tried whose rows others forget meanwhile.
const passes = 8

// entry is a mark on its way into a table.
type entry struct {
	mark   *hapax.Mark
	name   []byte    // its key: the SHA-256, and behind it the period's microseconds if there are periods
	period time.Time // the start of its partition
	first  *entry    // of several copies in one call, if it is not the first itself

	known   hapax.Digest // what the table has of it, once the verdict is there
	receipt hapax.Receipt
}

// Mark is the method of [Form].
func (f *IDs) Mark(ctx context.Context, tx Tx, marks []hapax.Mark, wait time.Duration) error {
	if len(marks) == 1 { // as usual
		m := &marks[0]
		m.Verdict, m.Receipt = 0, nil
		e, err := f.entry(m)
		if err != nil {
			return err
		}
		return f.settle(ctx, tx, []*entry{&e}, wait)
	}
	all, err := f.entries(marks)
	if err != nil {
		return err
	}
	firsts := make([]*entry, 0, len(all))
	for i := range all {
		if all[i].first == nil {
			firsts = append(firsts, &all[i])
		}
	}
	for part := range slices.Chunk(firsts, chunk) {
		if err := f.settle(ctx, tx, part, wait); err != nil {
			return err
		}
	}
	for i := range all {
		if e := &all[i]; e.first != nil {
			if e.mark.Verdict = e.first.mark.Verdict; e.mark.Verdict != hapax.Late {
				e.answer(e.first.known, e.first.receipt)
			}
		}
	}
	return nil
}

// entries puts marks in the order of their names, in which all transactions take
// their locks, so that none of them waits for another in a circle.
func (f *IDs) entries(marks []hapax.Mark) ([]entry, error) {
	all := make([]entry, len(marks))
	for i := range marks {
		m := &marks[i]
		m.Verdict, m.Receipt = 0, nil
		e, err := f.entry(m)
		if err != nil {
			return nil, err
		}
		all[i] = e
	}
	slices.SortStableFunc(all, func(a, b entry) int { return bytes.Compare(a.name, b.name) })
	for i := 1; i < len(all); i++ {
		if before := &all[i-1]; bytes.Equal(all[i].name, before.name) {
			all[i].first = before
			if before.first != nil {
				all[i].first = before.first
			}
		}
	}
	return all, nil
}

func (f *IDs) entry(m *hapax.Mark) (entry, error) {
	key := identity.SharedKey(m.Scope, m.Identity)
	e := entry{mark: m, name: key[:]}
	if f.Span > 0 {
		at, err := moment(m)
		if err != nil {
			return e, err
		}
		e.period = at.UTC().Truncate(f.Span)
		e.name = binary.BigEndian.AppendUint64(e.name, uint64(e.period.UnixMicro()))
	}
	return e, nil
}

// key is the SHA-256 of an entry.
func (e *entry) key() []byte { return e.name[:sha256.Size] }

// find returns the entry of a name, among entries in their order.
func find(entries []*entry, name []byte) (*entry, bool) {
	at, ok := slices.BinarySearchFunc(entries, name, func(e *entry, name []byte) int { return bytes.Compare(e.name, name) })
	if !ok {
		return nil, false
	}
	return entries[at], true
}

// settle gives different entries their verdicts.
func (f *IDs) settle(ctx context.Context, tx Tx, left []*entry, wait time.Duration) error {
	for range passes {
		known, err := f.insert(ctx, tx, left, wait)
		if err != nil {
			return err
		}
		if len(known) == 0 {
			return nil
		}
		if left, err = f.look(ctx, tx, known); err != nil || len(left) == 0 {
			return err
		}
	}
	return fmt.Errorf("marks are deleted while they are made: is the window of a sweep near zero?")
}

// insert marks what is fresh, and returns what is not.
func (f *IDs) insert(ctx context.Context, tx Tx, left []*entry, wait time.Duration) (known []*entry, err error) {
	switch {
	case f.Span > 0:
		return f.insertPeriods(ctx, tx, left, wait)
	case f.Dialect == sqltext.Postgres && len(left) == 1 && wait > noWait:
		return f.insertOne(ctx, tx, left, wait)
	case f.Dialect == sqltext.Postgres:
		var fresh []byte
		var restored string
		err := tx.Query(ctx, func(scan func(...any) error) error { return scan(&fresh, &restored) },
			sqltext.Insert(f.Dialect, f.Table, len(left)), keyArray(left), digestArray(left), timeout(wait))
		return sift(left, fresh), err
	case f.Dialect == sqltext.SQLite:
		return f.insertPatiently(ctx, tx, left, wait)
	default:
		return f.insertMany(ctx, tx, left, wait)
	}
}

// sift marks as fresh whose names stand in fresh, one behind the other, and returns
// the others.
func sift(left []*entry, fresh []byte) (known []*entry) {
	for name := range slices.Chunk(fresh, len(left[0].name)) {
		if e, ok := find(left, name); ok {
			e.fresh()
		}
	}
	return unanswered(left)
}

// unanswered returns the entries that have no verdict yet.
func unanswered(entries []*entry) (left []*entry) {
	for _, e := range entries {
		if e.mark.Verdict == 0 {
			left = append(left, e)
		}
	}
	return left
}

// insertOne is insert of the usual single message. The context has the limit of
// waiting: that of PostgreSQL would cost the statement what it saves a few.
func (f *IDs) insertOne(ctx context.Context, tx Tx, left []*entry, wait time.Duration) (known []*entry, err error) {
	e := left[0]
	err = limited(ctx, wait, func(ctx context.Context) error {
		done, err := tx.Exec(ctx, sqltext.InsertOne(f.Dialect, f.Table), e.key(), int64(e.mark.Digest))
		if err == nil && done.Rows == 1 {
			e.fresh()
		}
		return err
	})
	return unanswered(left), err
}

// insertPeriods is insert into the partitions of PostgreSQL.
func (f *IDs) insertPeriods(ctx context.Context, tx Tx, left []*entry, wait time.Duration) ([]*entry, error) {
	var fresh []byte
	var horizon time.Time
	var restored string
	err := tx.Query(ctx, func(scan func(...any) error) error { return scan(&fresh, &horizon, &restored) },
		sqltext.InsertPeriod(f.Table), keyArray(left), digestArray(left), timeout(wait), periodArray(left))
	if err != nil {
		if f.Fault(err) == sqltext.Unplaced {
			err = fmt.Errorf("no partition for a message's time: sweep makes them ahead, and may be late, or the time is far off: %w", err)
		}
		return nil, err
	}
	var known []*entry
	for _, e := range sift(left, fresh) {
		if e.period.Before(horizon) {
			e.mark.Verdict = hapax.Late
			continue
		}
		known = append(known, e)
	}
	return known, nil
}

// insertPatiently is insert into SQLite, whose own waiting is a matter of the
// connection: there is one writer at a time, and it is asked for again and again.
func (f *IDs) insertPatiently(ctx context.Context, tx Tx, left []*entry, wait time.Duration) ([]*entry, error) {
	if len(left) == 1 {
		e := left[0]
		err := patiently(ctx, f.Fault, wait, func() error {
			done, err := tx.Exec(ctx, sqltext.InsertOne(f.Dialect, f.Table), e.key(), int64(e.mark.Digest))
			if err == nil && done.Rows == 1 {
				e.fresh()
			}
			return err
		})
		return unanswered(left), err
	}
	args := make([]any, 0, 2*len(left))
	for _, e := range left {
		args = append(args, e.key(), int64(e.mark.Digest))
	}
	var fresh []byte
	err := patiently(ctx, f.Fault, wait, func() error {
		fresh = fresh[:0]
		return tx.Query(ctx, func(scan func(...any) error) error {
			var id []byte
			err := scan(&id)
			fresh = append(fresh, id...)
			return err
		}, sqltext.Insert(f.Dialect, f.Table, len(left)), args...)
	})
	if err != nil {
		return nil, err
	}
	return sift(left, fresh), nil
}

// patiently tries until it is not busy any more, for wait.
func patiently(ctx context.Context, fault func(error) sqltext.Fault, wait time.Duration, try func() error) error {
	until := time.Now().Add(wait)
	for n := 1; ; n++ {
		err := try()
		if err == nil || fault(err) != sqltext.Busy || time.Now().After(until) {
			return err
		}
		select {
		case <-ctx.Done():
			return errors.Join(context.Cause(ctx), err)
		case <-time.After(Pause(n)):
		}
	}
}

// insertMany is insert into MySQL, which tells how many were fresh, but not which:
// if it is neither none nor all, their rows are known by a number drawn for them.
func (f *IDs) insertMany(ctx context.Context, tx Tx, left []*entry, wait time.Duration) ([]*entry, error) {
	run := int64(0)
	if len(left) > 1 {
		run = rand.Int64()
	}
	statement := append(make([]byte, 0, 160+120*len(left)), sqltext.InsertValues(f.Dialect, f.Table, wait)...)
	for i, e := range left {
		if i > 0 {
			statement = append(statement, ',')
		}
		statement = appendRow(statement, e.key(), int64(e.mark.Digest), run)
	}
	var done Done
	err := atMost(ctx, tx, f.Dialect, wait, func(ctx context.Context) (err error) {
		done, err = tx.Exec(ctx, string(statement))
		return err
	})
	switch {
	case err != nil:
		return nil, err
	case done.Rows == 0:
		return left, nil
	case done.Rows == int64(len(left)):
		for _, e := range left {
			e.fresh()
		}
		return nil, nil
	}
	err = f.each(ctx, tx, left, func(e *entry, r row) {
		if r.run == run {
			e.fresh()
		}
	})
	return unanswered(left), err
}

// look gives entries the verdicts of the rows that are there, and returns those of
// which there are none any more.
func (f *IDs) look(ctx context.Context, tx Tx, known []*entry) (left []*entry, err error) {
	err = f.each(ctx, tx, known, func(e *entry, r row) { e.answer(hapax.Digest(r.digest), r.receipt) })
	return unanswered(known), err
}

// row is what a table has of a message.
type row struct {
	name    []byte
	digest  int64
	receipt []byte
	run     int64
	kept    bool // a receipt, be it empty
}

// each calls found for those entries that have rows.
func (f *IDs) each(ctx context.Context, tx Tx, entries []*entry, found func(*entry, row)) error {
	var args []any
	statement := sqltext.Look(f.Dialect, f.Table, len(entries))
	switch {
	case f.Span > 0:
		statement, args = sqltext.LookPeriod(f.Table), []any{keyArray(entries), periodArray(entries)}
	case f.Dialect == sqltext.Postgres:
		args = []any{keyArray(entries)}
	default:
		for _, e := range entries {
			args = append(args, e.key())
		}
	}
	return tx.Query(ctx, func(scan func(...any) error) error {
		var r row
		into := []any{&r.name, &r.digest, &r.receipt}
		switch f.Dialect {
		case sqltext.MySQL, sqltext.MariaDB:
			into = append(into, &r.run)
		case sqltext.SQLite:
			into = append(into, &r.kept)
		}
		if err := scan(into...); err != nil {
			return err
		}
		if r.kept && r.receipt == nil {
			r.receipt = []byte{}
		}
		if e, ok := find(entries, r.name); ok {
			found(e, r)
		}
		return nil
	}, statement, args...)
}

// fresh is the verdict about what was not there.
func (e *entry) fresh() {
	e.mark.Verdict, e.known = hapax.Fresh, e.mark.Digest
}

// answer is the verdict about what was there, with a digest and a receipt.
func (e *entry) answer(digest hapax.Digest, receipt hapax.Receipt) {
	e.known, e.receipt = digest, receipt
	if e.mark.Digest != 0 && digest != 0 && e.mark.Digest != digest {
		e.mark.Verdict = hapax.Conflict
		return
	}
	e.mark.Verdict, e.mark.Receipt = hapax.Duplicate, receipt
}

// Keep is the method of [Form].
func (f *IDs) Keep(ctx context.Context, tx Tx, m *hapax.Mark) error {
	switch {
	case m.Receipt == nil:
		return nil
	case len(m.Receipt) > f.MaxReceipt:
		return fmt.Errorf("keep: %d bytes where %d are kept at most: %w", len(m.Receipt), f.MaxReceipt, hapax.ErrReceiptSize)
	}
	e, err := f.entry(m)
	if err != nil {
		return fmt.Errorf("keep: %w", err)
	}
	statement, args := sqltext.Keep(f.Dialect, f.Table), []any{[]byte(m.Receipt), e.key()}
	if f.Span > 0 {
		statement, args = sqltext.KeepPeriod(f.Table), append(args, e.period)
	}
	done, err := tx.Exec(ctx, statement, args...)
	switch {
	case err != nil:
		return fmt.Errorf("keep: %w", err)
	case done.Rows != 1:
		return errors.New("keep: the message is not marked in this transaction")
	}
	return nil
}
