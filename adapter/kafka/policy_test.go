package kafka_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/adapter/kafka"
	"github.com/hapaxmq/hapax/inbox"
)

// A record that fails holds back those behind it, and comes again before them.
func TestOrder(t *testing.T) {
	addr := serve(t)
	for _, identity := range []string{"header:id", inbox.ByPosition} {
		t.Run(identity, func(t *testing.T) {
			const count = 50
			w := newWorld(t, addr, identity, 1)
			w.produce(count, 1)
			var order []string
			failures := make(map[string]int)
			done := make(chan struct{})
			m := w.join(habits{
				work: func(_ context.Context, m *hapax.Message) error {
					if strings.HasSuffix(id(m), "3") && failures[id(m)] < 2 {
						failures[id(m)]++
						return errors.New("not now")
					}
					return nil
				},
				ended: func(d inbox.Delivery) {
					if d.Outcome != hapax.Executed {
						return
					}
					if order = append(order, id(d.Message)); len(order) == count {
						close(done)
					}
				},
			})
			await(w, done)
			w.leave(m)
			for i, id := range order {
				if id != fmt.Sprint(i) {
					t.Fatalf("order is %v", order)
				}
			}
			w.audit(count)
			w.wantCommitted()
		})
	}
}

// What another try will not help is put aside, with what was said of it, and those
// behind it go on.
func TestDeadLetters(t *testing.T) {
	addr := serve(t)
	for identity, want := range map[string][]string{
		"header:id":      {"1 failed: no such account", "2 failed: not now", "3 conflicted: ", "4 nameless: "},
		inbox.ByPosition: {"1 failed: no such account", "2 failed: not now"},
	} {
		t.Run(identity, func(t *testing.T) {
			w := newWorld(t, addr, identity, 1)
			for i, id := range []string{"a", "b", "c", "a", "", "d"} {
				r := &kgo.Record{Topic: w.topic, Value: fmt.Append(nil, i)}
				if id != "" {
					r.Headers = []kgo.RecordHeader{{Key: "id", Value: []byte(id)}}
				}
				if err := w.client.ProduceSync(w.ctx, r).FirstErr(); err != nil {
					t.Fatal(err)
				}
			}
			tries := 0
			done := make(chan struct{})
			m := w.join(habits{
				options: kafka.Options{DeadLetters: w.dead, Attempts: 3},
				work: func(_ context.Context, m *hapax.Message) error {
					switch string(m.Value) {
					case "1":
						return inbox.Permanent(errors.New("no such account"))
					case "2":
						tries++
						return errors.New("not now")
					}
					return nil
				},
				ended: func(d inbox.Delivery) {
					if d.Outcome == hapax.Executed && string(d.Message.Value) == "5" {
						close(done)
					}
				},
			})
			await(w, done)
			w.leave(m)
			w.wantCommitted()
			if tries != 3 {
				t.Errorf("%d attempts, want 3", tries)
			}
			wantDeadLetters(w, want)
		})
	}
}

func wantDeadLetters(w *world, want []string) {
	w.Helper()
	reader, err := kgo.NewClient(append(w.connection(), kgo.ConsumeTopics(w.dead))...)
	if err != nil {
		w.Fatal(err)
	}
	defer reader.Close()
	ends, err := kadm.NewClient(w.client).ListEndOffsets(w.ctx, w.dead)
	if err != nil {
		w.Fatal(err)
	}
	end, _ := ends.Lookup(w.dead, 0)
	var letters []*kgo.Record
	for int64(len(letters)) < end.Offset && w.ctx.Err() == nil {
		letters = append(letters, reader.PollFetches(w.ctx).Records()...)
	}
	if len(letters) != len(want) {
		w.Fatalf("%d dead letters, want %d", len(letters), len(want))
	}
	for i, r := range letters {
		h := make(map[string]string)
		for _, header := range r.Headers {
			h[header.Key] = string(header.Value)
		}
		got := fmt.Sprintf("%s %s: %s", r.Value, h[kafka.HeaderOutcome], h[kafka.HeaderError])
		if !strings.HasPrefix(got, want[i]) || h[kafka.HeaderTopic] != w.topic || h[kafka.HeaderPartition] != "0" || h[kafka.HeaderOffset] != string(r.Value) {
			w.Errorf("dead letter %q with %v, want %q", got, h, want[i])
		}
	}
}

// A dead letter that its topic does not take ends the consumer with an error that says
// so, and nothing is lost: another try would not help either.
func TestDeadLetterTooLarge(t *testing.T) {
	w := newWorld(t, serve(t), inbox.ByPosition, 1)
	limit := "300"
	_, err := kadm.NewClient(w.client).AlterTopicConfigs(w.ctx, []kadm.AlterConfig{{Name: "max.message.bytes", Value: &limit}}, w.dead)
	if err != nil {
		t.Fatal(err)
	}
	large := &kgo.Record{Topic: w.topic, Value: make([]byte, 1000)}
	for i := range large.Value {
		large.Value[i] = byte(rand.Uint32()) // which no client makes smaller
	}
	if err := w.client.ProduceSync(w.ctx, large).FirstErr(); err != nil {
		t.Fatal(err)
	}
	m := w.join(habits{options: kafka.Options{DeadLetters: w.dead}, work: func(context.Context, *hapax.Message) error {
		return inbox.Permanent(errors.New("no such account"))
	}})
	if err := await(w, m.ran); !errors.Is(err, kerr.MessageTooLarge) || !strings.Contains(err.Error(), "raise its max.message.bytes") {
		t.Errorf("run returned %v", err)
	}
	wantDeadLetters(w, nil)
}

