//go:build unix

package relaytest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/hapaxmq/hapax/outbox"
)

// Audit holds what comes against what was put: each key's payloads are numbers from 0 on, in their
// order, each under an id of its own.
type Audit struct {
	*testing.T

	Keys, Each int
	Repeats    bool // a record may come again with its id

	next map[string]int
	ids  map[string]string // what came under them
}

// Take takes a record in.
func (a *Audit) Take(key, id, value string) {
	a.Helper()
	if a.ids == nil {
		a.next, a.ids = map[string]int{}, map[string]string{}
	}
	this := key + ": " + value
	before, again := a.ids[id]
	switch {
	case id == "" || again && before != this:
		a.Errorf("%s came with id %q, as did %q", this, id, before)
	case again && !a.Repeats:
		a.Errorf("%s came twice, with id %q", this, id)
	case !again && fmt.Sprint(a.next[key]) != value:
		a.Errorf("%s: %s came, want %d", key, value, a.next[key])
	case !again:
		a.next[key]++
	}
	a.ids[id] = this
}

// Came is how many have come, each counted once.
func (a *Audit) Came() int { return len(a.ids) }

// All tells whether all have come.
func (a *Audit) All() bool { return len(a.ids) >= a.Keys*a.Each }

// Missing reports those that have not come.
func (a *Audit) Missing() {
	a.Helper()
	if !a.All() {
		a.Errorf("%d records of %d came: %v", len(a.ids), a.Keys*a.Each, a.next)
	}
}

// Key is the name of an order key.
func Key(n int) string { return fmt.Sprint("key ", n) }

// PutRounds puts a record for each key, so often, and counts on from a number.
func (b *Box) PutRounds(t *testing.T, topic string, keys, from, rounds int) {
	t.Helper()
	for n := from; n < from+rounds; n++ {
		records := make([]outbox.Record, keys)
		for key := range keys {
			records[key] = outbox.Record{Topic: topic, OrderKey: Key(key), Payload: fmt.Append(nil, n)}
		}
		b.Put(t, records...)
	}
}

var errRollback = errors.New("roll back")

// Write has two writers for each key put so many records together, in turns by a row of
// their key's. Some of their tries are rolled back. The returned function waits until all are put.
func (b *Box) Write(t *testing.T, topic string, keys, each int) (written func()) {
	t.Helper()
	b.Execute(t, "CREATE TABLE "+b.Table+"_keys (id INTEGER NOT NULL PRIMARY KEY, n INTEGER NOT NULL)")
	for key := range keys {
		b.Execute(t, fmt.Sprintf("INSERT INTO %s_keys VALUES (%d, 0)", b.Table, key))
	}
	writers := &sync.WaitGroup{}
	for key := range keys {
		for half := range 2 {
			writers.Go(func() {
				for range each / 2 {
					if err := b.turn(t.Context(), topic, key); err != nil {
						t.Errorf("writer %d of key %d: %v", half, key, err)
						return
					}
				}
			})
		}
	}
	return writers.Wait
}

// turn counts up the row of a key, which orders its transactions, and puts what it
// counted.
func (b *Box) turn(ctx context.Context, topic string, key int) error {
	row := fmt.Sprintf("%s_keys WHERE id = %d", b.Table, key)
	for {
		err := b.Transact(ctx, func(ctx context.Context, tx *sql.Tx) error {
			if _, err := tx.ExecContext(ctx, strings.Replace("UPDATE "+row, " WHERE", " SET n = n + 1 WHERE", 1)); err != nil {
				return err
			}
			var n int
			if err := tx.QueryRowContext(ctx, "SELECT n FROM "+row).Scan(&n); err != nil {
				return err
			}
			record := outbox.Record{Topic: topic, OrderKey: Key(key), Payload: fmt.Append(nil, n-1)}
			if key%2 == 0 {
				record.ID = fmt.Sprintf("%d of key %d", n, key)
			}
			if err := b.Out.Put(ctx, tx, record); err != nil {
				return err
			}
			if rand.IntN(4) == 0 {
				return errRollback
			}
			return nil
		})
		if !errors.Is(err, errRollback) {
			return err
		}
	}
}
