package relay

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Options are those of a [Relay]. The zero value is good.
type Options struct {
	// Lease is how long a relay that died holds its shards (default: 10 s; 100 ms at least).
	Lease time.Duration
	// Poll is how often the source is asked while there are records, and MaxPoll how
	// often while there are none; between them it doubles (default: 5 ms, 100 ms).
	Poll, MaxPoll time.Duration
	// Batch bounds a batch (default: 1,000 records, 4 MiB).
	Batch Size
	// Pause is how long to wait after an error; it doubles up to MaxPause (default: 50 ms,
	// 5 s).
	Pause, MaxPause time.Duration
	// Settle bounds what is still done once Run's context has ended (default: 10 s).
	Settle time.Duration
	// Logger is told of errors, and of records that are set aside (default: silent).
	Logger *slog.Logger
}

func (o Options) withDefaults() (Options, error) {
	for _, d := range []struct {
		of      *time.Duration
		name    string
		to, min time.Duration
	}{
		{&o.Lease, "lease", 10 * time.Second, 100 * time.Millisecond},
		{&o.Poll, "poll", 5 * time.Millisecond, time.Millisecond},
		{&o.MaxPoll, "longest poll", max(100*time.Millisecond, o.Poll), o.Poll},
		{&o.Pause, "pause", 50 * time.Millisecond, time.Millisecond},
		{&o.MaxPause, "longest pause", max(5*time.Second, o.Pause), o.Pause},
		{&o.Settle, "settle", 10 * time.Second, time.Millisecond},
	} {
		if *d.of == 0 {
			*d.of = d.to
		}
		if *d.of < d.min {
			return o, fmt.Errorf("%s %v: want %v at least", d.name, *d.of, d.min)
		}
	}
	if o.Batch == (Size{}) {
		o.Batch = Size{1000, 4 << 20}
	}
	if o.Batch.Records < 1 || o.Batch.Records > 10_000 || o.Batch.Bytes < 1 || o.Batch.Bytes > 1<<30 {
		return o, fmt.Errorf("batch of %d records and %d bytes: want 1 to 10,000, and 1 to 1 GiB", o.Batch.Records, o.Batch.Bytes)
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o, nil
}

// Relay publishes what an outbox holds.
type Relay struct {
	source      Source
	destination Destination
	o           Options
	id          int64

	mu      sync.Mutex
	workers map[int]*worker
	busy    atomic.Bool   // records were published since the last poll
	woken   chan struct{} // there may be records
	counts  counts
}

type counts struct {
	records, batches, faults, takeovers, failures atomic.Int64

	lags [lags + 1]atomic.Int64
	lag  atomic.Int64 // all of them, in nanoseconds
}

// lags is how many bounds there are.
const lags = 12

// LagBounds are the bounds by which lags are told apart: each counts those up to it, and
// above the one before.
func LagBounds() [lags]time.Duration {
	const ms = time.Millisecond
	return [...]time.Duration{
		5 * ms, 10 * ms, 20 * ms, 50 * ms, 100 * ms, 200 * ms, 500 * ms,
		time.Second, 5 * time.Second, 30 * time.Second, 5 * time.Minute, time.Hour,
	}
}

// Stats counts what a relay did since it was made.
type Stats struct {
	Shards    int   // that it holds
	Records   int64 // published
	Batches   int64 // that they were in
	Faulty    int64 // records set aside
	Takeovers int64 // shards taken from relays whose leases had ended
	Failures  int64 // errors, after each of which it tries again

	// Lags counts the published records by how long before they had been put, by
	// [LagBounds] and beyond. What another relay had sealed is not among them. Lag is their sum.
	Lags [lags + 1]int64
	Lag  time.Duration
}

// New makes a relay, which does nothing until [Relay.Run].
func New(s Source, d Destination, o Options) (*Relay, error) {
	if s == nil || d == nil {
		return nil, errors.New("relay: want a source and a destination")
	}
	o, err := o.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("relay: %w", err)
	}
	return &Relay{
		source: s, destination: d, o: o, id: 1 + rand.Int64N(1<<62),
		workers: map[int]*worker{}, woken: make(chan struct{}, 1),
	}, nil
}

// Stats may be called at any time.
func (r *Relay) Stats() Stats {
	r.mu.Lock()
	shards := len(r.workers)
	r.mu.Unlock()
	c := &r.counts
	s := Stats{
		Shards: shards, Records: c.records.Load(), Batches: c.batches.Load(), Faulty: c.faults.Load(),
		Takeovers: c.takeovers.Load(), Failures: c.failures.Load(), Lag: time.Duration(c.lag.Load()),
	}
	for i := range s.Lags {
		s.Lags[i] = c.lags[i].Load()
	}
	return s
}

// Wake has the relay look for records now, and not only at its next turn. It is for
// programs that put records themselves, after their commit; it returns at once, and may be called
// however often.
func (r *Relay) Wake() { signal(r.woken) }

// signal leaves word for one goroutine, which may have it already.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Run publishes until ctx ends. Then it ends the batches it is at, within
// [Options.Settle], gives its shards back and returns nil. Errors are logged, and it goes on. It
// is called once.
func (r *Relay) Run(ctx context.Context) error {
	var all sync.WaitGroup
	all.Go(func() { r.share(ctx, &all) })
	all.Go(func() { r.poll(ctx) })
	if from, ok := r.source.(Waker); ok {
		all.Go(func() { r.listen(ctx, from) })
	}
	all.Wait()
	return nil
}

