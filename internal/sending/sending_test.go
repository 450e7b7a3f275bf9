package sending_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/hapaxmq/hapax/internal/sending"
	"github.com/hapaxmq/hapax/outbox"
	"github.com/hapaxmq/hapax/outbox/relay"
)

// batch is of records whose order keys and payloads are given, such as "a0": key a, and "-0":
// none.
func batch(number int64, records ...string) relay.Batch {
	b := relay.Batch{Number: number}
	for i, r := range records {
		b.Records = append(b.Records, relay.Record{Position: int64(i), Record: outbox.Record{OrderKey: strings.TrimPrefix(r[:1], "-"), Payload: []byte(r)}})
	}
	return b
}

func newSender(t testing.TB, o sending.Options) *sending.Sender {
	t.Helper()
	s, err := sending.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// sealed is what every batch is here.
func sealed() error { return nil }

// message is a record on its way.
type message struct {
	text string
	done func(error)
}

// TestOrder: whatever is stored, lost, refused or unanswered, in whichever order the
// destination gets to it, and however many relays send a batch at once, the first copies of each key
// are in its order, and what was acknowledged is stored.
func TestOrder(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		synctest.Test(t, func(*testing.T) { // timeouts take no time
			t := rt
			var records []string
			counts := map[string]int{}
			for range rapid.IntRange(1, 30).Draw(t, "records") {
				key := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "key")
				records = append(records, fmt.Sprint(key, counts[key]))
				counts[key]++
			}
			wires := make(chan message, 1000)
			relays := rapid.IntRange(1, 3).Draw(t, "relays")
			ended := make(chan error, relays)
			for range relays {
				s, err := sending.New(sending.Options{InFlight: rapid.IntRange(1, 8).Draw(t, "in flight"), Timeout: time.Second})
				if err != nil {
					t.Fatal(err)
				}
				go func() {
					for {
						err := s.Batch(context.Background(), "shard", batch(1, records...), false, sealed, func(r *relay.Record, done func(error)) {
							wires <- message{string(r.Payload), done}
						})
						if err == nil {
							ended <- nil
							return
						}
					}
				}()
			}
			var stored []string
			var late []message
			for over := 0; over < relays; {
				select {
				case m := <-wires:
					late = append(late, m)
				case <-ended:
					over++
					continue
				case <-time.After(10 * time.Millisecond):
				}
				if len(late) == 0 {
					continue
				}
				at := rapid.IntRange(0, len(late)-1).Draw(t, "which")
				m := late[at]
				switch rapid.SampledFrom([]string{"store", "store", "store", "fail", "lose", "store and lose", "later"}).Draw(t, "fate") {
				case "store":
					stored = append(stored, m.text)
					m.done(nil)
				case "fail":
					m.done(errors.New("failed"))
				case "store and lose":
					stored = append(stored, m.text)
				case "later": // such as behind those of another relay
					continue
				}
				late = slices.Delete(late, at, at+1)
			}
			for _, m := range late { // of relays that have given up
				stored = append(stored, m.text)
			}
			first(t, stored, counts)
		})
	})
}

// first checks that the first copies of each key are in its order, and all there.
func first(t *rapid.T, stored []string, counts map[string]int) {
	next := map[string]int{}
	for i, text := range stored {
		if key := text[:1]; !slices.Contains(stored[:i], text) {
			if want := fmt.Sprint(key, next[key]); text != want {
				t.Fatalf("%s is stored, want %s: %q", text, want, stored)
			}
			next[key]++
		}
	}
	if !maps.Equal(next, counts) {
		t.Fatalf("stored %v, want %v", next, counts)
	}
}

// TestRefused: what is refused holds up those of its key; what was acknowledged is not sent again
// to try the rest, and another batch is sent whole.
func TestRefused(t *testing.T) {
	s := newSender(t, sending.Options{})
	for _, test := range []struct {
		name    string
		batch   relay.Batch
		alone   bool
		answers map[string]error
		sent    string
		certain bool
		faults  map[int64]string
	}{
		{
			"one of a key", batch(1, "a0", "a1", "b0", "-0", "a2"), false, map[string]error{"a1": &sending.RefusedError{Why: "no"}},
			"-0 a0 a1 b0", true, map[int64]string{1: "no"},
		},
		{"the rest of it", batch(1, "a0"), false, nil, "", false, nil},
		{"together", batch(2, "a0", "b0"), false, map[string]error{"a0": &sending.RefusedError{Why: "one of two", Together: true}, "b0": &sending.RefusedError{Why: "one of two", Together: true}}, "a0 b0", false, map[int64]string{0: "one of two", 1: "one of two"}},
		{"alone", batch(2, "a0", "b0"), true, map[string]error{"b0": &sending.RefusedError{Why: "it", Together: true}}, "a0 b0", true, map[int64]string{1: "it"}},
		{"both", batch(3, "a0", "b0"), false, map[string]error{"a0": errors.New("failed"), "b0": &sending.RefusedError{Why: "no"}}, "a0 b0", true, map[int64]string{1: "no"}},
	} {
		var sent []string
		err := s.Batch(t.Context(), "shard", test.batch, test.alone, sealed, func(r *relay.Record, done func(error)) {
			sent = append(sent, string(r.Payload))
			done(test.answers[string(r.Payload)])
		})
		slices.Sort(sent)
		var refused *relay.RefusedError
		if is := errors.As(err, &refused); is != (test.faults != nil) || is && (refused.Certain != test.certain || !maps.Equal(refused.Faults, test.faults)) {
			t.Errorf("%s: refused by %v, want %v", test.name, err, test.faults)
		}
		if got := strings.Join(sent, " "); got != test.sent {
			t.Errorf("%s: sent %q, want %q", test.name, got, test.sent)
		}
	}
}

// TestBounds: so many are on their way at most, one if they go alone; no answer is an error in
// time, and so is the end of the context.
func TestBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSender(t, sending.Options{InFlight: 2, Timeout: time.Second})
		for alone, want := range map[bool]int{false: 2, true: 1} {
			sent := 0
			began := time.Now()
			err := s.Batch(t.Context(), "shard", batch(1, "a0", "b0", "c0", "-0", "-1"), alone, sealed, func(*relay.Record, func(error)) { sent++ })
			if sent != want || err == nil || time.Since(began) != time.Second || !strings.Contains(err.Error(), "is unknown") {
				t.Errorf("alone %t: sent %d after %v, %v: want %d", alone, sent, time.Since(began), err, want)
			}
		}
		ctx, end := context.WithTimeout(t.Context(), time.Millisecond)
		defer end()
		if err := s.Batch(ctx, "shard", batch(1, "a0"), false, sealed, func(*relay.Record, func(error)) {}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("ended with %v", err)
		}
	})
	for _, o := range []sending.Options{{InFlight: -1}, {InFlight: 10_001}, {Timeout: time.Millisecond}} {
		if _, err := sending.New(o); err == nil {
			t.Errorf("%+v is taken", o)
		}
	}
}
