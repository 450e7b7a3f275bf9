package inbox_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bradfitz/gomemcache/memcache"
	"github.com/redis/go-redis/v9"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/adapter/memcached"
	"github.com/hapaxmq/hapax/adapter/redisdb"
	"github.com/hapaxmq/hapax/adapter/sqldb"
	"github.com/hapaxmq/hapax/inbox"
	"github.com/hapaxmq/hapax/internal/servertest"
	"github.com/hapaxmq/hapax/ledger"
)

// off is a ledger as a worker sees it whose clock is off: what the ledger's clock says is
// so much later, or earlier, than it seems.
type off struct {
	hapax.Ledger
	by time.Duration
}

func (o off) Claim(ctx context.Context, r hapax.Request) (hapax.Claim, error) {
	c, err := o.Ledger.Claim(ctx, r)
	return o.seen(c), err
}

func (o off) Extend(ctx context.Context, c hapax.Claim, d time.Duration) (hapax.Claim, error) {
	c, err := o.Ledger.Extend(ctx, c, d)
	return o.seen(c), err
}

func (o off) seen(c hapax.Claim) hapax.Claim {
	if !c.Deadline.IsZero() {
		c.Deadline = c.Deadline.Add(o.by)
	}
	return c
}

// Leases are judged by the ledger's clock alone: a worker whose own is ten minutes off
// neither loses a lease that it has, nor takes one that another has, nor waits for longer
// than a lease.
func TestS20AClockThatIsOffBreaksNothing(t *testing.T) {
	for _, by := range []time.Duration{-10 * time.Minute, 10 * time.Minute} {
		synctest.Test(t, func(t *testing.T) {
			shared := openLedger(t)
			var runs counter
			long := func(context.Context, hapax.Claim, *hapax.Message) (hapax.Receipt, error) {
				runs.add()
				<-time.After(10 * lease)
				return nil, nil
			}
			right, wrong := leased(t, shared, options(), long), leased(t, off{shared, by}, options(), long)
			for i, first := range []*inbox.Inbox{right, wrong} {
				m := message(fmt.Sprint(i), "a")
				done := make(chan hapax.Result)
				go func() {
					r, _ := first.Handle(t.Context(), m)
					done <- r
				}()
				synctest.Wait()
				for range 20 {
					<-time.After(lease / 3)
					for _, in := range []*inbox.Inbox{right, wrong} {
						r, err := wantOutcome(t, in, m, hapax.Held, hapax.ErrInFlight)
						if s := inbox.Settle(r, err); s.After < 0 || s.After > lease {
							t.Errorf("clock off by %v: a copy waits for %v, with leases of %v", by, s.After, lease)
						}
					}
				}
				if r := <-done; r.Outcome != hapax.Executed {
					t.Errorf("clock off by %v: %v", by, r.Outcome)
				}
				wantOutcome(t, right, m, hapax.Replayed, nil)
				wantOutcome(t, wrong, m, hapax.Replayed, nil)
			}
			runs.want(t, 2)
		})
	}
}

