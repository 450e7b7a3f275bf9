package brokertest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// session is a transactional client, in a group or not.
type session interface {
	Begin() error
	Produce(context.Context, *kgo.Record, func(*kgo.Record, error))
	End(context.Context, kgo.TransactionEndTry) (bool, error)
	Close()
}

// alone is the session of a client that has no group.
type alone struct{ *kgo.Client }

func (a alone) Begin() error { return a.BeginTransaction() }

func (a alone) End(ctx context.Context, try kgo.TransactionEndTry) (bool, error) {
	return bool(try), a.EndTransaction(ctx, try)
}

// writer is an application that writes transactions, one after another.
type writer struct {
	*cast
	name    string
	address string
	to      []place
	rng     *rand.Rand
	group   string // which reads "in", if the writer copies what is there
	old     bool   // it knows nothing of KIP-890
	newer   bool   // its group has the consumer protocol (KIP-848)
	strays  bool   // it never comes back to what it left open
	ponders bool   // it takes its time with each transaction

	number  int // of the last transaction
	lives   int
	zombie  *zombie
	zombies sync.WaitGroup
}

// zombie is a client that was taken for dead.
type zombie struct {
	deal deal
	session
	c      *kgo.Client
	began  bool // something of its transaction was acknowledged
	writes bool // it does not only commit
}

const (
	transactionTimeout = 3 * time.Second
	// mostPondering is how long an application may leave a transaction as it is before it
	// knows how to end it.
	mostPondering = 500 * time.Millisecond
)

// live runs the application again and again until stopping ends.
func (w *writer) live(stopping, ctx context.Context) {
	for stopping.Err() == nil && !w.wrong() {
		w.run(stopping, ctx)
	}
	if w.zombie != nil {
		w.zombie.Close()
	}
	w.zombies.Wait()
}

// open makes a client.
func (w *writer) open() (session, *kgo.Client, error) {
	id := w.name
	if w.strays {
		id = fmt.Sprint(w.name, "-", w.lives)
		w.lives++
	}
	opts := w.options(w.address, kgo.TransactionalID(id), kgo.TransactionTimeout(transactionTimeout))
	if w.rng.IntN(2) == 0 {
		opts = append(opts, kgo.RequestRetries(0)) // it learns of every fault
	}
	if w.old {
		opts = append(opts, oldProtocol())
	}
	if w.newer {
		opts = append(opts, kgo.ServerSideBalancer())
	}
	if w.group == "" {
		c, err := kgo.NewClient(opts...)
		return alone{c}, c, err
	}
	s, err := kgo.NewGroupTransactSession(append(opts, kgo.ConsumerGroup(w.group), kgo.ConsumeTopics("in"),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.HeartbeatInterval(100*time.Millisecond), kgo.SessionTimeout(2*time.Second), kgo.RebalanceTimeout(2*time.Second))...)
	if err != nil {
		return nil, nil, err
	}
	c := s.Client()
	return s, c, nil
}

// run is a run of the application: until it is to stop, or fails.
func (w *writer) run(stopping, ctx context.Context) {
	s, c, err := w.open()
	if err != nil {
		w.broken(err)
		return
	}
	// What the last run left open ends before anything is read: the group's offsets wait
	// for it.
	first, cancel := context.WithTimeout(ctx, w.patience/4)
	_, _, err = c.ProducerID(first)
	cancel()
	if err != nil {
		s.Close()
		return
	}
	if z := w.zombie; z != nil {
		w.zombie = nil
		w.zombies.Go(func() { w.haunt(ctx, z) })
	}
	for stopping.Err() == nil && !w.wrong() {
		inputs := w.inputs(stopping, c)
		if len(inputs) == 0 {
			continue
		}
		// An application that gets no further begins anew. That may be for its client's
		// fault; if it is the broker's, the next one gets no further either.
		bounded, cancel := context.WithTimeout(ctx, w.patience/4)
		ok := w.transact(bounded, s, c, inputs)
		if bounded.Err() != nil && ctx.Err() == nil {
			w.timeline.note("give up", deal{w.name, w.number}.String())
			ok = false
		}
		cancel()
		if !ok {
			break
		}
	}
	if w.zombie == nil {
		s.Close()
	}
}

// inputs are what the next transaction has a record for each of.
func (w *writer) inputs(stopping context.Context, c *kgo.Client) (offsets []int64) {
	n := 1 + w.rng.IntN(20)
	if w.group == "" {
		return make([]int64, n)
	}
	c.PollRecords(stopping, n).EachRecord(func(r *kgo.Record) { offsets = append(offsets, r.Offset) })
	return offsets
}

// transact writes a transaction, of a record for each input. It is false if the
// application has to begin anew.
func (w *writer) transact(ctx context.Context, s session, c *kgo.Client, inputs []int64) bool {
	w.number++
	id := deal{w.name, w.number}
	w.begin(id, len(inputs))
	if err := s.Begin(); err != nil {
		return false
	}
	var failed, began atomic.Bool
	for i, input := range inputs {
		to := w.to[w.rng.IntN(len(w.to))]
		switch to.topic {
		case keyed:
			input = drawKey(w.rng)
		case once:
			input = w.id(w.rng)
		}
		w.produce(ctx, s, line{id, i, len(inputs), input}, to, &began, &failed)
	}
	if w.rng.IntN(24) == 0 && w.group == "" && !w.strays {
		_ = c.Flush(ctx) // whatever came of it
		w.zombie = &zombie{id, s, c, began.Load(), w.rng.IntN(2) == 0}
		return false
	}
	if w.rng.IntN(24) == 0 {
		return false // as if it had crashed
	}
	if err := c.Flush(ctx); err != nil {
		return false
	}
	undone := 4 // one of so many is
	if w.ponders || w.rng.IntN(4) == 0 {
		wait(ctx, time.Duration(w.rng.Int64N(int64(mostPondering)))) // compaction goes on meanwhile
		undone = 2
	}
	try := kgo.TransactionEndTry(!failed.Load() && w.rng.IntN(undone) > 0)
	if try {
		w.ask(id)
	}
	done, err := s.End(ctx, try)
	switch {
	case err == nil && done:
		w.end(id, committed)
	case err != nil && bool(try) && !errors.Is(err, kerr.OperationNotAttempted):
		w.end(id, unknown)
	default:
		w.end(id, aborted)
	}
	return err == nil
}

func (w *writer) produce(ctx context.Context, s session, l line, to place, began, failed *atomic.Bool) {
	r := &kgo.Record{Topic: to.topic, Partition: to.partition, Value: []byte(l.String())}
	switch to.topic {
	case keyed:
		r.Key = keyOf(l.input)
	case once:
		r = identified(r, l.input)
	}
	s.Produce(ctx, r, func(r *kgo.Record, err error) {
		if err != nil {
			failed.Store(true)
			return
		}
		began.Store(true)
		w.ack(l, spot{place{r.Topic, r.Partition}, r.Offset})
	})
}

// haunt goes on with a transaction that a successor has fenced. Nothing of that may
// succeed.
func (w *writer) haunt(ctx context.Context, z *zombie) {
	defer z.Close()
	if z.writes {
		r := &kgo.Record{Topic: w.to[0].topic, Partition: w.to[0].partition, Key: keyOf(0), Value: []byte(line{z.deal, 99, 0, 0}.String())}
		if r, err := z.c.ProduceSync(ctx, r).First(); err == nil {
			w.find("a fenced producer writes nothing", "%s is fenced, and writes to %s/%d at offset %d", z.deal, r.Topic, r.Partition, r.Offset)
		}
	}
	// A client does not even ask for the end of what has not begun.
	if done, err := z.End(ctx, kgo.TryCommit); err == nil && done && z.began {
		w.find("a fenced producer commits nothing", "%s is fenced, and told that it has committed", z.deal)
	}
}
