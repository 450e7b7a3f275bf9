package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// place is a partition.
type place struct {
	topic     string
	partition int32
}

// spot is where a record is.
type spot struct {
	place
	offset int64
}

// deal is a transaction: the number'th of a writer.
type deal struct {
	writer string
	number int
}

// line is a record of a transaction; input is the offset in "in" of what it copies.
type line struct {
	deal
	record, of int
	input      int64
}

func (l line) String() string {
	return fmt.Sprintf("%s %d %d %d %d", l.writer, l.number, l.record, l.of, l.input)
}

func lineOf(value string) (l line, err error) {
	_, err = fmt.Sscanf(value, "%1s %d %d %d %d", &l.writer, &l.number, &l.record, &l.of, &l.input)
	return l, err
}

// outcome is what a writer knows of its transaction.
type outcome int

const (
	unknown   outcome = iota // asked to commit, and no answer
	aborted                  // or never asked to commit
	committed                // and told so
)

type dealt struct {
	outcome outcome
	of      int
	acked   map[string]spot
}

// dealings are what writers were told.
type dealings struct {
	mu           sync.Mutex
	more         *sync.Cond     // told is more, or something went wrong
	told         int            // acknowledgements of records and ends
	commits      map[string]int // by writer
	transactions map[deal]*dealt
	fault        error // the first
}

func (d *dealings) fail(format string, args ...any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.fault == nil {
		d.fault = fmt.Errorf(format, args...)
	}
	d.more.Broadcast()
}

func (d *dealings) wrong() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.fault
}

func (d *dealings) begin(id deal, of int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.transactions[id] = &dealt{outcome: aborted, of: of, acked: map[string]spot{}}
}

func (d *dealings) ack(id deal, r *kgo.Record) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.transactions[id].acked[string(r.Value)] = spot{place{r.Topic, r.Partition}, r.Offset}
	d.told++
	d.more.Broadcast()
}

func (d *dealings) end(id deal, o outcome) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.transactions[id].outcome = o
	if o == committed {
		d.commits[id.writer]++
	}
	d.told++
	d.more.Broadcast()
}

// await returns when writers were told n more things, or something went wrong.
func (d *dealings) await(n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for target := d.told + n; d.told < target && d.fault == nil; {
		d.more.Wait()
	}
}

// awaitEach returns when each of the writers has committed once more, which takes
// it less than a minute, or something went wrong.
func (d *dealings) awaitEach(writers []*writer) {
	late := time.AfterFunc(time.Minute, func() { d.fail("a writer commits no more") })
	defer late.Stop()
	d.mu.Lock()
	defer d.mu.Unlock()
	before := maps.Clone(d.commits)
	for _, w := range writers {
		for d.commits[w.name] == before[w.name] && d.fault == nil {
			d.more.Wait()
		}
	}
}

// count says how the transactions ended.
func (d *dealings) count() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	var n [committed + 1]int
	for _, x := range d.transactions {
		n[x.outcome]++
	}
	return fmt.Sprintf("%d transactions committed, %d aborted, %d unknown", n[committed], n[aborted], n[unknown])
}

// reader reads all partitions from the start to the seals.
type reader struct {
	c      *kgo.Client
	saw    map[spot]string
	next   map[place]int64
	last   map[place]map[string]line // by writer
	sealed int
}

func (s *served) reader(level kgo.IsolationLevel) *reader {
	s.Helper()
	from := map[string]map[int32]kgo.Offset{}
	last := map[place]map[string]line{}
	for _, p := range everywhere() {
		if from[p.topic] == nil {
			from[p.topic] = map[int32]kgo.Offset{}
		}
		from[p.topic][p.partition] = kgo.NewOffset().At(0)
		last[p] = map[string]line{}
	}
	return &reader{
		c:   s.client(kgo.ConsumePartitions(from), kgo.FetchIsolationLevel(level), kgo.ConsumeResetOffset(kgo.NoResetOffset())),
		saw: map[spot]string{}, next: map[place]int64{}, last: last,
	}
}

