package peer

import (
	"errors"
	"fmt"
	"sync"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"

	"github.com/hapaxmq/hapax/bench/stream"
)

// Pebble looks ids up in a Pebble store and sets the new ones, synced. Bloom
// filters on every level, no compression (fingerprints do not compress), and
// memtables of 16 MiB: they have no filter, and a larger skip list is slower to
// search than the tables it saves. One is safe for concurrent use.
type Pebble struct {
	db    *pebble.DB
	locks [256]sync.Mutex // by key: looking up and setting is one step
}

// OpenPebble makes a store in dir.
func OpenPebble(dir string) (*Pebble, error) {
	o := &pebble.Options{
		FormatMajorVersion:          pebble.FormatNewest,
		MemTableSize:                16 << 20,
		MemTableStopWritesThreshold: 4,
		L0CompactionThreshold:       4,
		L0StopWritesThreshold:       1000,
		CacheSize:                   256 << 20,
		Logger:                      silent{},
	}
	for i := range o.Levels {
		o.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
		o.Levels[i].FilterType = pebble.TableFilter
	}
	o.ApplyCompressionSettings(func() pebble.DBCompressionSettings { return pebble.DBCompressionNone })
	db, err := pebble.Open(dir, o)
	if err != nil {
		return nil, fmt.Errorf("open pebble: %w", err)
	}
	return &Pebble{db: db}, nil
}

// TakeBatch takes ids in as one synced write and returns how many were new.
// Keys are sorted first: the memtable likes that better.
func (p *Pebble) TakeBatch(ids []stream.ID) (fresh int, err error) {
	keys := sortedKeys(ids)
	batch := p.db.NewBatch()
	defer func() { err = errors.Join(err, batch.Close()) }()
	for i := range keys {
		if i > 0 && keys[i] == keys[i-1] {
			continue
		}
		known, err := p.known(&keys[i])
		if err != nil {
			return 0, err
		}
		if known {
			continue
		}
		fresh++
		if err := batch.Set(keys[i][:], nil, nil); err != nil {
			return 0, fmt.Errorf("pebble: set: %w", err)
		}
	}
	if err := batch.Commit(pebble.Sync); err != nil {
		return 0, fmt.Errorf("pebble: commit: %w", err)
	}
	return fresh, nil
}

// TakeOne takes one id in and returns, once it is synced, whether it was new.
func (p *Pebble) TakeOne(id *stream.ID) (fresh bool, err error) {
	key := fingerprint(id)
	lock := &p.locks[key[0]]
	lock.Lock()
	defer lock.Unlock()
	known, err := p.known(&key)
	if known || err != nil {
		return false, err
	}
	if err := p.db.Set(key[:], nil, pebble.Sync); err != nil {
		return false, fmt.Errorf("pebble: set: %w", err)
	}
	return true, nil
}

func (p *Pebble) known(key *[16]byte) (bool, error) {
	_, closer, err := p.db.Get(key[:])
	if errors.Is(err, pebble.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("pebble: get: %w", err)
	}
	return true, closer.Close()
}

// Close closes the store.
func (p *Pebble) Close() error { return p.db.Close() }

type silent struct{}

func (silent) Infof(string, ...any)              {}
func (silent) Errorf(string, ...any)             {}
func (silent) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }
