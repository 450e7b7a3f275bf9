package main

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// TestServeKillTransactions kills hapax serve again and again while transactions
// write to several partitions, and demands that each took effect whole and once, or
// not at all, as its writer was told.
func TestServeKillTransactions(t *testing.T) {
	t.Parallel()
	transactAndKill(t, rand.New(rand.NewPCG(5, 6)), func(kills int) bool { return kills < 6 })
}

// TestTortureServeTransactions is the same for as long as HAPAX_TORTURE says.
func TestTortureServeTransactions(t *testing.T) {
	limit, err := time.ParseDuration(os.Getenv("HAPAX_TORTURE"))
	if err != nil {
		t.Skip("set HAPAX_TORTURE to a length of time")
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	start := time.Now()
	transactAndKill(t, rand.New(rand.NewPCG(seed, 0)), func(int) bool { return time.Since(start) < limit })
}

// copiers is the group of the writer that reads what another one writes to "in".
const copiers = "copiers"

func transactAndKill(t *testing.T, r *rand.Rand, more func(kills int) bool) {
	s := serve(t, "--set", "group.initial.rebalance.delay.ms=0", "--set", "group.min.session.timeout.ms=100")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	admin := kadm.NewClient(s.client())
	for topic, partitions := range map[string]int32{"in": 1, "x": 2, "y": 1} {
		if _, err := admin.CreateTopic(ctx, partitions, 1, nil, topic); err != nil {
			t.Fatal(err)
		}
	}
	d := &dealings{transactions: map[deal]*dealt{}, commits: map[string]int{}}
	d.more = sync.NewCond(&d.mu)
	live := []*reader{s.reader(kgo.ReadCommitted()), s.reader(kgo.ReadUncommitted())}
	var reading, writing sync.WaitGroup
	for _, reader := range live {
		reading.Go(func() { reader.read(ctx, d) })
	}
	stopping, stop := context.WithCancel(ctx)
	defer stop()
	writers := []*writer{
		{served: s, d: d, name: "a", to: []place{{"in", 0}, {"x", 0}, {"x", 1}}, r: rand.New(rand.NewPCG(r.Uint64(), 1))},
		{served: s, d: d, name: "b", to: []place{{"x", 0}, {"x", 1}, {"y", 0}}, r: rand.New(rand.NewPCG(r.Uint64(), 2)), copies: true},
	}
	for _, w := range writers {
		writing.Go(func() {
			for stopping.Err() == nil && d.wrong() == nil {
				w.live(stopping, ctx)
			}
		})
	}
	kills := 0
	for ; more(kills); kills++ {
		d.await(1 + r.IntN(1<<(r.IntN(12)+1)))
		s.kill()
		s.start()
	}
	d.awaitEach(writers)
	stop()
	writing.Wait()
	s.abandon(ctx, d)
	s.kill()
	s.start()
	s.seal(ctx)
	final := []*reader{s.reader(kgo.ReadCommitted()), s.reader(kgo.ReadUncommitted())}
	for _, reader := range final {
		reading.Go(func() { reader.read(ctx, d) })
	}
	defer time.AfterFunc(time.Minute, cancel).Stop()
	reading.Wait()
	if err := d.wrong(); err != nil {
		t.Fatal(err)
	}
	s.stable(ctx, admin)
	offsets, err := admin.FetchOffsets(ctx, copiers)
	if err != nil {
		t.Fatal(err)
	}
	at, _ := offsets.Lookup("in", 0)
	d.check(t, live, final, at.At)
	t.Logf("%d kills, %s", kills+1, d.count())
}

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
	*served
	d      *dealings
	name   string
	to     []place
	r      *rand.Rand
	copies bool // what is in "in", one record for each
	number int  // of the last transaction
}

