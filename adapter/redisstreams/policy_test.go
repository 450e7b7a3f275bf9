package redisstreams_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/adapter/redisstreams"
	"github.com/hapaxmq/hapax/inbox"
	"github.com/hapaxmq/hapax/internal/deliverytest"
	"github.com/hapaxmq/hapax/internal/servertest"
)

func TestFails(t *testing.T) {
	t.Parallel()
	deliverytest.Fails(t, declare(t))
}

func TestS12HeldIsNoDelivery(t *testing.T) {
	t.Parallel()
	s := declare(t)
	s.o.Attempts = 1
	s.o.Hold = time.Millisecond // so that each is given back
	deliverytest.HeldIsNoDelivery(t, s)
}

// TestAttempts: what fails too often goes to the dead letters.
func TestAttempts(t *testing.T) {
	t.Parallel()
	s := declare(t)
	s.o.Attempts = 3
	runs := 0
	w := deliverytest.Transacted(t, s, func(string) error { runs++; return errors.New("as ever") })
	deliverytest.Once(s, 1)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		defer cancel()
		until(t, func() bool { return len(s.Dead(1)) > 0 })
	}()
	s.must(s.Consume(ctx, w))
	if runs != 3 {
		t.Errorf("%d runs, want 3", runs)
	}
	w.Book.Audit(t, nil)
	s.Settled()
}

// TestDeadly: an entry by which one consumer after the other has died goes to the dead
// letters, and no process to it.
func TestDeadly(t *testing.T) {
	t.Parallel()
	s := declare(t)
	s.o.Attempts = 3
	s.Publish("deadly")
	x := s.read("died", 1)[0]
	for range 2 {
		s.must(s.client.XClaim(t.Context(), &redis.XClaimArgs{
			Stream: s.o.Stream, Group: groupName, Consumer: "died too", Messages: []string{x.ID},
		}).Err())
	}
	w := deliverytest.Transacted(t, s, nil)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		defer cancel()
		until(t, func() bool { return len(s.Dead(1)) > 0 })
	}()
	s.must(s.Consume(ctx, w))
	w.Book.Audit(t, nil)
	s.Settled()
}

// TestDeletedInHand: what is deleted while it is handled, and would come again, goes to
// the dead letters: when that is seen as it is given back, and before.
func TestDeletedInHand(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ noticed bool }{"before it is given back": {true}, "as it is given back": {false}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := declare(t)
			if !c.noticed {
				s.o.MinIdle = time.Hour
			}
			var log lockedBuffer
			s.o.Logger = slog.New(slog.NewTextHandler(&log, nil))
			w := deliverytest.Transacted(t, s, func(string) error {
				s.must(s.client.XTrimMaxLen(t.Context(), s.o.Stream, 0).Err())
				if c.noticed {
					until(t, func() bool { return strings.Contains(log.String(), "were deleted before they were settled") })
				}
				return errors.New("not yet")
			})
			deliverytest.Once(s, 1)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			go func() {
				defer cancel()
				until(t, func() bool { return len(s.Dead(1)) > 0 })
			}()
			s.must(s.Consume(ctx, w))
			w.Book.Audit(t, nil)
			if dead := s.Dead(1); !slices.Equal(dead, []string{"m0"}) {
				t.Errorf("dead letters %v, want m0", dead)
			}
		})
	}
}

// TestDeletedWhileIdle: what was trimmed when the consumer that had it was gone is lost,
// and the log says so.
func TestDeletedWhileIdle(t *testing.T) {
	t.Parallel()
	s := declare(t)
	var log lockedBuffer
	s.o.Logger = slog.New(slog.NewTextHandler(&log, nil))
	deliverytest.Once(s, 3)
	lost := s.read("died", 2)
	s.must(s.client.XDel(t.Context(), s.o.Stream, lost[0].ID).Err())
	w := deliverytest.Transacted(t, s, nil)
	w.Want = 2
	deliverytest.TakeAll(t, s, w)
	w.Book.Audit(t, map[string]int{"m1": 1, "m2": 1})
	if text := log.String(); !strings.Contains(text, "level=ERROR") || !strings.Contains(text, lost[0].ID) {
		t.Errorf("the log does not tell of %s:\n%s", lost[0].ID, text)
	}
	s.Settled()
}

// TestPlainLoop takes a stream by the loop of the example.
func TestPlainLoop(t *testing.T) {
	t.Parallel()
	s := declare(t)
	runs := 0
	w := deliverytest.Transacted(t, s, func(id string) error {
		if runs++; id == "m1" {
			return inbox.Permanent(errors.New("never"))
		}
		if runs == 1 {
			return errors.New("not yet")
		}
		return nil
	})
	once := deliverytest.Once(s, 3)
	o := s.o
	o.Consumer = "plain"
	until(t, func() bool {
		s.must(consumeSome(t.Context(), s.client, w, o))
		p, err := s.client.XPending(t.Context(), o.Stream, groupName).Result()
		s.must(err)
		return p.Count == 0 && runs == 4
	})
	delete(once, "m1")
	w.Book.Audit(t, once)
	s.Settled()
	if dead := s.Dead(1); !slices.Equal(dead, []string{"m1"}) {
		t.Errorf("dead letters %v, want m1", dead)
	}
}