// Without a topic for dead letters the consumer ends, and nothing is lost.
func TestNoTopicForDeadLetters(t *testing.T) {
	const count = 10
	w := newWorld(t, serve(t), inbox.ByPosition, 1)
	w.produce(count, 1)
	bad := errors.New("no such account")
	m := w.join(habits{work: func(_ context.Context, m *hapax.Message) error {
		if id(m) == "5" {
			return inbox.Permanent(bad)
		}
		return nil
	}})
	if err := await(w, m.ran); !errors.Is(err, bad) {
		t.Errorf("run returned %v", err)
	}
	done := make(chan struct{})
	w.join(habits{ended: func(d inbox.Delivery) {
		if d.Outcome == hapax.Executed && id(d.Message) == fmt.Sprint(count-1) {
			close(done)
		}
	}})
	await(w, done)
	w.audit(count)
}

func TestInboxIsClosed(t *testing.T) {
	w := newWorld(t, serve(t), "header:id", 1)
	w.produce(1, 1)
	closed := make(chan struct{})
	m := w.join(habits{
		ended: func(d inbox.Delivery) {
			if d.Outcome == hapax.Executed {
				close(closed)
			}
		},
	})
	await(w, closed)
	m.inbox.Close()
	w.produce(1, 1)
	if err := await(w, m.ran); !errors.Is(err, inbox.ErrClosed) {
		t.Errorf("run returned %v", err)
	}
	if err := m.Run(t.Context()); err == nil {
		t.Error("it was run twice")
	}
}

// script is an inbox whose answers are made up.
type script struct {
	mu      sync.Mutex
	answers []hapax.Outcome // then Executed
	done    map[string][]int64
	left    int
	over    chan struct{}
}

func (s *script) Skip(*hapax.Message) {}

func (s *script) HandleBatch(_ context.Context, ms []*hapax.Message) []inbox.Handled {
	s.mu.Lock()
	defer s.mu.Unlock()
	var ended []inbox.Handled
	for _, m := range ms {
		h := inbox.Handled{Result: hapax.Result{Outcome: hapax.Executed}}
		if len(s.answers) > 0 {
			h.Result.Outcome, h.Err, s.answers = s.answers[0], inbox.Later(time.Millisecond, errors.New("down")), s.answers[1:]
		} else {
			s.done[m.Position.Source] = append(s.done[m.Position.Source], m.Position.Offset)
			if s.left--; s.left == 0 {
				close(s.over)
			}
		}
		ended = append(ended, h)
	}
	return ended
}

// More records than are queued, of which some have to come again, while the store is
// down now and then: each is handled once, and in order where it is one by one.
func TestQueues(t *testing.T) {
	addr := serve(t)
	const partitions, count = 2, 5000
	again := []hapax.Outcome{hapax.Unanswered, hapax.Held, hapax.Failed, hapax.Doubtful, hapax.Lost, hapax.Unanswered}
	for _, batch := range []int{1, 50} {
		t.Run(fmt.Sprint(batch), func(t *testing.T) {
			w := newWorld(t, addr, "header:id", partitions)
			w.produce(count, partitions)
			s := &script{answers: slices.Clone(again), done: make(map[string][]int64), left: count, over: make(chan struct{})}
			m := &member{ran: make(chan error, 1)}
			w.run(m, s, habits{options: kafka.Options{Batch: batch}})
			await(w, s.over)
			w.leave(m)
			w.wantCommitted()
			if len(s.done) != partitions {
				t.Errorf("%d sources, want %d", len(s.done), partitions)
			}
			for source, offsets := range s.done {
				if batch > 1 {
					slices.Sort(offsets)
				}
				for i, offset := range offsets {
					if offset != int64(i) {
						t.Fatalf("source %s: offset %d came at %d", source, offset, i)
					}
				}
			}
		})
	}
}

func TestOptions(t *testing.T) {
	good := kafka.Options{Group: "g", Topics: []string{"t"}}
	if _, err := kafka.New(&script{}, good); err != nil {
		t.Error(err)
	}
	for name, change := range map[string]func(*kafka.Options){
		"group":            func(o *kafka.Options) { o.Group = "" },
		"topics":           func(o *kafka.Options) { o.Topics = nil },
		"read by":          func(o *kafka.Options) { o.DeadLetters = "t" },
		"attempts":         func(o *kafka.Options) { o.Attempts = -1 },
		"batch -1":         func(o *kafka.Options) { o.Batch = -1 },
		"batch 10001":      func(o *kafka.Options) { o.Batch = 10_001 },
		"pause -1":         func(o *kafka.Options) { o.Pause = -1 },
		"at most -1":       func(o *kafka.Options) { o.MaxPause = -1 },
		"commit every -1n": func(o *kafka.Options) { o.Commit = -1 },
	} {
		o := good
		change(&o)
		if _, err := kafka.New(&script{}, o); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := kafka.New(nil, good); err == nil {
		t.Error("no inbox, and no error")
	}
	c, err := kafka.New(&script{}, good)
	if err == nil {
		err = c.Close()
	}
	if err == nil {
		err = c.Run(t.Context())
	}
	if err != nil {
		t.Error("closed before it was run:", err)
	}
	if _, err := kafka.New(&script{}, good, kgo.DisableAutoCommit()); err == nil {
		t.Error("an option that does not go with it, and no error")
	}
}
