package inbox_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/adapter/redisdb"
	"github.com/hapaxmq/hapax/adapter/sqldb"
	"github.com/hapaxmq/hapax/inbox"
	"github.com/hapaxmq/hapax/internal/servertest"
)

// openRedis opens a ledger in Redis with keys that nobody else uses.
func openRedis(t *testing.T) *redisdb.Ledger {
	t.Helper()
	client := redis.NewClient(&redis.Options{Addr: servertest.Redis(t), ContextTimeoutEnabled: true})
	t.Cleanup(func() { _ = client.Close() })
	l, err := redisdb.Open(t.Context(), client, redisdb.Options{Window: time.Hour, Prefix: fmt.Sprintf("inboxtest:%x:", rand.Uint64())})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

var act = inbox.Act{By: "ann", Reason: "ticket 7"}

// An operator can look at a message, let it go, and have it run again; each act is in the
// log.
func TestS55AnOperatorLooksExpiresAndRunsAgain(t *testing.T) {
	t.Run("embedded", func(t *testing.T) { operate(t, openLedger(t)) })
	t.Run("Redis", func(t *testing.T) { operate(t, openRedis(t)) })
}

func operate(t *testing.T, l hapax.Ledger) {
	log, o := &lines{}, options()
	o.Logger, o.Committed, o.Duplicates = log.logger(), 100, inbox.Replay()
	var runs counter
	in := leased(t, l, o, func(context.Context, hapax.Claim, *hapax.Message) (hapax.Receipt, error) {
		return fmt.Appendf(nil, "run %d", runs.add()), nil
	})
	m := message("1", "a")
	look := func(want hapax.Verdict, receipt string) {
		t.Helper()
		c, err := inbox.Look(t.Context(), in, m, act)
		if err != nil || c.Verdict != want || string(c.Receipt) != receipt {
			t.Errorf("found %v, %q, %v; want %v, %q", c.Verdict, c.Receipt, err, want, receipt)
		}
	}
	expire := func(want bool) {
		t.Helper()
		if was, err := inbox.Expire(t.Context(), in, m, act); was != want || err != nil {
			t.Errorf("expired: %t, %v; want %t", was, err, want)
		}
	}
	look(hapax.Fresh, "")
	expire(false)
	wantOutcome(t, in, m, hapax.Executed, nil)
	look(hapax.Duplicate, "run 1")
	look(hapax.Duplicate, "run 1") // it changes nothing
	wantOutcome(t, in, m, hapax.Replayed, nil)
	expire(true)
	look(hapax.Fresh, "")
	wantOutcome(t, in, m, hapax.Executed, nil)
	if r, err := inbox.Rerun(t.Context(), in, m, act); r.Outcome != hapax.Executed || string(r.Receipt) != "run 3" || err != nil {
		t.Errorf("run again: %v, %q, %v", r.Outcome, r.Receipt, err)
	}
	runs.want(t, 3)

	expire(true)
	held := claimAs(t, l, in, m)
	look(hapax.InFlight, "")
	expire(true)
	next := claimAs(t, l, in, m)
	if next.Verdict != hapax.Fresh || next.Token <= held.Token {
		t.Errorf("after the claim was expired: %v, token %d after %d", next.Verdict, next.Token, held.Token)
	}
	if err := l.Commit(t.Context(), held, nil); !errors.Is(err, hapax.ErrLeaseLost) {
		t.Errorf("the holder that was expired commits: %v", err)
	}
	for _, want := range []string{
		`level=WARN msg="inbox: operator \"ann\", because \"ticket 7\": look: duplicate"`, "expire: was known: true",
		"expire: was known: false", "run again: executed", "look: in flight", "key=",
	} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("%s is not in the log:\n%s", want, log)
		}
	}
}