// listen has the source wake the relay, which polls all the same.
func (r *Relay) listen(ctx context.Context, from Waker) {
	pause := r.o.Pause
	for {
		began := time.Now()
		err := from.Listen(ctx, r.Wake)
		if ctx.Err() != nil {
			return
		}
		r.failed("listen for records", err)
		if time.Since(began) > r.o.MaxPause {
			pause = r.o.Pause
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
			pause = min(2*pause, r.o.MaxPause)
		}
	}
}

// share keeps leases, and workers for the shards that it holds.
func (r *Relay) share(ctx context.Context, all *sync.WaitGroup) {
	every := time.NewTicker(r.o.Lease / 4)
	defer every.Stop()
	for ctx.Err() == nil {
		bounded, end := context.WithTimeout(ctx, r.o.Lease/2)
		err := r.distribute(ctx, bounded, all)
		end()
		if err != nil && ctx.Err() == nil {
			r.failed("share the shards", err)
		}
		select {
		case <-ctx.Done():
		case <-every.C:
		}
	}
}

// distribute keeps what the relay holds, takes and asks for its part, and lets go what is
// not its own.
func (r *Relay) distribute(run, ctx context.Context, all *sync.WaitGroup) error {
	if err := r.source.Keep(ctx, r.id, r.o.Lease); err != nil {
		return err
	}
	shards, err := r.source.Shards(ctx)
	if err != nil {
		return err
	}
	for _, s := range shards {
		r.mu.Lock()
		w := r.workers[s.Number]
		r.mu.Unlock()
		switch {
		case w != nil && s.Holder != r.id:
			w.lose()
		case w != nil && s.Claimant != 0:
			w.stop()
		case w == nil && s.Holder == r.id:
			r.start(run, s, all)
		}
	}
	take, ask := part(shards, r.id)
	for _, s := range take {
		had, err := r.source.Take(ctx, r.hold(s.Number))
		if err != nil {
			return err
		}
		if had {
			if s.Ended && s.Holder != 0 {
				r.counts.takeovers.Add(1)
				r.o.Logger.Warn("outbox relay: took a shard over, the lease of whose relay had ended", "shard", s.Number)
			}
			r.start(run, s, all)
		}
	}
	for _, s := range ask {
		if err := r.source.Ask(ctx, r.id, s.Number); err != nil {
			return err
		}
	}
	return nil
}

func (r *Relay) hold(shard int) Hold { return Hold{r.id, shard, r.o.Lease} }

// part is what a relay takes of that which nobody holds, and what it asks for of those
// who have more: as much as makes them even.
func part(shards []Shard, id int64) (take, ask []Shard) {
	held := map[int64][]Shard{id: nil}
	asked := 0
	for _, s := range shards {
		switch {
		case s.Holder == 0 || s.Ended && s.Holder != id:
			take = append(take, s)
		default:
			held[s.Holder] = append(held[s.Holder], s)
		}
		if s.Claimant == id {
			asked++
		}
	}
	fair := (len(shards) + len(held) - 1) / len(held)
	have := len(held[id])
	take = take[:min(len(take), max(0, fair-have))]
	have += len(take) + asked
	for holder, theirs := range held {
		for len(theirs) > have+1 && holder != id {
			s := theirs[len(theirs)-1]
			theirs = theirs[:len(theirs)-1]
			if s.Claimant == 0 {
				ask = append(ask, s)
				have++
			}
		}
	}
	return take, ask
}

// poll wakes the workers that might have something to do.
func (r *Relay) poll(ctx context.Context) {
	wait, pause := r.o.Poll, r.o.Pause
	for r.rest(ctx, wait) {
		bounded, end := context.WithTimeout(ctx, r.o.Lease)
		shards, err := r.source.Waiting(bounded, r.id)
		end()
		if err != nil {
			if ctx.Err() == nil {
				r.failed("look for records", err)
			}
			wait, pause = pause, min(2*pause, r.o.MaxPause)
			continue
		}
		pause = r.o.Pause
		r.mu.Lock()
		for _, shard := range shards {
			if w := r.workers[shard]; w != nil {
				w.rouse()
			}
		}
		r.mu.Unlock()
		wait = min(2*wait, r.o.MaxPoll)
		if r.busy.Swap(false) {
			wait = r.o.Poll
		}
	}
}

// rest waits until it is time to look for records: until the relay is woken, but a Poll at
// least, so that what comes meanwhile is published together. Nothing wakes it from a pause
// after errors that is longer than MaxPoll.
func (r *Relay) rest(ctx context.Context, wait time.Duration) bool {
	woken := r.woken
	if wait > r.o.MaxPoll {
		woken = nil
	}
	least := time.After(r.o.Poll)
	select {
	case <-ctx.Done():
	case <-time.After(wait):
	case <-woken:
		select {
		case <-ctx.Done():
		case <-least:
		}
	}
	return ctx.Err() == nil
}

// published counts a batch that took so long since it was sealed.
func (r *Relay) published(b Batch, took time.Duration) {
	r.counts.records.Add(int64(len(b.Records)))
	r.counts.batches.Add(1)
	bounds := LagBounds()
	for i := range b.Records {
		if age := b.Records[i].Age; age > 0 {
			at, _ := slices.BinarySearch(bounds[:], age+took)
			r.counts.lags[at].Add(1)
			r.counts.lag.Add(int64(age + took))
		}
	}
}

func (r *Relay) failed(what string, err error, more ...any) {
	r.counts.failures.Add(1)
	r.o.Logger.Error("outbox relay: "+what, append(more, "error", err)...)
}
