// Package sending sends the records of a relay's batch to a destination that stores and
// acknowledges them one by one.
//
// A record is sent when the one before it of its order key is acknowledged, and not
// before. So the first copies of an order key are stored in its order, whoever sends it
// meanwhile: of a relay that is taken for dead, one record of the key can still be on its
// way, and the one before that is stored. What comes of it is a copy.
package sending

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/hapaxmq/hapax/outbox/relay"
)

// RefusedError is the error of a record that is not taken, however often it comes.
type RefusedError struct {
	Why string
	// Together says that it may be another record that was not taken, which was sent with it.
	Together bool
}

func (r *RefusedError) Error() string { return "refused: " + r.Why }

// Options are those of a [Sender].
type Options struct {
	// InFlight is how many records of a shard are sent and not acknowledged at most
	// (default: 256; 10,000 at most).
	InFlight int
	// Timeout is how long to wait for the next acknowledgement while any is to come
	// (default: 10 s; 10 ms at least).
	Timeout time.Duration
}

// Sender sends the batches of any number of shards. Its method may be called from several
// goroutines at once, for different shards.
type Sender struct {
	o Options

	mu     sync.Mutex
	shards map[string]stored // by name; of those whose last batch failed
}

// stored is what is acknowledged of a batch, by position.
type stored struct {
	batch     int64
	positions map[int64]bool
}

// New returns a sender.
func New(o Options) (*Sender, error) {
	if o.InFlight == 0 {
		o.InFlight = 256
	}
	if o.Timeout == 0 {
		o.Timeout = 10 * time.Second
	}
	if o.InFlight < 1 || o.InFlight > 10_000 || o.Timeout < 10*time.Millisecond {
		return nil, fmt.Errorf("%d in flight, timeout of %v: want 1 to 10,000, and 10ms at least", o.InFlight, o.Timeout)
	}
	return &Sender{o: o, shards: map[string]stored{}}, nil
}

// InFlight is how many records of a shard are sent and not acknowledged at most.
func (s *Sender) InFlight() int { return s.o.InFlight }

// Timeout is how long it waits for an acknowledgement.
func (s *Sender) Timeout() time.Duration { return s.o.Timeout }

// Batch waits until the batch is sealed, sends its records, and returns nil when all of them are acknowledged. What
// was acknowledged before an error is not sent again, as long as this sender has the shard.
//
// The function begins to send a record, and has done called once when the record is
// acknowledged, by nil, or when it is not: by a [*RefusedError], or by any other error, after which it
// is unknown and no other is sent. Done may be called at once, at any time, and from
// any goroutine.
func (s *Sender) Batch(ctx context.Context, shard string, b relay.Batch, alone bool, sealed func() error, send func(r *relay.Record, done func(error))) error {
	if err := sealed(); err != nil {
		return err
	}
	c := &course{
		records: b.Records, send: send, most: s.o.InFlight, behind: map[string][]int{}, stored: s.recall(shard, b.Number),
		certain: map[int64]string{}, suspect: map[int64]string{},
	}
	if alone {
		c.most = 1
	}
	c.answers = make(chan answer, c.most)
	c.line()
	err := c.run(ctx, s.o.Timeout)
	s.mu.Lock()
	defer s.mu.Unlock()
	if delete(s.shards, shard); err != nil {
		s.shards[shard] = stored{b.Number, c.stored}
	}
	return err
}

func (s *Sender) recall(shard string, batch int64) map[int64]bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if had := s.shards[shard]; had.batch == batch && had.positions != nil {
		return maps.Clone(had.positions) // another relay of this process may be at the same
	}
	return map[int64]bool{}
}

// course is a batch on its way.
type course struct {
	records []relay.Record
	send    func(*relay.Record, func(error))
	most    int

	ready   []int            // may be sent
	behind  map[string][]int // wait for the one before them of their order key
	flying  int
	answers chan answer

	stored           map[int64]bool
	certain, suspect map[int64]string // refusals
	failed           error            // nothing more is sent
}

// answer is what became of a record.
type answer struct {
	at  int
	err error
}

// line lines records up that are to be sent.
func (c *course) line() {
	for at := range c.records {
		r := &c.records[at]
		waiting, busy := c.behind[r.OrderKey]
		switch {
		case c.stored[r.Position]:
		case r.OrderKey == "":
			c.ready = append(c.ready, at)
		case busy:
			c.behind[r.OrderKey] = append(waiting, at)
		default:
			c.behind[r.OrderKey] = nil
			c.ready = append(c.ready, at)
		}
	}
}

func (c *course) run(ctx context.Context, timeout time.Duration) error {
	late := time.NewTimer(timeout)
	defer late.Stop()
	for {
		for c.failed == nil && c.flying < c.most && len(c.ready) > 0 {
			at := c.ready[0]
			c.ready = c.ready[1:]
			c.flying++
			c.send(&c.records[at], func(err error) { c.answers <- answer{at, err} })
		}
		if c.flying == 0 {
			return c.outcome()
		}
		select {
		case a := <-c.answers:
			c.take(a)
			late.Reset(timeout)
		case <-ctx.Done():
			c.failed = ctx.Err()
			return c.outcome()
		case <-late.C:
			c.failed = errors.Join(c.failed, fmt.Errorf("no answer for %v: whether %d records were stored is unknown", timeout, c.flying))
			return c.outcome()
		}
	}
}

// take takes an answer in.
func (c *course) take(a answer) {
	c.flying--
	r := &c.records[a.at]
	var refusal *RefusedError
	switch {
	case a.err == nil:
		c.stored[r.Position] = true
		if waiting := c.behind[r.OrderKey]; len(waiting) > 0 {
			c.ready = append(c.ready, waiting[0])
			c.behind[r.OrderKey] = waiting[1:]
		}
	case !errors.As(a.err, &refusal):
		if c.failed == nil {
			c.failed = a.err
		}
	case refusal.Together && c.most > 1:
		c.suspect[r.Position] = refusal.Why
		c.failed = a.err
	default:
		c.certain[r.Position] = refusal.Why
	}
}

// outcome is the error of the whole. What was refused comes first: it will be tried no more, and
// what failed will.
func (c *course) outcome() error {
	switch {
	case len(c.certain) > 0:
		return &relay.RefusedError{Faults: c.certain, Certain: true}
	case len(c.suspect) > 0:
		return &relay.RefusedError{Faults: c.suspect}
	}
	return c.failed
}
