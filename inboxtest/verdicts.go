package inboxtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"

	"github.com/hapaxmq/hapax"
)

// scopes: two handlers with one database and one message both run (statements 1, 2),
// and scope and id are not simply joined.
func scopes[T any](s *sitting[T]) {
	_, i := s.place()
	m := s.store.Message(0)
	one, other := m, m
	one.Scope, other.Scope = "billing", "mail"
	s.want(s.handle(i, one, "billing"), hapax.Fresh)
	s.want(s.handle(i, other, "mail"), hapax.Fresh)
	s.want(s.handle(i, one, "billing"), hapax.Duplicate)
	s.want(s.handle(i, other, "mail"), hapax.Duplicate)
	s.effects(i, map[string]int{"billing": 1, "mail": 1})
}

// batch handles messages in one transaction, with an effect for each that is fresh.
func (s *sitting[T]) batch(i *Instance[T], numbers ...int) []hapax.Verdict {
	s.Helper()
	marks := make([]hapax.Mark, len(numbers))
	for at, n := range numbers {
		marks[at] = s.store.Message(n)
	}
	s.must(i.Marks.Transact(s.Context(), func(ctx context.Context, tx T) error {
		if err := i.Marks.Mark(ctx, tx, marks); err != nil {
			return err
		}
		for at, n := range numbers {
			if marks[at].Verdict == hapax.Fresh {
				if err := i.Effect(ctx, tx, fmt.Sprint(n)); err != nil {
					return err
				}
			}
		}
		return nil
	}))
	verdicts := make([]hapax.Verdict, len(marks))
	for at, m := range marks {
		verdicts[at] = m.Verdict
	}
	return verdicts
}

func (s *sitting[T]) wantAll(got []hapax.Verdict, want ...hapax.Verdict) {
	s.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		s.Errorf("verdicts %v, want %v", got, want)
	}
}

// copies: a batch with the same id twice runs it once (statement 14), and none at all
// is no question.
func copies[T any](s *sitting[T]) {
	_, i := s.place()
	s.wantAll(s.batch(i))
	s.wantAll(s.batch(i, 1, 2, 1, 3, 2, 1), hapax.Fresh, hapax.Fresh, hapax.Duplicate, hapax.Fresh, hapax.Duplicate, hapax.Duplicate)
	s.wantAll(s.batch(i, 3, 1, 3), hapax.Duplicate, hapax.Duplicate, hapax.Duplicate)
	s.effects(i, map[string]int{"1": 1, "2": 1, "3": 1})
}

// mixed: what is known does not hide what is fresh, in batches of any size; and the
// failure of one marks none of the others (statement 14).
func mixed[T any](s *sitting[T]) {
	_, i := s.place()
	s.batch(i, 1, 2, 3)
	s.wantAll(s.batch(i, 4, 2, 5, 1), hapax.Fresh, hapax.Duplicate, hapax.Fresh, hapax.Duplicate)
	s.wantAll(s.batch(i, 6), hapax.Fresh)
	marks := []hapax.Mark{s.store.Message(7), s.store.Message(8)}
	broken := errors.New("the second of two failed")
	err := i.Marks.Transact(s.Context(), func(ctx context.Context, tx T) error {
		if err := i.Marks.Mark(ctx, tx, marks); err != nil {
			return err
		}
		return broken
	})
	if !errors.Is(err, broken) {
		s.Fatalf("error %v, want the handler's own", err)
	}
	s.wantAll(s.batch(i, 7, 8), hapax.Fresh, hapax.Fresh)
	want := map[string]int{}
	for n := 1; n <= 8; n++ {
		want[fmt.Sprint(n)] = 1
	}
	many := make([]int, 2345)
	for at := range many {
		many[at] = 5 + at
		want[fmt.Sprint(many[at])] = 1
	}
	for at, v := range s.batch(i, many...) {
		if known := many[at] <= 8; (v == hapax.Duplicate) != known {
			s.Fatalf("message %d is %v", many[at], v)
		}
	}
	s.effects(i, want)
}

// conflict: another payload under the same id is a Conflict, its handler does not run,
// and what is stored stays (statement 30).
func conflict[T any](s *sitting[T]) {
	_, i := s.place()
	m := s.store.Message(1)
	m.Digest = 4
	s.want(s.handle(i, m, "first"), hapax.Fresh)
	m.Digest = 5
	s.want(s.handle(i, m, "other"), hapax.Conflict)
	m.Digest = 4
	s.want(s.handle(i, m, "copy"), hapax.Duplicate)
	m.Digest = 0
	s.want(s.handle(i, m, "unread"), hapax.Duplicate)
	high := s.store.Message(2)
	high.Digest = 1<<64 - 1
	s.want(s.handle(i, high, "high"), hapax.Fresh)
	s.want(s.handle(i, high, "high"), hapax.Duplicate)
	s.effects(i, map[string]int{"first": 1, "high": 1})
}

