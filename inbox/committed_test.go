package inbox_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/inbox"
)

func TestS35MemoryAnswersForWhatIsCommittedOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db, o := newDatabase(), options()
		o.Committed, o.Window, o.Duplicates = 2, time.Hour, inbox.Replay()
		var fails error
		in := transaction(t, db, o, func(ctx context.Context, tx *tx, m *hapax.Message) (hapax.Receipt, error) {
			if fails != nil {
				return nil, fails
			}
			return effect(ctx, tx, m)
		}).Inbox
		asks := func(want int) {
			t.Helper()
			if db.asked != want {
				t.Errorf("the store was asked %d times, want %d", db.asked, want)
			}
			db.asked = 0
		}

		fails = errDeclined // what failed is not committed
		wantOutcome(t, in, message("1", "a"), hapax.Failed, errDeclined)
		fails = nil
		wantOutcome(t, in, message("1", "a"), hapax.Executed, nil)
		asks(2)
		if r, _ := wantOutcome(t, in, message("1", "a"), hapax.Replayed, nil); string(r.Receipt) != "done a" {
			t.Errorf("receipt %q", r.Receipt)
		}
		asks(0)
		wantOutcome(t, in, message("1", "other"), hapax.Conflicted, hapax.ErrConflict) // the store's answer
		asks(1)
		wantOutcome(t, in, message("1", "a"), hapax.Replayed, nil)
		asks(0)

		<-time.After(time.Hour) // the window has ended
		db.forget()
		wantOutcome(t, in, message("1", "a"), hapax.Executed, nil)
		asks(1)

		for _, id := range []string{"2", "3"} { // which push it out
			wantOutcome(t, in, message(id, "a"), hapax.Executed, nil)
			wantOutcome(t, in, message(id, "a"), hapax.Replayed, nil)
		}
		asks(2)
		wantOutcome(t, in, message("1", "a"), hapax.Replayed, nil)
		asks(1)

		// A copy found in the store was marked nobody knows when: it is remembered
		// for as long only as windows may be late.
		wantOutcome(t, in, message("1", "a"), hapax.Replayed, nil)
		asks(0)
		<-time.After(time.Hour / 128)
		wantOutcome(t, in, message("1", "a"), hapax.Replayed, nil)
		asks(1)
		if s := in.Stats(); s.Cached != 5 {
			t.Errorf("%d answered from memory, want 5", s.Cached)
		}
	})
}

// A receipt that is too long for memory is asked for in the store.
func TestMemoryLeavesLongReceiptsToTheStore(t *testing.T) {
	db, o := newDatabase(), options()
	o.Committed, o.Duplicates = 2, inbox.Replay()
	long := hapax.Receipt(strings.Repeat("x", 2000))
	in := transaction(t, db, o, func(context.Context, *tx, *hapax.Message) (hapax.Receipt, error) { return long, nil }).Inbox
	wantOutcome(t, in, message("1", "a"), hapax.Executed, nil)
	for range 2 {
		if r, _ := wantOutcome(t, in, message("1", "a"), hapax.Replayed, nil); string(r.Receipt) != string(long) {
			t.Errorf("receipt of %d bytes", len(r.Receipt))
		}
	}
	if db.asked != 3 {
		t.Errorf("the store was asked %d times, want 3", db.asked)
	}
}

// Conflict goes before in flight, and changes nothing that is stored.
func TestS30AConflictIsFoundFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, o := openLedger(t), options()
		o.Duplicates, o.Committed = inbox.Replay(), 10
		log := &lines{}
		o.Logger = log.logger()
		var runs counter
		in := leased(t, l, o, func(context.Context, hapax.Claim, *hapax.Message) (hapax.Receipt, error) {
			runs.add()
			<-time.After(time.Minute)
			return hapax.Receipt("first"), nil
		})
		conflict := func() {
			t.Helper()
			r, err := wantOutcome(t, in, message("1", `{"amount":2}`), hapax.Conflicted, hapax.ErrConflict)
			if s := inbox.Settle(r, err); s.Action != inbox.DeadLetter || s.Failed {
				t.Errorf("settled as %+v", s)
			}
		}
		go func() { _, _ = in.Handle(t.Context(), message("1", `{"amount":1}`)) }()
		synctest.Wait()
		conflict()
		<-time.After(time.Hour)
		conflict()
		if r, _ := wantOutcome(t, in, message("1", `{"amount":1.0}`), hapax.Replayed, nil); string(r.Receipt) != "first" {
			t.Errorf("receipt %q", r.Receipt)
		}
		conflict()
		runs.want(t, 1)
		if n := strings.Count(log.String(), "level=WARN"); n != 3 {
			t.Errorf("logged as\n%s", log)
		}
	})
}