// TestPromises: what a server can't keep is refused.
func TestPromises(t *testing.T) {
	t.Parallel()
	s := declareAt(t, servertest.EvictingRedis(t))
	w := deliverytest.Transacted(t, s, nil)
	for name, c := range map[string]struct {
		change func(*redisstreams.Options)
		want   string
	}{
		"evicts":              {func(*redisstreams.Options) {}, "allkeys-lru"},
		"evicts, as is known": {func(o *redisstreams.Options) { o.BestEffort = true }, ""},
		"forgets":             {func(o *redisstreams.Options) { o.BestEffort, o.Durable = true, true }, "appendfsync"},
	} {
		o := s.o
		c.change(&o)
		_, err := redisstreams.New(t.Context(), s.client, w, o)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

func TestOptions(t *testing.T) {
	t.Parallel()
	s := declare(t)
	w := deliverytest.Transacted(t, s, nil)
	for name, change := range map[string]func(*redisstreams.Options){
		"stream":       func(o *redisstreams.Options) { o.Stream = "" },
		"group":        func(o *redisstreams.Options) { o.Group = "" },
		"dead letters": func(o *redisstreams.Options) { o.DeadLetters = "" },
		"read by":      func(o *redisstreams.Options) { o.DeadLetters = o.Stream },
		"min idle 1ms": func(o *redisstreams.Options) { o.MinIdle = time.Millisecond },
		"attempts -1":  func(o *redisstreams.Options) { o.Attempts = -1 },
		"handlers -1":  func(o *redisstreams.Options) { o.Handlers = -1 },
	} {
		o := s.o
		change(&o)
		if _, err := redisstreams.New(t.Context(), s.client, w, o); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := redisstreams.New(t.Context(), s.client, nil, s.o); err == nil {
		t.Error("no inbox, and no error")
	}
	if err := redisstreams.Settle(t.Context(), s.client, s.o, redis.XMessage{}, inbox.Settlement{}, nil); err == nil {
		t.Error("settled as no consumer, and no error")
	}
}

// TestNoGroup: a stream without the group ends the run.
func TestNoGroup(t *testing.T) {
	t.Parallel()
	s := declare(t)
	s.o.Group = "nobody"
	if err := s.Consume(t.Context(), deliverytest.Transacted(t, s, nil)); !redis.HasErrorPrefix(errors.Unwrap(err), "NOGROUP") {
		t.Errorf("the run ended by %v, want NOGROUP", err)
	}
}

// TestMessage reads fields, and ids as positions.
func TestMessage(t *testing.T) {
	x := redis.XMessage{ID: "1700000000000-5", Values: map[string]any{"payload": "body", "id": "7", "b": "8"}}
	m := redisstreams.Message("orders", "payload", x)
	if string(m.Value) != "body" || len(m.Headers) != 2 || m.Headers[0].Name != "b" || string(m.Headers[1].Value) != "7" {
		t.Errorf("message %+v", m)
	}
	if want := (hapax.Position{Source: "orders", Offset: 1700000000000<<20 | 5}); m.Position != want {
		t.Errorf("position %v, want %v", m.Position, want)
	}
	if m := redisstreams.Message("orders", "other", x); m.Value != nil {
		t.Errorf("value %q of a field that is not there, want nil", m.Value)
	}
	for id, fits := range map[string]bool{
		"0-1": true, "8796093022207-1048575": true, "8796093022208-0": false, "1-1048576": false, "": false, "1": false, "1-": false,
		"-1-1": false, "1--1": false, "18446744073709551615-18446744073709551615": false,
	} {
		if got := redisstreams.Message("s", "", redis.XMessage{ID: id}).Position.Source != ""; got != fits {
			t.Errorf("id %q has a position: %v, want %v", id, got, fits)
		}
	}
}

// FuzzMessage: positions are in the order of ids, and different for different ones.
func FuzzMessage(f *testing.F) {
	f.Add("1700000000000-5", "1700000000000-6")
	f.Add("1-1048575", "2-0")
	f.Add("1-1048576", "x")
	f.Add("+1-0", "1-00")
	f.Fuzz(func(t *testing.T, a, b string) {
		x := redisstreams.Message("s", "p", redis.XMessage{ID: a}).Position
		y := redisstreams.Message("s", "p", redis.XMessage{ID: b}).Position
		if x.Offset < 0 || y.Offset < 0 {
			t.Errorf("%q is %d, %q is %d: want none below zero", a, x.Offset, b, y.Offset)
		}
		if x == y && x.Source != "" && canonical(a) && canonical(b) && a != b {
			t.Errorf("%q and %q are both at %v", a, b, x)
		}
	})
}

// canonical tells whether an id is as Redis writes it.
func canonical(id string) bool {
	for part := range strings.SplitSeq(id, "-") {
		if part == "" || len(part) > 1 && part[0] == '0' || strings.Trim(part, "0123456789") != "" {
			return false
		}
	}
	return true
}