// live is a run of the application: until it is to stop, or fails.
func (w *writer) live(stopping, ctx context.Context) {
	opts := []kgo.Opt{kgo.TransactionalID(w.name), kgo.TransactionTimeout(2 * time.Second), kgo.ProducerLinger(0),
		kgo.RecordPartitioner(kgo.ManualPartitioner())}
	if w.r.IntN(2) == 0 {
		opts = append(opts, kgo.RequestRetries(0)) // it learns of every kill
	}
	var s session
	var c *kgo.Client
	if w.copies {
		group, err := kgo.NewGroupTransactSession(w.options(append(opts, kgo.ConsumerGroup(copiers), kgo.ConsumeTopics("in"),
			kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
			kgo.HeartbeatInterval(50*time.Millisecond), kgo.SessionTimeout(time.Second), kgo.RebalanceTimeout(time.Second))...)...)
		if err != nil {
			w.d.fail("join: %w", err)
			return
		}
		s, c = group, group.Client()
	} else {
		c = w.client(opts...)
		s = alone{c}
	}
	defer s.Close()
	if _, _, err := c.ProducerID(ctx); err != nil { // what the last run left open ends: the offsets of the group wait for it
		return
	}
	for stopping.Err() == nil {
		inputs := w.inputs(stopping, c)
		if len(inputs) == 0 {
			continue
		}
		bounded, cancel := context.WithTimeout(ctx, time.Minute)
		ok := w.transact(bounded, s, c, inputs)
		if bounded.Err() != nil {
			w.d.fail("transaction %d of %s did not end in a minute", w.number, w.name)
		}
		cancel()
		if !ok {
			return
		}
	}
}

// inputs are what the next transaction has a record for each of.
func (w *writer) inputs(stopping context.Context, c *kgo.Client) (offsets []int64) {
	n := 1 + w.r.IntN(20)
	if !w.copies {
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
	w.d.begin(id, len(inputs))
	if err := s.Begin(); err != nil {
		return false
	}
	var failed atomic.Bool
	for i, input := range inputs {
		to := w.to[w.r.IntN(len(w.to))]
		value := line{id, i, len(inputs), input}.String()
		s.Produce(ctx, &kgo.Record{Topic: to.topic, Partition: to.partition, Value: []byte(value)}, func(r *kgo.Record, err error) {
			if err != nil {
				failed.Store(true)
				return
			}
			w.d.ack(id, r)
		})
	}
	if w.r.IntN(32) == 0 {
		return false // as if it had crashed
	}
	if err := c.Flush(ctx); err != nil {
		return false
	}
	try := kgo.TransactionEndTry(!failed.Load() && w.r.IntN(4) > 0)
	done, err := s.End(ctx, try)
	switch {
	case err == nil && done:
		w.d.end(id, committed)
	case err != nil && bool(try) && !errors.Is(err, kerr.OperationNotAttempted):
		w.d.end(id, unknown)
	default:
		w.d.end(id, aborted)
	}
	return err == nil
}

// abandon leaves a transaction open that its writer never comes back to.
func (s *served) abandon(ctx context.Context, d *dealings) {
	s.Helper()
	c := s.client(kgo.TransactionalID("c"), kgo.TransactionTimeout(500*time.Millisecond), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	defer c.Close()
	id := deal{"c", 1}
	d.begin(id, 1)
	if err := c.BeginTransaction(); err != nil {
		s.Fatal(err)
	}
	r, err := c.ProduceSync(ctx, &kgo.Record{Topic: "x", Value: []byte(line{id, 0, 1, 0}.String())}).First()
	if err != nil {
		s.Fatal(err)
	}
	d.ack(id, r)
}

// seal is the value behind which a partition holds no more.
const seal = "seal"

// everywhere are all partitions.
func everywhere() []place { return []place{{"in", 0}, {"x", 0}, {"x", 1}, {"y", 0}} }

// seal ends all partitions. Whoever reads the seals with ReadCommitted was held up by
// no transaction.
func (s *served) seal(ctx context.Context) {
	s.Helper()
	c := s.client(kgo.RecordPartitioner(kgo.ManualPartitioner()))
	defer c.Close()
	for _, p := range everywhere() {
		if err := c.ProduceSync(ctx, &kgo.Record{Topic: p.topic, Partition: p.partition, Value: []byte(seal)}).FirstErr(); err != nil {
			s.Fatal(err)
		}
	}
}

// stable demands that no transaction is open.
func (s *served) stable(ctx context.Context, admin *kadm.Client) {
	s.Helper()
	stable, err := admin.ListCommittedOffsets(ctx, "in", "x", "y")
	if err != nil {
		s.Fatal(err)
	}
	ends, err := admin.ListEndOffsets(ctx, "in", "x", "y")
	if err != nil {
		s.Fatal(err)
	}
	for _, p := range everywhere() {
		if at, end := stable[p.topic][p.partition].Offset, ends[p.topic][p.partition].Offset; at != end {
			s.Errorf("%v is stable up to %d of %d", p, at, end)
		}
	}
}
