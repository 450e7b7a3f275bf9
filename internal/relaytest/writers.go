//go:build unix

package relaytest

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/hapaxmq/hapax/outbox"
)

// Writers put records while the database comes and goes, one for each key, until they are
// stopped.
type Writers struct {
	box   *Box
	topic string
	pause time.Duration
	all   sync.WaitGroup

	mu   sync.Mutex
	put  []int // of each key, the one under way too
	most int   // that a key is to have; 0: not known yet
}

// Writers starts writers that each put a record after every pause.
func (b *Box) Writers(t *testing.T, topic string, keys int, pause time.Duration) *Writers {
	t.Helper()
	b.Execute(t, "CREATE TABLE "+b.Table+"_keys (id INTEGER NOT NULL PRIMARY KEY, n INTEGER NOT NULL)")
	w := &Writers{box: b, topic: topic, pause: pause, put: make([]int, keys)}
	for key := range keys {
		b.Execute(t, fmt.Sprintf("INSERT INTO %s_keys VALUES (%d, 0)", b.Table, key))
		w.all.Go(func() { w.write(t, key) })
	}
	return w
}

// Stop lets all keys get as many records as the first of them has, waits until they are
// put, and returns how many that is.
func (w *Writers) Stop() int {
	w.mu.Lock()
	w.most = slices.Max(w.put)
	w.mu.Unlock()
	w.all.Wait()
	return w.most
}

// next is the number of a key's next record.
func (w *Writers) next(key int) (n int, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	n = w.put[key]
	if w.most > 0 && n == w.most {
		return 0, false
	}
	w.put[key]++
	return n, true
}

func (w *Writers) write(t *testing.T, key int) {
	ctx, end := context.WithTimeout(t.Context(), Patience)
	defer end()
	pace := time.NewTicker(w.pause)
	defer pace.Stop()
	for n, ok := w.next(key); ok; n, ok = w.next(key) {
		for {
			<-pace.C
			err := w.one(ctx, key, n)
			if err == nil {
				break
			}
			if ctx.Err() != nil {
				t.Errorf("put record %d of %s: %v", n, Key(key), err)
				return
			}
		}
	}
}

// one puts a record, unless a try before, whose commit nobody answered, has put it: its
// key's row says so.
func (w *Writers) one(ctx context.Context, key, n int) error {
	return w.box.Transact(ctx, func(ctx context.Context, tx *sql.Tx) error {
		r, err := tx.ExecContext(ctx, fmt.Sprintf("UPDATE %s_keys SET n = %d WHERE id = %d AND n = %d", w.box.Table, n+1, key, n))
		if err != nil {
			return err
		}
		if changed, err := r.RowsAffected(); err != nil || changed == 0 {
			return err
		}
		return w.box.Out.Put(ctx, tx, outbox.Record{Topic: w.topic, OrderKey: Key(key), Payload: fmt.Append(nil, n)})
	})
}