func (r *reader) read(ctx context.Context, d *dealings) {
	for r.sealed < len(everywhere()) {
		fetches := r.c.PollFetches(ctx)
		if ctx.Err() != nil {
			d.fail("a reader came to %v only: %w", r.next, ctx.Err())
			return
		}
		for _, e := range fetches.Errors() {
			var lost *kgo.ErrDataLoss
			if errors.As(e.Err, &lost) || errors.Is(e.Err, kerr.OffsetOutOfRange) {
				d.fail("read %s %d: %w", e.Topic, e.Partition, e.Err)
				return
			}
		}
		fetches.EachRecord(func(x *kgo.Record) {
			if err := r.see(x); err != nil {
				d.fail("read %s %d at %d: %w", x.Topic, x.Partition, x.Offset, err)
			}
		})
	}
}

// see demands that records come in the order in which they were written.
func (r *reader) see(x *kgo.Record) error {
	at, value := place{x.Topic, x.Partition}, string(x.Value)
	if x.Offset < r.next[at] {
		return fmt.Errorf("it went back from %d", r.next[at])
	}
	r.next[at] = x.Offset + 1
	if value == seal {
		r.sealed++
		return nil
	}
	r.saw[spot{at, x.Offset}] = value
	l, err := lineOf(value)
	if err != nil {
		return fmt.Errorf("%q: %w", value, err)
	}
	if was := r.last[at][l.writer]; l.number < was.number || l.number == was.number && l.record <= was.record {
		return fmt.Errorf("%s comes after %s", l, was)
	}
	r.last[at][l.writer] = l
	return nil
}

// check compares what writers were told with what readers saw: of those that read
// while it was killed and those that came afterwards, one of each with ReadCommitted
// and then one with ReadUncommitted. The group has read up to an offset of "in".
func (d *dealings) check(t *testing.T, live, final []*reader, group int64) {
	t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	for i := range live {
		if !maps.Equal(live[i].saw, final[i].saw) {
			t.Errorf("reader %d saw %d records while it was killed, and %d afterwards, not the same", i, len(live[i].saw), len(final[i].saw))
		}
	}
	stable, all := final[0].saw, final[1].saw
	for at, value := range stable {
		if all[at] != value {
			t.Errorf("%v holds %s if read committed, and else %s", at, value, all[at])
		}
	}
	seen := map[deal]map[int]spot{}
	copied := map[int64]string{}
	for at, value := range stable {
		l, _ := lineOf(value) // see was content with it
		if seen[l.deal] == nil {
			seen[l.deal] = map[int]spot{}
		}
		if other, twice := seen[l.deal][l.record]; twice {
			t.Errorf("%s is at %v and at %v", value, at, other)
		}
		seen[l.deal][l.record] = at
		if l.writer != "b" {
			continue
		}
		if other, twice := copied[l.input]; twice {
			t.Errorf("%s and %s copy the same", value, other)
		}
		copied[l.input] = value
	}
	d.checkEnds(t, seen, all)
	due := 0
	for at, value := range stable {
		if at.topic != "in" || at.offset >= group {
			continue
		}
		due++
		if _, ok := copied[at.offset]; !ok {
			t.Errorf("%s at %v is not copied, and the group has read up to %d", value, at, group)
		}
	}
	if due == 0 || due != len(copied) {
		t.Errorf("%d records are copied, and the group has read %d", len(copied), due)
	}
}

// checkEnds demands that transactions are whole or absent, as their writers were
// told, and that each acknowledged record is where it was said to be.
func (d *dealings) checkEnds(t *testing.T, seen map[deal]map[int]spot, all map[spot]string) {
	t.Helper()
	for id, x := range d.transactions {
		n := len(seen[id])
		if n != x.of && (x.outcome == committed || n > 0) || n > 0 && x.outcome == aborted {
			t.Errorf("of transaction %v, outcome %d, %d of %d records are read committed", id, x.outcome, n, x.of)
		}
		for value, at := range x.acked {
			if all[at] != value {
				t.Errorf("%s was acknowledged at %v, which holds %q", value, at, all[at])
			}
		}
	}
	for id := range seen {
		if d.transactions[id] == nil {
			t.Errorf("nobody wrote %v", id)
		}
	}
}