// Wherever a generation ends, a copy a millisecond before the end of the window is one, and
// behind its slack none, with and without a memory before the ledger.
func TestS37NoCopyPassesAnEdge(t *testing.T) {
	for _, memory := range []int{0, 1000} {
		synctest.Test(t, func(t *testing.T) {
			const window, messages = time.Hour, 300
			l, err := ledger.Open("", ledger.Options{Window: hapax.Window{Time: window}})
			if err != nil {
				t.Fatal(err)
			}
			o := options()
			o.Window, o.Committed = window, memory
			in := leased(t, l, o, nothing)
			var all sync.WaitGroup
			for n := range messages { // more than twice as many moments as generations
				all.Go(func() {
					m := message(fmt.Sprint(n), "a")
					<-time.After(time.Duration(n) * 2 * window / messages)
					wantOutcome(t, in, m, hapax.Executed, nil)
					<-time.After(window - time.Millisecond)
					wantOutcome(t, in, m, hapax.Replayed, nil)
					<-time.After(window/128 + 2*time.Millisecond)
					wantOutcome(t, in, m, hapax.Executed, nil)
				})
			}
			all.Wait()
			closed(t, in)
			if err := l.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// A message a millisecond on either side of a partition's edge is marked in its own, and
// each of its copies is found there, whoever sweeps meanwhile.
func TestS37NoCopyPassesAPartition(t *testing.T) {
	each(t, func(t *testing.T, db opened) {
		if db.dialect != sqldb.Postgres {
			t.Skip("only PostgreSQL has marks in partitions")
		}
		db.marks.Span = time.Hour
		m, err := sqldb.ByID(db.DB, db.dialect, db.marks)
		migrated(t, m, err)
		defer db.must(t, "DROP TABLE IF EXISTS "+db.marks.Table+"_horizon")
		sweep := func() {
			if _, err := m.Sweep(t.Context(), 6*time.Hour); err != nil {
				t.Error(err)
			}
		}
		sweep()
		in := db.inbox(t, m, options(), func() bool { return false })
		var all sync.WaitGroup
		var executed atomic.Int64
		for hours := range 4 {
			for _, beside := range []time.Duration{-time.Millisecond, 0, time.Millisecond} {
				at := time.Now().Truncate(time.Hour).Add(beside - time.Duration(hours)*time.Hour)
				for range 4 { // copies
					all.Go(func() {
						one := message(fmt.Sprint(hours, beside), "a")
						one.Time = at
						for range 3 {
							if r, err := in.Handle(t.Context(), one); err == nil && r.Outcome == hapax.Executed {
								executed.Add(1)
							} else if r.Outcome != hapax.Replayed && !errors.Is(err, hapax.ErrInFlight) {
								t.Errorf("%v: %v, %v", at, r.Outcome, err)
							}
						}
					})
				}
			}
			all.Go(sweep)
		}
		all.Wait()
		if n := len(db.values(t)); n != 12 || executed.Load() != 12 {
			t.Errorf("%d effects, and %d executed, of 12 messages", n, executed.Load())
		}
	})
}

// A window is chosen by its kind. What is replayed is remembered from its completion on,
// what is only compared from its first sight, or its last, or until the aligned window ends.
func TestS38WindowsRunFromWhatIsChosen(t *testing.T) {
	const window, slack = time.Hour, time.Hour / 128
	t.Run("completion", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			l, err := ledger.Open("", ledger.Options{Window: hapax.Window{Time: window}})
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = l.Close() }() // it is in memory
			o := options()
			o.Window, o.Duplicates = window, inbox.Replay()
			in := leased(t, l, o, func(context.Context, hapax.Claim, *hapax.Message) (hapax.Receipt, error) {
				<-time.After(window / 2)
				return hapax.Receipt("done"), nil
			})
			m := message("1", "a")
			wantOutcome(t, in, m, hapax.Executed, nil)
			<-time.After(window - time.Millisecond)
			r, _ := wantOutcome(t, in, m, hapax.Replayed, nil)
			if string(r.Receipt) != "done" {
				t.Errorf("replayed %q", r.Receipt)
			}
			<-time.After(slack + 2*time.Millisecond)
			wantOutcome(t, in, m, hapax.Executed, nil)
		})
	})
	for kind, want := range map[hapax.WindowKind][3]hapax.Verdict{ // at 3/4, and half a window later, and 3/4 after that
		hapax.First:    {hapax.Duplicate, hapax.Fresh, hapax.Duplicate},
		hapax.Renewed:  {hapax.Duplicate, hapax.Duplicate, hapax.Duplicate},
		hapax.Tumbling: {hapax.Duplicate, hapax.Fresh, hapax.Duplicate},
	} {
		t.Run(kind.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				<-time.After(time.Until(time.Now().Truncate(window).Add(window))) // aligned windows begin
				l, err := ledger.Open("", ledger.Options{Window: hapax.Window{Time: window, Kind: kind}})
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = l.Close() }() // it is in memory
				verdict := func() hapax.Verdict {
					b := ledger.Batch{Entries: []ledger.Entry{{Fingerprint: l.Hasher("").Fingerprint(hapax.Identity("a"))}}}
					if err := l.Admit(t.Context(), &b); err != nil {
						t.Fatal(err)
					}
					return b.Entries[0].Verdict
				}
				if v := verdict(); v != hapax.Fresh {
					t.Fatalf("first: %v", v)
				}
				for i, pause := range []time.Duration{3 * window / 4, window / 2, window / 2} {
					<-time.After(pause)
					if got := verdict(); got != want[i] {
						t.Errorf("copy %d: %v, want %v", i+1, got, want[i])
					}
				}
			})
		})
	}
}

