package inbox_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/identity"
	"github.com/hapaxmq/hapax/inbox"
)

// named handles messages by what ids they have, whatever the name of the handler.
func named(t *testing.T, db *database, handler string) *inbox.Inbox {
	t.Helper()
	o := options()
	o.Name, o.Identity, o.NoDigests = handler, "", true
	o.Identify = func(dst []byte, m *hapax.Message) ([]byte, error) { return append(dst, m.Key...), nil }
	return transaction(t, db, o, effect).Inbox
}

func TestS01ScopeAndIdentityNeverMeet(t *testing.T) {
	db := newDatabase()
	for _, one := range [][2]string{{"a", "bc"}, {"ab", "c"}, {"a/b", "c"}, {"a", "b/c"}, {"a", "\x00"}, {"a\x00", "\x00"}} {
		in := named(t, db, one[0])
		wantOutcome(t, in, &hapax.Message{Key: []byte(one[1]), Value: []byte("x")}, hapax.Executed, nil)
		wantOutcome(t, in, &hapax.Message{Key: []byte(one[1]), Value: []byte("x")}, hapax.Replayed, nil)
	}
}

func TestS02TwoHandlersOfOneMessageBothRun(t *testing.T) {
	db, l := newDatabase(), openLedger(t)
	for _, name := range []string{"billing", "mailing"} {
		o := options()
		o.Name = name
		wantOutcome(t, transaction(t, db, o, effect).Inbox, message("1", name), hapax.Executed, nil)
		wantOutcome(t, leased(t, l, o, func(context.Context, hapax.Claim, *hapax.Message) (hapax.Receipt, error) {
			return nil, nil
		}), message("1", name), hapax.Executed, nil)
	}
	wantEffects(t, db, "billing", "mailing")
}

func TestS03CloudEventsHaveSourceAndID(t *testing.T) {
	o := options()
	o.Identity = "cloudevents"
	in := transaction(t, newDatabase(), o, effect).Inbox
	event := func(source, id string) *hapax.Message {
		return &hapax.Message{Headers: []hapax.Header{{Name: "ce_source", Value: []byte(source)}, {Name: "ce_id", Value: []byte(id)}}}
	}
	wantOutcome(t, in, event("/a", "1"), hapax.Executed, nil)
	wantOutcome(t, in, event("/b", "1"), hapax.Executed, nil)
	wantOutcome(t, in, event("/a", "1"), hapax.Replayed, nil)
}

func TestS04AMessageWithoutIDIsAnErrorOrPolicy(t *testing.T) {
	bare := func(value string) *hapax.Message { return &hapax.Message{Value: []byte(value)} }
	t.Run("error", func(t *testing.T) {
		db := newDatabase()
		in := transaction(t, db, options(), effect).Inbox
		r, err := wantOutcome(t, in, bare("a"), hapax.Nameless, hapax.ErrMissing)
		if s := inbox.Settle(r, err); s.Action != inbox.DeadLetter || s.Failed {
			t.Errorf("settled as %+v, want dead letter", s)
		}
		wantEffects(t, db)
	})
	t.Run("content", func(t *testing.T) {
		db, o := newDatabase(), options()
		o.Missing = identity.ContentOnMissing
		in := transaction(t, db, o, effect).Inbox
		wantOutcome(t, in, bare(`{"a":1,"b":2}`), hapax.Executed, nil)
		wantOutcome(t, in, bare(`{"b":2,"a":1}`), hapax.Replayed, nil)
		wantOutcome(t, in, bare(`{"a":2}`), hapax.Executed, nil)
	})
	t.Run("pass", func(t *testing.T) {
		db, o := newDatabase(), options()
		o.Missing = identity.PassOnMissing
		in := transaction(t, db, o, effect).Inbox
		r, err := wantOutcome(t, in, bare("a"), hapax.Passed, nil)
		if s := inbox.Settle(r, err); s.Action != inbox.Ack {
			t.Errorf("settled as %+v, want ack", s)
		}
		wantOutcome(t, in, bare("a"), hapax.Passed, nil)
		wantEffects(t, db, "a", "a")
		ended := in.HandleBatch(t.Context(), []*hapax.Message{bare("b"), message("1", "c"), bare("b")})
		for i, want := range []hapax.Outcome{hapax.Passed, hapax.Executed, hapax.Passed} {
			if ended[i].Result.Outcome != want || ended[i].Err != nil {
				t.Errorf("message %d of the batch: %+v, want %v", i, ended[i], want)
			}
		}
		runs := 0
		leases := leased(t, openLedger(t), o, func(_ context.Context, c hapax.Claim, _ *hapax.Message) (hapax.Receipt, error) {
			if runs++; c.Token != 0 {
				t.Errorf("token %d without a claim", c.Token)
			}
			return nil, nil
		})
		wantOutcome(t, leases, bare("a"), hapax.Passed, nil)
		wantOutcome(t, leases, bare("a"), hapax.Passed, nil)
	})
	t.Run("malformed", func(t *testing.T) {
		for _, policy := range []identity.MissingPolicy{identity.ErrorOnMissing, identity.ContentOnMissing, identity.PassOnMissing} {
			db, o := newDatabase(), options()
			o.Identity, o.Missing = "json:id", policy
			wantOutcome(t, transaction(t, db, o, effect).Inbox, bare(`{"id":`), hapax.Nameless, hapax.ErrMalformed)
			wantEffects(t, db)
		}
	})
}