// Digests may be turned on and off: what was marked without one is compared with none.
func TestS31DigestsMayBeTurnedOnAndOff(t *testing.T) {
	db, o := newDatabase(), options()
	with := transaction(t, db, o, effect).Inbox
	o.NoDigests = true
	without := transaction(t, db, o, effect).Inbox
	wantOutcome(t, with, message("1", "a"), hapax.Executed, nil)
	wantOutcome(t, without, message("1", "b"), hapax.Replayed, nil)
	wantOutcome(t, without, message("2", "a"), hapax.Executed, nil)
	wantOutcome(t, with, message("2", "b"), hapax.Replayed, nil)
	wantOutcome(t, with, message("1", "b"), hapax.Conflicted, hapax.ErrConflict)
}

func TestS32AReplayIsTheFirstReceipt(t *testing.T) {
	receipts := map[string]hapax.Receipt{"bytes": {0, 255, '\n'}, "empty": {}, "none": nil}
	for name, receipt := range receipts {
		o := options()
		o.Duplicates = inbox.Replay()
		for kind, in := range map[string]*inbox.Inbox{
			"transaction": transaction(t, newDatabase(), o, func(context.Context, *tx, *hapax.Message) (hapax.Receipt, error) {
				return receipt, nil
			}).Inbox,
			"lease": leased(t, openLedger(t), o, func(context.Context, hapax.Claim, *hapax.Message) (hapax.Receipt, error) {
				return receipt, nil
			}),
		} {
			for _, want := range []hapax.Outcome{hapax.Executed, hapax.Replayed, hapax.Replayed} {
				r, _ := wantOutcome(t, in, message("1", "a"), want, nil)
				if string(r.Receipt) != string(receipt) || (r.Receipt == nil) != (receipt == nil) {
					t.Errorf("%s, %s: %v with receipt %q, want %q", kind, name, want, r.Receipt, receipt)
				}
			}
		}
	}
}

// A receipt that is too large is not kept, and that is said; the effect stays, once.
func TestS32AReceiptThatIsTooLargeIsDeclared(t *testing.T) {
	db, o := newDatabase(), options()
	o.Duplicates, o.Committed = inbox.Replay(), 4
	db.maxReceipt = 3
	in := transaction(t, db, o, effect).Inbox
	r, err := wantOutcome(t, in, message("1", "a"), hapax.Executed, hapax.ErrReceiptSize)
	if s := inbox.Settle(r, err); s.Action != inbox.Ack {
		t.Errorf("settled as %+v", s)
	}
	if r, _ := wantOutcome(t, in, message("1", "a"), hapax.Replayed, nil); r.Receipt != nil {
		t.Errorf("receipt %q", r.Receipt)
	}
	wantEffects(t, db, "a")
}

