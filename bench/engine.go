package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/bench/peer"
	"github.com/hapaxmq/hapax/bench/stream"
	"github.com/hapaxmq/hapax/identity"
	"github.com/hapaxmq/hapax/ledger"
)

// engine is the ledger as the rows see it. Nothing else in this module knows
// its programming interface. Several engines may share one ledger, each for
// one goroutine.
type engine struct {
	ledger  *ledger.Ledger
	hash    identity.Hasher
	digests bool
	batch   ledger.Batch
	numbers ledger.SequenceBatch
}

// settings are what the rows vary.
type settings struct {
	Dir       string // empty: in memory only
	Synced    bool   // else as durable as the operating system's memory
	Digests   bool
	MaxMemory int64            // 0: enough
	Window    time.Duration    // 0: 24 h
	Clock     func() time.Time `json:"-"`
	Expect    int64            // identities to make room for; 0: grow from small
	Producers int              // of numbered messages; 0: a million
}

func openEngine(s settings) (*engine, error) {
	o := ledger.Options{
		Window:     hapax.Window{Time: s.Window},
		Identity:   "id",
		Digests:    s.Digests,
		Durability: ledger.Written,
		MaxMemory:  s.MaxMemory,
		Clock:      s.Clock,
		Expect:     s.Expect,
		Sequences:  ledger.SequenceOptions{Window: 64, MaxProducers: s.Producers},
	}
	if s.Synced {
		o.Durability = ledger.Synced
	}
	if o.Window.Time == 0 {
		o.Window.Time = 24 * time.Hour
	}
	if o.MaxMemory == 0 {
		o.MaxMemory = 8 << 30
	}
	l, err := ledger.Open(s.Dir, o)
	if err != nil {
		return nil, err
	}
	return &engine{ledger: l, hash: l.Hasher(""), digests: s.Digests}, nil
}

// share is another engine on the same ledger.
func (e *engine) share() *engine {
	return &engine{ledger: e.ledger, hash: e.hash, digests: e.digests}
}

// take takes ids in one by one and returns how many were new.
func (e *engine) take(ids []stream.ID) (fresh int, err error) {
	ctx := context.Background()
	var entry ledger.Entry
	for i := range ids {
		e.put(&entry, &ids[i])
		if err := e.ledger.AdmitOne(ctx, &entry); err != nil {
			return fresh, err
		}
		if entry.Verdict == hapax.Fresh {
			fresh++
		}
	}
	return fresh, nil
}

// takeOne takes one id in. It is safe for concurrent use.
func (e *engine) takeOne(id *stream.ID) (fresh bool, err error) {
	var entry ledger.Entry
	e.put(&entry, id)
	err = e.ledger.AdmitOne(context.Background(), &entry)
	return entry.Verdict == hapax.Fresh, err
}

// takeBatch takes ids in as one batch and returns how many were new.
func (e *engine) takeBatch(ids []stream.ID) (fresh int, err error) {
	entries := slices.Grow(e.batch.Entries[:0], len(ids))[:len(ids)]
	for i := range ids {
		e.put(&entries[i], &ids[i])
	}
	e.batch.Entries = entries
	if err := e.ledger.Admit(context.Background(), &e.batch); err != nil {
		return 0, err
	}
	for i := range entries {
		if entries[i].Verdict == hapax.Fresh {
			fresh++
		}
	}
	return fresh, nil
}

// fresh says of each id of the last batch whether it was new.
func (e *engine) fresh(i int) bool { return e.batch.Entries[i].Verdict == hapax.Fresh }

// batches takes ids in by batches of n.
func (e *engine) batches(n int) take {
	return func(ids []stream.ID) (fresh int, err error) {
		for len(ids) > 0 {
			part := ids[:min(n, len(ids))]
			ids = ids[len(part):]
			k, err := e.takeBatch(part)
			if err != nil {
				return fresh, err
			}
			fresh += k
		}
		return fresh, nil
	}
}

// takeNumbered takes numbered messages in by batches and returns how many were
// new. Every producer's id is hashed, as if nobody had kept its fingerprint.
func (e *engine) takeNumbered(messages []numbered) (fresh int, err error) {
	for len(messages) > 0 {
		part := messages[:min(peer.BareBatch, len(messages))]
		messages = messages[len(part):]
		entries := e.numbers.Entries[:0]
		for i := range part {
			entries = append(entries, ledger.SequenceEntry{
				Producer: e.hash.Fingerprint(part[i].producer[:]),
				Number:   part[i].number,
			})
		}
		e.numbers.Entries = entries
		if err := e.ledger.AdmitSequences(context.Background(), &e.numbers); err != nil {
			return fresh, err
		}
		for i := range entries {
			if entries[i].Verdict == hapax.Fresh {
				fresh++
			}
		}
	}
	return fresh, nil
}

// put makes an id an entry.
func (e *engine) put(entry *ledger.Entry, id *stream.ID) {
	*entry = ledger.Entry{}
	e.hash.Sum(&entry.Fingerprint, id[:])
	if e.digests {
		entry.Digest = hapax.Digest(entry.Fingerprint[15]) | 0xd16e57<<8
	}
}

// gauges are what the ledger says of itself.
type gauges struct {
	Live, Cold   int64 // identities remembered; of these, on disk
	Memory, Disk int64 // bytes
}

func (e *engine) gauges() gauges {
	s := e.ledger.Stats()
	return gauges{Live: s.Live, Cold: s.LiveCold, Memory: s.Memory, Disk: s.Disk}
}

func (e *engine) sync() error { return e.ledger.Sync(context.Background()) }

func (e *engine) close() error {
	if err := e.ledger.Close(); err != nil {
		return fmt.Errorf("close ledger: %w", err)
	}
	return nil
}