func TestS05ContentNamesMessagesThatHaveNoID(t *testing.T) {
	db, o := newDatabase(), options()
	o.Identity = "content"
	in := transaction(t, db, o, effect).Inbox
	const distinct = 1_000
	for n := range distinct {
		wantOutcome(t, in, &hapax.Message{Value: fmt.Appendf(nil, `{"n":%d,"a.b":1,"a":{"b":2}}`, n)}, hapax.Executed, nil)
	}
	for n := range distinct {
		wantOutcome(t, in, &hapax.Message{Value: fmt.Appendf(nil, `{"a":{"b":2},"a.b":1.0,"n":%d}`, n)}, hapax.Replayed, nil)
	}
	wantOutcome(t, in, &hapax.Message{Value: []byte(`{"n":1,"a.b":2,"a":{"b":1}}`)}, hapax.Executed, nil)
}

func TestS06NumbersOfAProducerRefuseRegressions(t *testing.T) {
	db, o := newDatabase(), options()
	o.Identity, db.ordered = "sequence:p,n,e", true
	in := transaction(t, db, o, effect).Inbox
	numbered := func(p string, epoch, n int) *hapax.Message {
		return &hapax.Message{Value: fmt.Appendf(nil, `{"p":%q,"e":%d,"n":%d}`, p, epoch, n)}
	}
	wantOutcome(t, in, numbered("a", 1, 1), hapax.Executed, nil)
	wantOutcome(t, in, numbered("a", 1, 2), hapax.Executed, nil)
	wantOutcome(t, in, numbered("b", 1, 1), hapax.Executed, nil)
	wantOutcome(t, in, numbered("a", 1, 1), hapax.Replayed, nil)
	wantOutcome(t, in, numbered("a", 2, 1), hapax.Executed, nil)
	r, err := wantOutcome(t, in, numbered("a", 1, 3), hapax.Outdated, hapax.ErrStale)
	if s := inbox.Settle(r, err); s.Action != inbox.DeadLetter {
		t.Errorf("settled as %+v, want dead letter: it may be a first copy", s)
	}
	if len(db.high) != 2 {
		t.Errorf("%d rows, want one a producer", len(db.high))
	}
}

// What is put off by choice is not taken for a copy when it comes again.
func TestS07AMessagePutOffIsNoDuplicate(t *testing.T) {
	db := newDatabase()
	put, notOpen := true, errors.New("not open yet")
	in := transaction(t, db, options(), func(ctx context.Context, tx *tx, m *hapax.Message) (hapax.Receipt, error) {
		if tx.insert("half"); put {
			put = false
			return nil, inbox.Later(lease, notOpen)
		}
		return effect(ctx, tx, m)
	}).Inbox
	r, err := wantOutcome(t, in, message("1", "a"), hapax.Failed, notOpen)
	if s := inbox.Settle(r, err); s != (inbox.Settlement{Action: inbox.Retry, After: lease}) {
		t.Errorf("settled as %+v, want to come again after %v, not failed", s, lease)
	}
	wantEffects(t, db)
	wantOutcome(t, in, message("1", "a"), hapax.Executed, nil)
	wantEffects(t, db, "half", "a")
}