// keep handles a message whose handler gives a receipt.
func (s *sitting[T]) keep(i *Instance[T], m hapax.Mark, r hapax.Receipt) hapax.Mark {
	s.Helper()
	marks := []hapax.Mark{m}
	s.must(i.Marks.Transact(s.Context(), func(ctx context.Context, tx T) error {
		if err := i.Marks.Mark(ctx, tx, marks); err != nil || marks[0].Verdict != hapax.Fresh {
			return err
		}
		marks[0].Receipt = r
		return i.Marks.Keep(ctx, tx, &marks[0])
	}))
	return marks[0]
}

// receipt: a duplicate is given the bytes that the first run gave (statement 32).
func receipt[T any](s *sitting[T]) {
	_, i := s.place()
	all := []hapax.Receipt{nil, {}, hapax.Receipt("done"), {0, 255, '\'', '\\', '{'}, bytes.Repeat([]byte{7}, 5000)}
	for n, r := range all {
		s.want(s.keep(i, s.store.Message(n), r), hapax.Fresh)
	}
	marks := make([]hapax.Mark, len(all))
	for n := range marks {
		marks[n] = s.store.Message(n)
	}
	s.must(i.Marks.Transact(s.Context(), func(ctx context.Context, tx T) error { return i.Marks.Mark(ctx, tx, marks) }))
	for n, want := range all {
		s.want(marks[n], hapax.Duplicate)
		if got := marks[n].Receipt; !bytes.Equal(got, want) || (got == nil) != (want == nil) {
			s.Errorf("receipt %q (none: %t), want %q (none: %t)", got, got == nil, want, want == nil)
		}
	}
}

// largeReceipt: one above the limit is refused, and the message is done all the same.
func largeReceipt[T any](s *sitting[T]) {
	s.need(s.store.TooLarge > 0, "limit of receipts")
	_, i := s.place()
	marks := []hapax.Mark{s.store.Message(1)}
	s.must(i.Marks.Transact(s.Context(), func(ctx context.Context, tx T) error {
		if err := i.Marks.Mark(ctx, tx, marks); err != nil {
			return err
		}
		marks[0].Receipt = make(hapax.Receipt, s.store.TooLarge)
		if err := i.Marks.Keep(ctx, tx, &marks[0]); !errors.Is(err, hapax.ErrReceiptSize) {
			s.Errorf("keep: error %v, want ErrReceiptSize", err)
		}
		return i.Effect(ctx, tx, "done")
	}))
	again := s.handle(i, s.store.Message(1), "again")
	s.want(again, hapax.Duplicate)
	if again.Receipt != nil {
		s.Errorf("a receipt of %d bytes was kept", len(again.Receipt))
	}
	s.effects(i, map[string]int{"done": 1})
}

// failures: a handler that fails leaves no mark, however it ends (statements 10, 11),
// and its own error comes back.
func failures[T any](s *sitting[T]) {
	_, i := s.place()
	broken := errors.New("out of paper")
	for _, end := range []func() error{
		func() error { return broken },
		func() error { panic(broken) },
		func() error { runtime.Goexit(); return nil },
	} {
		done := make(chan error, 1)
		go func() {
			defer close(done)
			defer func() {
				if p := recover(); p != nil && p != any(broken) {
					s.Errorf("panic %v, want the handler's own", p)
				}
			}()
			done <- i.Marks.Transact(s.Context(), func(ctx context.Context, tx T) error {
				marks := []hapax.Mark{s.store.Message(1)}
				if err := i.Marks.Mark(ctx, tx, marks); err != nil {
					return err
				}
				s.want(marks[0], hapax.Fresh)
				if err := i.Effect(ctx, tx, "failed"); err != nil {
					return err
				}
				return end()
			})
		}()
		if err := <-done; err != nil && err != broken { //nolint:errorlint // the error comes as it is
			s.Errorf("error %v, want the handler's own", err)
		}
	}
	s.want(s.handle(i, s.store.Message(1), "done"), hapax.Fresh)
	s.effects(i, map[string]int{"done": 1})
}