// Marks by id in a database are looked at and let go as well, in the same words.
func TestS55AnOperatorOfMarks(t *testing.T) {
	each(t, func(t *testing.T, db opened) {
		m, err := sqldb.ByID(db.DB, db.dialect, db.marks)
		log, o := &lines{}, options()
		o.Logger, o.Committed, o.Duplicates = log.logger(), 100, inbox.Replay()
		runs := 0
		in, err := inbox.Transaction(migrated(t, m, err), o, func(ctx context.Context, tx *sql.Tx, m *hapax.Message) (hapax.Receipt, error) {
			runs++
			return fmt.Appendf(nil, "run %d", runs), db.insert(ctx, tx, string(m.Value))
		})
		if err != nil {
			t.Fatal(err)
		}
		one := message("1", "a")
		look := func(want hapax.Verdict, receipt string) {
			t.Helper()
			c, err := inbox.Look(t.Context(), in.Inbox, one, act)
			if err != nil || c.Verdict != want || string(c.Receipt) != receipt {
				t.Errorf("found %v, %q, %v; want %v, %q", c.Verdict, c.Receipt, err, want, receipt)
			}
		}
		look(hapax.Fresh, "")
		wantOutcome(t, in.Inbox, one, hapax.Executed, nil)
		wantOutcome(t, in.Inbox, message("2", "b"), hapax.Executed, nil)
		look(hapax.Duplicate, "run 1")
		for _, want := range []bool{true, false} {
			if was, err := inbox.Expire(t.Context(), in.Inbox, one, act); was != want || err != nil {
				t.Errorf("expired: %t, %v; want %t", was, err, want)
			}
		}
		look(hapax.Fresh, "")
		for _, run := range []string{"run 3", "run 4"} {
			if r, err := inbox.Rerun(t.Context(), in.Inbox, one, act); r.Outcome != hapax.Executed || string(r.Receipt) != run || err != nil {
				t.Errorf("run again: %v, %q, %v", r.Outcome, r.Receipt, err)
			}
		}
		wantOutcome(t, in.Inbox, message("2", "b"), hapax.Replayed, nil)
		if got := fmt.Sprint(db.values(t)); got != "[a b a a]" {
			t.Errorf("effects %v", got)
		}
		for _, want := range []string{"look: fresh", "look: duplicate", "expire: was known: true", "expire: was known: false", "run again: executed"} {
			if !strings.Contains(log.String(), want) {
				t.Errorf("%s is not in the log:\n%s", want, log)
			}
		}
		closed(t, in.Inbox)
	})
}

// Nobody acts without a name and a reason, nor on what can't be acted on.
func TestS55WhatAnOperatorCannotDo(t *testing.T) {
	in := leased(t, openRedis(t), options(), nothing)
	for _, a := range []inbox.Act{{}, {By: "ann"}, {Reason: "ticket 7"}} {
		if _, err := inbox.Expire(t.Context(), in, message("1", "a"), a); err == nil {
			t.Errorf("%+v passed", a)
		}
	}
	if _, err := inbox.Look(t.Context(), in, &hapax.Message{}, act); !errors.Is(err, hapax.ErrMissing) {
		t.Errorf("a message without an id: %v", err)
	}
	other := transaction(t, newDatabase(), options(), effect)
	if r, err := inbox.Rerun(t.Context(), other.Inbox, message("1", "a"), act); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("marks that are for no operators: %v, %v", r.Outcome, err)
	}
	each(t, func(t *testing.T, db opened) {
		for name, open := range map[string]func() (*sqldb.Marks, error){
			"by position": func() (*sqldb.Marks, error) { return sqldb.ByPosition(db.DB, db.dialect, db.marks) },
			"in a column": func() (*sqldb.Marks, error) { return sqldb.ByOwn(db.DB, db.dialect, nil, db.marks) },
		} {
			marks, err := open()
			if err != nil {
				t.Fatal(err)
			}
			o := options()
			if marks.Ordered() {
				o.Identity = inbox.ByPosition
			}
			in, err := inbox.Transaction(marks, o, func(context.Context, *sql.Tx, *hapax.Message) (hapax.Receipt, error) { return nil, nil })
			if err != nil {
				t.Fatal(err)
			}
			if was, err := inbox.Expire(t.Context(), in.Inbox, &hapax.Message{Headers: message("1", "a").Headers, Position: at("t", 1).Position}, act); was || !errors.Is(err, errors.ErrUnsupported) {
				t.Errorf("marks %s: %t, %v", name, was, err)
			}
		}
	})
}
