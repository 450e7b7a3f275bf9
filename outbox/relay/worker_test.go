package relay

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hapaxmq/hapax/outbox"
)

// TestTell: a fault of many records is told once, and every fault is.
func TestTell(t *testing.T) {
	t.Parallel()
	var log strings.Builder
	w := &worker{Relay: &Relay{o: Options{Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		},
	}))}}}
	b := Batch{}
	for n := range int64(5) {
		b.Records = append(b.Records, Record{Position: n, Record: outbox.Record{ID: string(rune('a' + n)), Topic: "t"}})
	}
	w.tell(b, map[int64]string{1: "no topic", 3: "too large", 4: "no topic"})
	want := `level=ERROR msg="outbox relay: records set aside" fault="no topic" records=2 position=1 id=b topic=t
level=ERROR msg="outbox relay: records set aside" fault="too large" records=1 position=3 id=d topic=t
`
	if log.String() != want {
		t.Errorf("told\n%swant\n%s", log.String(), want)
	}
}

// scripted is a source that a worker can have a shard of, and a destination.
type scripted struct {
	Source

	next   func() (Batch, error)
	sealed func(context.Context) error
	lines  int
	sent   chan error
}

func (s *scripted) Take(context.Context, Hold) (bool, error)               { return true, nil }
func (s *scripted) Give(context.Context, Hold) error                       { return nil }
func (s *scripted) Resume(context.Context, Hold, int64) (Batch, error)     { return Batch{}, nil }
func (s *scripted) Next(context.Context, Hold, Batch, Size) (Batch, error) { return s.next() }
func (s *scripted) Sealed(ctx context.Context, _ Hold, _ Batch) error      { return s.sealed(ctx) }

func (s *scripted) Open(context.Context, Shard) (Line, int64, error) {
	s.lines++
	return s, 0, nil
}

func (s *scripted) Publish(_ context.Context, _ Batch, _ bool, sealed func() error) error {
	err := sealed()
	select {
	case s.sent <- err: // the first
	default:
	}
	return err
}

func (s *scripted) Close() {}

func one() (Batch, error) { return Batch{Number: 1, Records: []Record{{}}}, nil }

// work has a worker at a shard until it has published, and tells what came of that, and when.
func (s *scripted) work(t *testing.T) (took time.Duration, err error) {
	t.Helper()
	s.sent = make(chan error, 1)
	r, err := New(s, s, Options{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	var all sync.WaitGroup
	began := time.Now()
	r.start(ctx, Shard{}, &all)
	err = <-s.sent
	took = time.Since(began)
	stop()
	all.Wait()
	return took, err
}

// TestLostStep: a worker that finds its shard changed, and can take it all the same, goes on after a
// pause, over another line.
func TestLostStep(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &scripted{sealed: func(context.Context) error { return nil }}
		s.next = func() (Batch, error) {
			if s.lines == 1 {
				return Batch{}, ErrLost
			}
			return one()
		}
		if took, err := s.work(t); err != nil || took != 50*time.Millisecond || s.lines != 2 {
			t.Errorf("published over line %d after %v, %v", s.lines, took, err)
		}
	})
}

// TestSealPatience: a line does not wait for a seal for long.
func TestSealPatience(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &scripted{next: one, sealed: func(ctx context.Context) error {
			<-ctx.Done()
			return ctx.Err()
		}}
		if took, err := s.work(t); !errors.Is(err, context.DeadlineExceeded) || took != patience {
			t.Errorf("ended after %v, %v", took, err)
		}
	})
}
