package inbox_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/adapter/pgxdb"
	"github.com/hapaxmq/hapax/inbox"
	"github.com/hapaxmq/hapax/internal/servertest"
)

// lucky is a handler's luck: one run in five fails.
func lucky() func() bool {
	var mu sync.Mutex
	rng := rand.New(rand.NewPCG(1, 2))
	return func() bool {
		mu.Lock()
		defer mu.Unlock()
		return rng.IntN(5) == 0
	}
}

// crowd hands copies of some messages to several workers, in batches, until all are
// acknowledged.
func crowd(t *testing.T, in *inbox.Inbox, messages int) {
	t.Helper()
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			var waiting []*hapax.Message
			for n := range messages {
				waiting = append(waiting, message(fmt.Sprint(n), fmt.Sprint(n)))
			}
			for tries := 0; len(waiting) > 0 && tries < 100_000; tries++ {
				some := waiting[:min(len(waiting), 7)]
				left := slices.Clone(waiting[len(some):])
				for i, h := range in.HandleBatch(t.Context(), some) {
					switch h.Settle().Action {
					case inbox.Retry, inbox.Stop:
						left = append(left, some[i])
					case inbox.DeadLetter:
						t.Errorf("%v, %v", h.Result.Outcome, h.Err)
					}
				}
				waiting = left
			}
			if len(waiting) > 0 {
				t.Errorf("%d were never acknowledged", len(waiting))
			}
		})
	}
	all.Wait()
}

// wantOnce looks whether each of some messages took effect once.
func wantOnce(t *testing.T, effects []string, messages int) {
	t.Helper()
	if slices.Sort(effects); len(effects) != messages || len(slices.Compact(effects)) != messages {
		t.Errorf("effects %q of %d messages", effects, messages)
	}
}

// pgxStore is PostgreSQL through pgx, with tables that nobody else uses.
type pgxStore struct {
	*pgxpool.Pool

	effects string
	options pgxdb.Options
}

func eachPgx(t *testing.T, f func(*testing.T, pgxStore)) {
	t.Helper()
	for _, isolation := range []pgx.TxIsoLevel{pgx.ReadCommitted, pgx.RepeatableRead, pgx.Serializable} {
		t.Run(string(isolation), func(t *testing.T) {
			pool, err := pgxpool.New(t.Context(), servertest.Postgres(t))
			if err != nil {
				t.Fatal(err)
			}
			defer pool.Close()
			own := fmt.Sprintf("inbox_%x", rand.Uint64())
			s := pgxStore{pool, own + "_effects", pgxdb.Options{Table: own + "_marks", Tx: pgx.TxOptions{IsoLevel: isolation}}}
			s.must(t, "CREATE TABLE "+s.effects+" (value TEXT)")
			defer s.must(t, "DROP TABLE IF EXISTS "+s.effects+", "+s.options.Table)
			f(t, s)
		})
	}
}

func (s pgxStore) must(t *testing.T, statement string) {
	t.Helper()
	if _, err := s.Exec(context.Background(), statement); err != nil {
		t.Fatal(err)
	}
}

func (s pgxStore) values(t *testing.T) []string {
	t.Helper()
	rows, err := s.Query(t.Context(), "SELECT value FROM "+s.effects)
	if err != nil {
		t.Fatal(err)
	}
	values, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return values
}

func (s pgxStore) inbox(t *testing.T, m *pgxdb.Marks, err error, o inbox.Options, fails func() bool) *inbox.TxInbox[pgx.Tx] {
	t.Helper()
	if err == nil {
		err = m.Migrate(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	write := func(ctx context.Context, tx pgx.Tx, ms []*hapax.Message) error {
		for _, m := range ms {
			if _, err := tx.Exec(ctx, "INSERT INTO "+s.effects+" VALUES ($1)", string(m.Value)); err != nil {
				return err
			}
		}
		if fails() {
			return errDeclined
		}
		return nil
	}
	in, err := inbox.Transaction(m, o, func(ctx context.Context, tx pgx.Tx, m *hapax.Message) (hapax.Receipt, error) {
		return hapax.Receipt("ran"), write(ctx, tx, []*hapax.Message{m})
	}, inbox.Batched(write))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closed(t, in.Inbox) })
	return in
}

func TestS29OnceAtEveryIsolationInPgx(t *testing.T) {
	eachPgx(t, func(t *testing.T, s pgxStore) {
		m, err := pgxdb.ByID(s.Pool, s.options)
		in := s.inbox(t, m, err, options(), lucky())
		crowd(t, in.Inbox, 40)
		wantOnce(t, s.values(t), 40)
	})
}

func TestS25JoinedTransactionsInPgx(t *testing.T) {
	eachPgx(t, func(t *testing.T, s pgxStore) {
		m, err := pgxdb.ByID(s.Pool, s.options)
		in := s.inbox(t, m, err, options(), func() bool { return false })
		for _, test := range []struct {
			m    *hapax.Message
			want hapax.Outcome
		}{
			{message("1", "a"), hapax.Executed}, {message("1", "a"), hapax.Replayed},
			{message("1", "b"), hapax.Conflicted}, {message("2", "b"), hapax.Executed},
		} {
			err := pgx.BeginTxFunc(t.Context(), s.Pool, s.options.Tx, func(tx pgx.Tx) error {
				if r, err := in.HandleIn(t.Context(), tx, test.m); r.Outcome != test.want {
					t.Errorf("%v, %v; want %v", r.Outcome, err, test.want)
				}
				_, err := tx.Exec(t.Context(), "INSERT INTO "+s.effects+" VALUES ($1)", test.want.String())
				return err
			})
			if err != nil {
				t.Error(err)
			}
		}
		if got := strings.Join(s.values(t), " "); got != "a executed replayed conflicted b executed" {
			t.Errorf("effects %q", got)
		}
	})
}

