package peer

import (
	"fmt"
	"time"

	"go.etcd.io/bbolt"

	"github.com/hapaxmq/hapax/bench/stream"
)

// Bolt keeps fingerprints in a bbolt bucket. Several callers share transactions
// by DB.Batch, which waits for as many as there are and no longer than a sync
// takes; a single one has transactions of its own. One is safe for concurrent
// use.
type Bolt struct {
	db      *bbolt.DB
	callers int
}

// OpenBolt makes a store in the file path for so many concurrent callers.
func OpenBolt(path string, callers int) (*Bolt, error) {
	o := *bbolt.DefaultOptions
	o.NoFreelistSync = true
	o.FreelistType = bbolt.FreelistMapType
	db, err := bbolt.Open(path, 0o600, &o)
	if err != nil {
		return nil, fmt.Errorf("open bbolt: %w", err)
	}
	db.MaxBatchSize = callers
	db.MaxBatchDelay = time.Millisecond
	err = db.Update(func(tx *bbolt.Tx) error {
		_, err := tx.CreateBucket([]byte("seen"))
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("create bucket: %w", err)
	}
	return &Bolt{db, callers}, nil
}

// TakeOne takes one id in and returns, once it is synced, whether it was new.
func (b *Bolt) TakeOne(id *stream.ID) (fresh bool, err error) {
	key := fingerprint(id)
	update := b.db.Update
	if b.callers > 1 {
		update = b.db.Batch
	}
	err = update(func(tx *bbolt.Tx) error {
		seen := tx.Bucket([]byte("seen"))
		fresh = seen.Get(key[:]) == nil
		if !fresh {
			return nil
		}
		return seen.Put(key[:], []byte{})
	})
	if err != nil {
		return false, fmt.Errorf("bbolt: %w", err)
	}
	return fresh, nil
}

// Close closes the store.
func (b *Bolt) Close() error { return b.db.Close() }