func TestS33OnlySuccessIsStored(t *testing.T) {
	db, o := newDatabase(), options()
	o.Duplicates = inbox.Replay()
	declined := true
	in := transaction(t, db, o, func(_ context.Context, tx *tx, m *hapax.Message) (hapax.Receipt, error) {
		switch string(m.Value) {
		case "malformed":
			tx.insert("half")
			return nil, inbox.Permanent(errDeclined)
		case "declined": // an answer
			return hapax.Receipt("declined"), nil
		}
		if declined {
			return hapax.Receipt("lost"), errDeclined
		}
		return hapax.Receipt("paid"), nil
	}).Inbox
	wantOutcome(t, in, message("1", "a"), hapax.Failed, errDeclined)
	declined = false
	if r, _ := wantOutcome(t, in, message("1", "a"), hapax.Executed, nil); string(r.Receipt) != "paid" {
		t.Errorf("receipt %q", r.Receipt)
	}
	wantOutcome(t, in, message("2", "declined"), hapax.Executed, nil)
	if r, _ := wantOutcome(t, in, message("2", "declined"), hapax.Replayed, nil); string(r.Receipt) != "declined" {
		t.Errorf("receipt %q", r.Receipt)
	}
	r, err := wantOutcome(t, in, message("3", "malformed"), hapax.Failed, errDeclined)
	if s := inbox.Settle(r, err); s != (inbox.Settlement{Action: inbox.DeadLetter, Failed: true}) {
		t.Errorf("settled as %+v", s)
	}
	wantEffects(t, db)
	wantOutcome(t, in, message("3", "malformed"), hapax.Failed, errDeclined) // sent again from the dead letters
}

// A copy whose replies are in doubt sends them again, with the ids they had.
func TestS34ACopySendsAgainWithTheSameIDs(t *testing.T) {
	var sent []string
	down := true
	o := options()
	send := func(ctx context.Context, m *hapax.Message, first hapax.Receipt) error {
		if down {
			return errDown
		}
		sent = append(sent, string(first))
		return nil
	}
	o.Duplicates = inbox.Callback(send)
	in := transaction(t, newDatabase(), o, func(ctx context.Context, _ *tx, _ *hapax.Message) (hapax.Receipt, error) {
		return hapax.Receipt(inbox.ChildID(ctx, "reply")), nil
	}).Inbox
	first, _ := wantOutcome(t, in, message("1", "a"), hapax.Executed, nil)
	r, err := wantOutcome(t, in, message("1", "a"), hapax.Replayed, errDown)
	if s := inbox.Settle(r, err); s != (inbox.Settlement{Action: inbox.Retry}) {
		t.Errorf("settled as %+v, want to come again, not failed", s)
	}
	down = false
	wantOutcome(t, in, message("1", "a"), hapax.Replayed, nil)
	if id, err := in.ChildID(message("1", "a"), "reply"); err != nil || len(sent) != 1 || sent[0] != string(first.Receipt) || sent[0] != id {
		t.Errorf("sent %q, want %q once; ChildID %q, %v", sent, first.Receipt, id, err)
	}
}

func TestCopiesAreRouted(t *testing.T) {
	var routed []string
	o := options()
	o.Duplicates = inbox.Route(func(_ context.Context, m *hapax.Message) error {
		routed = append(routed, string(m.Value))
		return nil
	})
	o.Committed = 1
	in := transaction(t, newDatabase(), o, effect).Inbox
	wantOutcome(t, in, message("1", "a"), hapax.Executed, nil)
	wantOutcome(t, in, message("1", "a"), hapax.Replayed, nil)
	if len(routed) != 1 {
		t.Errorf("routed %q", routed)
	}
}

func TestChildIDs(t *testing.T) {
	if id := inbox.ChildID(t.Context(), "reply"); id != "" {
		t.Errorf("outside of a handler: %q", id)
	}
	seen := map[string]bool{}
	for _, name := range []string{"billing", "mailing"} {
		o := options()
		o.Name = name
		fails := true
		var last []string
		in := transaction(t, newDatabase(), o, func(ctx context.Context, _ *tx, _ *hapax.Message) (hapax.Receipt, error) {
			ids := []string{inbox.ChildID(ctx, "a"), inbox.ChildID(ctx, "b")}
			if last != nil && strings.Join(ids, " ") != strings.Join(last, " ") {
				t.Errorf("a run that came again derived %q, the first %q", ids, last)
			}
			last = ids
			if fails {
				return nil, errors.New("again")
			}
			return nil, nil
		}).Inbox
		_, _ = in.Handle(t.Context(), message("1", "x"))
		fails = false
		wantOutcome(t, in, message("1", "x"), hapax.Executed, nil)
		for _, id := range last {
			if id == "" || seen[id] {
				t.Errorf("id %q came twice or is empty", id)
			}
			seen[id] = true
		}
	}
}