func TestS06OncePerPositionInPgx(t *testing.T) {
	eachPgx(t, func(t *testing.T, s pgxStore) {
		m, err := pgxdb.ByPosition(s.Pool, s.options)
		o := options()
		o.Identity = inbox.ByPosition
		in := s.inbox(t, m, err, o, lucky())
		const messages = 30
		for next := 0; next < messages; {
			var some []*hapax.Message
			for n := max(next-2, 0); n < min(next+5, messages); n++ { // two come again
				some = append(some, at("t", int64(n)))
			}
			for i, h := range in.HandleBatch(t.Context(), some) {
				if int(some[i].Position.Offset) == next && h.Settle().Action == inbox.Ack {
					next++
				}
			}
		}
		wantOnce(t, s.values(t), messages)
	})
}

// ledgers are those that leases and marks ahead of the handler are tried over.
func ledgers() map[string]func(*testing.T) hapax.Ledger {
	return map[string]func(*testing.T) hapax.Ledger{
		"memory": func(t *testing.T) hapax.Ledger { return openLedger(t) },
		"redis":  func(t *testing.T) hapax.Ledger { return openRedis(t) },
	}
}

func TestS14CrowdUnderLeases(t *testing.T) {
	for name, open := range ledgers() {
		t.Run(name, func(t *testing.T) {
			var mu sync.Mutex
			var effects []string
			fails := lucky()
			in := leased(t, open(t), options(), func(_ context.Context, _ hapax.Claim, m *hapax.Message) (hapax.Receipt, error) {
				if fails() {
					return nil, errDeclined
				}
				mu.Lock()
				defer mu.Unlock()
				effects = append(effects, string(m.Value))
				return nil, nil
			})
			crowd(t, in, 40)
			wantOnce(t, effects, 40)
		})
	}
}

func TestS14CrowdAtMostOnce(t *testing.T) {
	for name, open := range ledgers() {
		t.Run(name, func(t *testing.T) {
			var mu sync.Mutex
			var effects []string
			in, err := inbox.AtMostOnce(open(t), options(), func(_ context.Context, m *hapax.Message) error {
				mu.Lock()
				defer mu.Unlock()
				effects = append(effects, string(m.Value))
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			defer closed(t, in)
			crowd(t, in, 40)
			wantOnce(t, effects, 40)
		})
	}
}

// stopped is a ledger that is away between two times: what is asked then is not answered
// before the caller's patience, a second, is over. Of the commits every second one passes,
// and nobody is told.
type stopped struct {
	hapax.Ledger

	from, to time.Time
	commits  atomic.Int64
}

func (s *stopped) away() bool {
	now := time.Now()
	return now.After(s.from) && now.Before(s.to)
}

func (s *stopped) Claim(ctx context.Context, r hapax.Request) (hapax.Claim, error) {
	if s.away() {
		<-time.After(time.Second)
		return hapax.Claim{}, errDown
	}
	return s.Ledger.Claim(ctx, r)
}

func (s *stopped) Commit(ctx context.Context, c hapax.Claim, r hapax.Receipt) error {
	if !s.away() {
		return s.Ledger.Commit(ctx, c, r)
	}
	if s.commits.Add(1)%2 == 0 {
		_ = s.Ledger.Commit(ctx, c, r)
	}
	<-time.After(time.Second)
	return errors.Join(hapax.ErrUnknown, errDown)
}

func (s *stopped) Extend(ctx context.Context, c hapax.Claim, d time.Duration) (hapax.Claim, error) {
	if s.away() {
		return c, errDown
	}
	return s.Ledger.Extend(ctx, c, d)
}

// A ledger that is away for 30 s under load: nothing is lost, each effect beyond the first
// was in doubt, every delivery is counted once, and workers pause meanwhile.
func TestS41ThirtySecondsWithoutALedger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		l := &stopped{Ledger: openLedger(t), from: began.Add(5 * time.Second), to: began.Add(35 * time.Second)}
		o := options()
		o.Lease = 10 * time.Second
		var mu sync.Mutex
		effects, doubts := make(map[string]int), make(map[string]int)
		in := leased(t, l, o, func(_ context.Context, _ hapax.Claim, m *hapax.Message) (hapax.Receipt, error) {
			<-time.After(50 * time.Millisecond)
			mu.Lock()
			defer mu.Unlock()
			effects[string(m.Value)]++
			return nil, nil
		})
		var all sync.WaitGroup
		for w := range 16 {
			all.Go(func() {
				for n := 0; time.Since(began) < 60*time.Second; n++ {
					id := fmt.Sprint(w/2, "-", n) // two workers have copies of each
					for acked := false; !acked; {
						r, err := in.Handle(t.Context(), message(id, id))
						s := inbox.Settle(r, err)
						if acked = s.Action == inbox.Ack; s.Action == inbox.DeadLetter {
							t.Errorf("%s: %v, %v", id, r.Outcome, err)
							return
						}
						if r.Outcome == hapax.Doubtful || r.Outcome == hapax.Lost {
							mu.Lock()
							doubts[id]++
							mu.Unlock()
						}
						<-time.After(s.After)
					}
				}
			})
		}
		all.Wait()
		doubled := 0
		for id, n := range effects {
			if n > 1+doubts[id] {
				t.Errorf("%s: %d effects, and %d in doubt", id, n, doubts[id])
			}
			doubled += n - 1
		}
		counted := in.Stats().Outcomes
		asked := counted[hapax.Unanswered]
		if counted[hapax.Doubtful] == 0 || doubled == 0 || asked == 0 || asked > 16*30 {
			t.Errorf("%v, %d doubled: want some in doubt, of them some done again, and few questions", counted, doubled)
		}
	})
}
