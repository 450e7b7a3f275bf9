package marking

import (
	"context"
	"fmt"
	"time"

	"github.com/hapaxmq/hapax/internal/sqltext"
)

// Table is a table of marks, to be made and swept.
type Table struct {
	Dialect sqltext.Dialect
	Kind    sqltext.Kind
	Name    string
	Span    time.Duration // of a partition
	Ahead   time.Duration // how far partitions are made ahead
	Fault   func(error) sqltext.Fault

	// Session runs a function on one connection, outside of transactions.
	Session func(ctx context.Context, f func(ctx context.Context, tx Tx) error) error
}

// Swept is what a sweep did.
type Swept struct {
	Rows    int64 // deleted
	Dropped int   // partitions
	Made    int   // partitions ahead
}

// Migrate makes the table unless it is there.
func (t *Table) Migrate(ctx context.Context) error {
	err := t.Session(ctx, func(ctx context.Context, tx Tx) error {
		if _, err := tx.Exec(ctx, sqltext.Probe(t.Name)); err == nil {
			return nil // who may only read and write rows is fine
		}
		return t.exclusively(ctx, tx, true, func() error {
			statements, err := sqltext.Schema(t.Dialect, t.Kind, t.Name)
			if err != nil {
				return err
			}
			for _, statement := range statements {
				if _, err := tx.Exec(ctx, statement); err != nil {
					return err
				}
			}
			return nil
		})
	})
	if err != nil {
		return fmt.Errorf("migrate %s: %w", t.Name, err)
	}
	return nil
}

// exclusively runs f while nobody else does, in a session. If it need not wait, f is
// left to who is at it.
func (t *Table) exclusively(ctx context.Context, tx Tx, wait bool, f func() error) (err error) {
	lock, unlock := sqltext.Exclude(t.Dialect, wait)
	if lock == "" {
		return patiently(ctx, t.Fault, time.Minute, f)
	}
	name, had := "hapax "+t.Name, int64(0)
	if err := tx.Query(ctx, func(scan func(...any) error) error { return scan(&had) }, lock, name); err != nil {
		return err
	}
	if had != 1 {
		if wait {
			return fmt.Errorf("lock %q: another has held it for a minute", name)
		}
		return nil
	}
	defer func() {
		var freed int64
		e := tx.Query(context.WithoutCancel(ctx), func(scan func(...any) error) error { return scan(&freed) }, unlock, name)
		if err == nil {
			err = e
		}
	}()
	return f()
}

// batch and minBatch bound how many rows are deleted at once. Whoever marks may wait for so
// long as a batch takes, so one that takes longer than mostPause makes the next smaller.
const (
	batch, minBatch = 5000, 100
	mostPause       = 50 * time.Millisecond
)

// batchAfter is how many rows to delete at once, after so many took so long.
func batchAfter(rows int, took time.Duration) int {
	switch {
	case took > mostPause:
		return max(rows/2, minBatch)
	case took < mostPause/4:
		return min(rows*2, batch)
	}
	return rows
}

// Sweep forgets what was marked longer than window ago. Several may do so at once.
func (t *Table) Sweep(ctx context.Context, window time.Duration) (Swept, error) {
	if window <= 0 {
		return Swept{}, fmt.Errorf("sweep: window %v: want one above zero", window)
	}
	var swept Swept
	var err error
	if t.Kind == sqltext.Partitions {
		swept, err = t.partition(ctx, window)
	} else {
		swept.Rows, err = t.delete(ctx, window)
	}
	if err != nil {
		err = fmt.Errorf("sweep %s: %w", t.Name, err)
	}
	return swept, err
}

// delete forgets rows in bounded batches, each in a transaction of its own, and rests
// between them for as long as the last one took.
func (t *Table) delete(ctx context.Context, window time.Duration) (rows int64, err error) {
	seconds := int64((window + time.Second - 1) / time.Second)
	err = t.Session(ctx, func(ctx context.Context, tx Tx) error {
		for size := batch; ; {
			n, took, err := t.deleteBatch(ctx, tx, seconds, size)
			if fault := t.Fault(err); err != nil && fault != sqltext.Again && fault != sqltext.Locked { // by who marks at the moment: another try
				return err
			}
			rows += n
			if err == nil && n < int64(size) {
				return nil
			}
			size = batchAfter(size, took)
			select {
			case <-ctx.Done():
				return context.Cause(ctx)
			case <-time.After(took):
			}
		}
	})
	return rows, err
}