// A message by position that has to come again holds back those behind it: a mark
// beyond it would make it look like a copy.
func TestNumbersAreNotOvertaken(t *testing.T) {
	db, o := newDatabase(), options()
	o.Identity, db.ordered = inbox.ByPosition, true
	fails := map[string]bool{"t/6": true}
	in := transaction(t, db, o, func(ctx context.Context, tx *tx, m *hapax.Message) (hapax.Receipt, error) {
		if fails[string(m.Value)] {
			return nil, errDeclined
		}
		tx.insert(string(m.Value))
		return nil, nil
	}, inbox.Batched(func(_ context.Context, tx *tx, ms []*hapax.Message) error {
		for _, m := range ms {
			if fails[string(m.Value)] {
				return errDeclined
			}
			tx.insert(string(m.Value))
		}
		return nil
	})).Inbox
	wantOutcome(t, in, at("t", 5), hapax.Executed, nil)
	wantOutcome(t, in, at("t", 6), hapax.Failed, errDeclined)
	wantOutcome(t, in, at("t", 7), hapax.Held, hapax.ErrInFlight)
	wantOutcome(t, in, at("u", 7), hapax.Executed, nil)

	ended := in.HandleBatch(t.Context(), []*hapax.Message{at("t", 6), at("t", 7), at("u", 8), at("t", 8)})
	for i, want := range []hapax.Outcome{hapax.Failed, hapax.Held, hapax.Executed, hapax.Held} {
		if got := ended[i].Result.Outcome; got != want {
			t.Errorf("message %d: %v, want %v", i, got, want)
		}
	}
	delete(fails, "t/6")
	ended = in.HandleBatch(t.Context(), []*hapax.Message{at("t", 6), at("t", 7), at("t", 8), at("t", 7)})
	for i, want := range []hapax.Outcome{hapax.Executed, hapax.Executed, hapax.Executed, hapax.Replayed} {
		if got := ended[i].Result.Outcome; got != want {
			t.Errorf("message %d: %v, %v; want %v", i, got, ended[i].Err, want)
		}
	}
	wantEffects(t, db, "t/5", "u/7", "u/8", "t/6", "t/7", "t/8")
}

// One that panicked has to come again as well, and one that is given up holds back
// nobody.
func TestNumbersAreHeldBackUntilSkipped(t *testing.T) {
	db, o := newDatabase(), options()
	o.Identity, db.ordered = inbox.ByPosition, true
	in := transaction(t, db, o, func(ctx context.Context, tx *tx, m *hapax.Message) (hapax.Receipt, error) {
		if string(m.Value) == "t/6" {
			panic(errDeclined)
		}
		tx.insert(string(m.Value))
		return nil, nil
	}).Inbox
	func() {
		defer func() { _ = recover() }()
		_, _ = in.Handle(t.Context(), at("t", 6))
		t.Error("no panic")
	}()
	wantOutcome(t, in, at("t", 7), hapax.Held, hapax.ErrInFlight)
	in.Skip(at("t", 6))
	wantOutcome(t, in, at("t", 7), hapax.Executed, nil)
	wantOutcome(t, in, at("t", 8), hapax.Executed, nil)
	wantEffects(t, db, "t/7", "t/8")
}

// Ids are no numbers, and a ledger remembers each position by itself: nobody waits.
func TestOnlyMarksByNumberHoldBack(t *testing.T) {
	o := options()
	o.Identity = inbox.ByPosition
	in := leased(t, openLedger(t), o, func(_ context.Context, _ hapax.Claim, m *hapax.Message) (hapax.Receipt, error) {
		if string(m.Value) == "t/6" {
			return nil, errDeclined
		}
		return nil, nil
	})
	wantOutcome(t, in, at("t", 6), hapax.Failed, errDeclined)
	wantOutcome(t, in, at("t", 7), hapax.Executed, nil)
}