// Sweepers that work at once, beside handlers, forget what is old, and neither what is young
// nor what is being handled.
func TestS39SweepersLeaveWhatIsAlive(t *testing.T) {
	each(t, func(t *testing.T, db opened) {
		m, err := sqldb.ByID(db.DB, db.dialect, db.marks)
		migrated(t, m, err)
		holding, release := make(chan struct{}), make(chan struct{})
		in, err := inbox.Transaction(m, options(), func(ctx context.Context, tx *sql.Tx, m *hapax.Message) (hapax.Receipt, error) {
			if string(m.Value) == "held" {
				close(holding)
				<-release
			}
			return nil, db.insert(ctx, tx, string(m.Value))
		})
		if err != nil {
			t.Fatal(err)
		}
		const old = 40
		for n := range old {
			wantOutcome(t, in.Inbox, message(fmt.Sprint("old ", n), "old"), hapax.Executed, nil)
		}
		age(t, db)
		wantOutcome(t, in.Inbox, message("young", "young"), hapax.Executed, nil)
		others := make([]hapax.Mark, 2000) // of a small table MySQL reads every row, and waits for that in hand
		for n := range others {
			others[n] = hapax.Mark{Scope: "another", Identity: hapax.Identity(fmt.Sprint(n))}
		}
		if err := m.Transact(t.Context(), func(ctx context.Context, tx *sql.Tx) error { return m.Mark(ctx, tx, others) }); err != nil {
			t.Fatal(err)
		}

		held := make(chan hapax.Result)
		go func() {
			r, _ := in.Handle(t.Context(), message("held", "held"))
			held <- r
		}()
		<-holding
		var forgotten atomic.Int64
		sweepers := func() {
			var all sync.WaitGroup
			for range 3 {
				all.Go(func() {
					swept, err := m.Sweep(t.Context(), time.Hour)
					if err != nil {
						t.Error(err)
					}
					forgotten.Add(swept.Rows)
				})
			}
			all.Wait()
		}
		if db.dialect == sqldb.SQLite { // which has one writer, and that is the handler
			close(release)
			sweepers()
		} else {
			sweepers()
			close(release)
		}
		if r := <-held; r.Outcome != hapax.Executed {
			t.Errorf("what was handled meanwhile is %v", r.Outcome)
		}
		sweepers() // rows that two were at may be left
		if n := forgotten.Load(); n != old {
			t.Errorf("forgot %d, want %d", n, old)
		}
		wantOutcome(t, in.Inbox, message("held", "held"), hapax.Replayed, nil)
		wantOutcome(t, in.Inbox, message("young", "young"), hapax.Replayed, nil)
		wantOutcome(t, in.Inbox, message("old 0", "old"), hapax.Executed, nil)
		closed(t, in.Inbox)
	})
}

// age makes all marks two hours older.
func age(t *testing.T, db opened) {
	t.Helper()
	db.must(t, fmt.Sprintf(map[sqldb.Dialect]string{
		sqldb.Postgres: "UPDATE %s SET marked = marked - interval '2 hours'",
		sqldb.MariaDB:  "UPDATE %s SET marked = marked - INTERVAL 2 HOUR",
		sqldb.MySQL:    "UPDATE %s SET marked = marked - INTERVAL 2 HOUR",
		sqldb.SQLite:   "UPDATE %s SET marked = marked - 7200",
	}[db.dialect], db.marks.Table))
}

// A cache that evicts is refused, unless the caller says that the best effort will do.
func TestS40AStoreThatEvictsIsRefused(t *testing.T) {
	client := redis.NewClient(&redis.Options{Addr: servertest.EvictingRedis(t)})
	defer func() { _ = client.Close() }() // nothing is lost
	prefix := fmt.Sprintf("inboxtest:%x:", rand.Uint64())
	inRedis := func(bestEffort bool) (hapax.Ledger, error) {
		return redisdb.Open(t.Context(), client, redisdb.Options{Window: time.Minute, Prefix: prefix, BestEffort: bestEffort})
	}
	cache := memcache.New(servertest.Memcached(t))
	defer func() { _ = cache.Close() }() // nothing is lost
	inMemcached := func(bestEffort bool) (hapax.Ledger, error) {
		return memcached.Open(cache, memcached.Options{Window: time.Minute, Prefix: prefix, BestEffort: bestEffort})
	}
	for name, open := range map[string]func(bool) (hapax.Ledger, error){"Redis": inRedis, "Memcached": inMemcached} {
		if _, err := open(false); err == nil {
			t.Errorf("%s: a store that evicts was taken for one that remembers", name)
		}
		l, err := open(true)
		if err != nil {
			t.Errorf("%s: best effort was not accepted: %v", name, err)
			continue
		}
		in := leased(t, l, options(), nothing)
		wantOutcome(t, in, message("1", "a"), hapax.Executed, nil)
		wantOutcome(t, in, message("1", "a"), hapax.Replayed, nil)
	}
}