// deleteBatch deletes so many rows at most, and tells how long others may have waited for it.
func (t *Table) deleteBatch(ctx context.Context, tx Tx, seconds int64, size int) (rows int64, took time.Duration, err error) {
	began := time.Now()
	statement := sqltext.Delete(t.Dialect, t.Kind, t.Name)
	if t.Dialect != sqltext.SQLite {
		done, err := tx.Exec(ctx, statement, seconds, int64(size))
		return done.Rows, time.Since(began), err
	}
	// SQLite has one writer at a time. How long a batch had to wait to become it says nothing
	// about its size.
	err = patiently(ctx, t.Fault, time.Minute, func() (err error) {
		defer func() {
			if err != nil { // a BEGIN that was cut short may have begun
				_, _ = tx.Exec(context.WithoutCancel(ctx), "ROLLBACK") // an error says that none is open
			}
		}()
		if _, err := tx.Exec(ctx, "BEGIN IMMEDIATE"); err != nil {
			return err
		}
		began = time.Now()
		done, err := tx.Exec(ctx, statement, seconds, int64(size))
		if err == nil {
			_, err = tx.Exec(ctx, "COMMIT")
		}
		if err == nil {
			rows = done.Rows
		}
		return err
	})
	return rows, time.Since(began), err
}

// maxPartitions bounds the partitions of a window.
const maxPartitions = 1000

// partition makes the partitions of the window and ahead of it, and drops those
// before it. First the horizon is moved: from then on nothing is marked there.
func (t *Table) partition(ctx context.Context, window time.Duration) (swept Swept, err error) {
	if (window+t.Ahead)/t.Span >= maxPartitions {
		return swept, fmt.Errorf("window %v and %v ahead: want fewer than %d partitions of %v", window, t.Ahead, maxPartitions, t.Span)
	}
	err = t.Session(ctx, func(ctx context.Context, tx Tx) error {
		return t.exclusively(ctx, tx, false, func() error {
			return t.repartition(ctx, tx, window, &swept)
		})
	})
	return swept, err
}

func (t *Table) repartition(ctx context.Context, tx Tx, window time.Duration, swept *Swept) error {
	var now, horizon time.Time
	err := tx.Query(ctx, func(scan func(...any) error) error { return scan(&now) }, "SELECT now()")
	if err != nil {
		return err
	}
	oldest := now.Add(-window).UTC().Truncate(t.Span)
	err = tx.Query(ctx, func(scan func(...any) error) error { return scan(&horizon) }, sqltext.MoveHorizon(t.Name), oldest)
	if err != nil {
		return err
	}
	there := map[int64]bool{} // by the second it starts at
	var old []string          // statements
	err = tx.Query(ctx, func(scan func(...any) error) error {
		var name, state string
		if err := scan(&name, &state); err != nil {
			return err
		}
		start, ok := sqltext.PartitionStart(t.Name, name)
		there[start] = ok
		if ok && start < horizon.Unix() {
			old = append(old, sqltext.DropPartition(t.Name, start, state)...)
			swept.Dropped++
		}
		return nil
	}, sqltext.PartitionNames(), t.Name)
	if err != nil {
		return err
	}
	for at := horizon.UTC(); at.Before(now.Add(t.Ahead + t.Span)); at = at.Add(t.Span) {
		if there[at.Unix()] {
			continue
		}
		if _, err := tx.Exec(ctx, sqltext.MakePartition(t.Name, at, t.Span)); err != nil {
			return err
		}
		swept.Made++
	}
	for _, statement := range old {
		if _, err := tx.Exec(ctx, statement); err != nil {
			return err
		}
	}
	return nil
}
