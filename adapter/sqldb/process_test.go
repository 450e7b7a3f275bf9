package sqldb_test

import (
	"bufio"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/adapter/sqldb"
	"github.com/hapaxmq/hapax/identity"
	"github.com/hapaxmq/hapax/outbox"
)

// task is what another process of this test's binary is started for.
type task struct {
	Database string
	Source   string
	Room     string
	Do       string // "crowd", or a step at which to wait for the end
}

const taskVariable = "HAPAX_SQLDB_TASK"

// perform does the task of this process, if it is another one.
func perform() (done bool) {
	text, ok := os.LookupEnv(taskVariable)
	if !ok {
		return false
	}
	var of task
	err := json.Unmarshal([]byte(text), &of)
	if err == nil {
		err = of.run()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	return true
}

func (of task) run() error {
	all := databases()
	d := all[slices.IndexFunc(all, func(d database) bool { return d.name == of.Database })]
	r := room{d, of.Room}
	db, err := r.connect(of.Source)
	if err != nil {
		return err
	}
	l, err := sqldb.NewLedger(db, d.dialect, sqldb.LedgerOptions{Window: time.Hour, Table: r.table("claims")})
	if err != nil {
		return err
	}
	w := worker{room: r, db: db, ledger: l, lease: time.Minute}
	if of.Do == "crowd" {
		outcomes, err := w.crowd()
		return errors.Join(err, json.NewEncoder(os.Stdout).Encode(outcomes))
	}
	if step, ok := strings.CutPrefix(of.Do, "transaction "); ok {
		_, err := w.transaction(context.Background(), step)
		return err
	}
	w.lease = killedLease
	return w.upTo(of.Do)
}

// start starts this test's binary for a task, and returns its output.
func (of task) start(t *testing.T) (*exec.Cmd, *bufio.Reader) {
	t.Helper()
	text, err := json.Marshal(of)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), taskVariable+"="+string(text))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	return cmd, bufio.NewReader(out)
}

// worker handles messages; what it does is to insert an effect of each.
type worker struct {
	room

	db     *sql.DB
	ledger *sqldb.Ledger
	lease  time.Duration
}

func (w worker) act(ctx context.Context, id string) error {
	m, err := sqldb.ByID(w.db, w.dialect, sqldb.Options{Runs: 10_000}) // a busy SQLite lets nobody wait in line
	if err != nil {
		return err
	}
	return m.Transact(ctx, func(ctx context.Context, tx *sql.Tx) error { return w.effect(ctx, tx, id) })
}

// deliver gives one message to the ledger again and again, as a broker does, until it is
// to be acknowledged. Each try is counted.
func (w worker) deliver(id string, tally func(hapax.Outcome)) error {
	r := hapax.Request{Scope: "crowd", Identity: hapax.Identity(id), Lease: w.lease}
	for {
		result, err := hapax.Do(context.Background(), w.ledger, r, func(ctx context.Context, _ hapax.Claim) (hapax.Receipt, error) {
			return hapax.Receipt(id), w.act(ctx, id)
		})
		tally(result.Outcome)
		busy := (*hapax.InFlightError)(nil)
		switch {
		case err == nil:
			return nil
		case !errors.As(err, &busy):
			return err
		}
		<-time.After(min(5*time.Millisecond, busy.RetryAfter))
	}
}

const (
	crowd    = 64 // goroutines
	messages = 10
)

// crowd handles all messages in each of many goroutines, and tells the outcomes.
func (w worker) crowd() (map[string]int, error) {
	var mu sync.Mutex
	var wg sync.WaitGroup
	outcomes, errs := map[string]int{}, make([]error, crowd)
	for n := range crowd {
		wg.Go(func() {
			for _, i := range rand.Perm(messages) {
				err := w.deliver(fmt.Sprint(i), func(o hapax.Outcome) {
					mu.Lock()
					defer mu.Unlock()
					outcomes[o.String()]++
				})
				errs[n] = errors.Join(errs[n], err)
			}
		})
	}
	wg.Wait()
	return outcomes, errors.Join(errs...)
}

// TestLedgerCrowd: of 64 goroutines in each of two processes one runs a message
// (statements 8 and 9).
func TestLedgerCrowd(t *testing.T) {
	t.Parallel()
	for _, d := range databases() {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			r := d.create(t)
			db := r.open(t, "")
			r.effects(t, db)
			r.ledger(t, db, sqldb.LedgerOptions{})
			total := map[string]int{}
			var outs []*bufio.Reader
			for range 2 {
				_, out := task{Database: d.name, Source: d.source(t), Room: r.name, Do: "crowd"}.start(t)
				outs = append(outs, out)
			}
			for _, out := range outs {
				outcomes := map[string]int{}
				if err := json.NewDecoder(out).Decode(&outcomes); err != nil {
					t.Fatalf("read what a process did: %v", err)
				}
				for o, n := range outcomes {
					total[o] += n
				}
			}
			delete(total, hapax.Held.String())
			if want := map[string]int{"executed": messages, "replayed": (2*crowd - 1) * messages}; !maps.Equal(total, want) {
				t.Errorf("outcomes %v, want %v", total, want)
			}
			counts, err := r.count(t.Context(), db)
			if err != nil {
				t.Fatal(err)
			}
			for i := range messages {
				if n := counts[fmt.Sprint(i)]; n != 1 {
					t.Errorf("message %d took effect %d times", i, n)
				}
			}
		})
	}
}

// killedLease is the lease of a holder that is killed.
const killedLease = 500 * time.Millisecond

// stop waits for the end, and says so, if this is the step to be killed at.
func stop(here bool) {
	if here {
		fmt.Println("reached")
		select {}
	}
}

// upTo handles one message as far as a step, says so, and waits for the end.
func (w worker) upTo(step string) error {
	ctx := context.Background()
	reached := func(s string) { stop(s == step) }
	reached("deliver")
	c, err := w.ledger.Claim(ctx, hapax.Request{Scope: "crowd", Identity: hapax.Identity("a"), Lease: w.lease})
	if err != nil || c.Verdict != hapax.Fresh {
		return fmt.Errorf("claim: %v, %w", c.Verdict, err)
	}
	reached("claim")
	if err := w.act(ctx, "a"); err != nil {
		return err
	}
	reached("work")
	if err := w.ledger.Commit(ctx, c, hapax.Receipt("a")); err != nil {
		return err
	}
	reached("commit")
	return fmt.Errorf("there is no step %s", step)
}

// TestKilledHolder: a message whose holder is killed by SIGKILL runs again once its lease
// has ended, unless it was committed; doubled only if killed between effect and commit
// (statement 15).
func TestKilledHolder(t *testing.T) {
	t.Parallel()
	for _, d := range databases() {
		if d.name == "pq" { // as pgx
			continue
		}
		for step, want := range map[string]struct {
			effects int
			last    hapax.Outcome
		}{
			"deliver": {1, hapax.Executed},
			"claim":   {1, hapax.Executed},
			"work":    {2, hapax.Executed},
			"commit":  {1, hapax.Replayed},
		} {
			t.Run(d.name+"/"+step, func(t *testing.T) {
				t.Parallel()
				r := d.create(t)
				db := r.open(t, "")
				r.effects(t, db)
				w := worker{room: r, db: db, ledger: r.ledger(t, db, sqldb.LedgerOptions{}), lease: time.Minute}
				holder, out := task{Database: d.name, Source: d.source(t), Room: r.name, Do: step}.start(t)
				if line, err := out.ReadString('\n'); err != nil {
					t.Fatalf("wait for the holder: %q, %v", line, err)
				}
				if err := holder.Process.Kill(); err != nil {
					t.Fatal(err)
				}
				_ = holder.Wait()

				var outcomes []hapax.Outcome
				if err := w.deliver("a", func(o hapax.Outcome) { outcomes = append(outcomes, o) }); err != nil {
					t.Fatal(err)
				}
				for i, o := range outcomes {
					if last := i == len(outcomes)-1; last && o != want.last || !last && o != hapax.Held {
						t.Errorf("outcomes %v: want held, and at last %v", outcomes, want.last)
						break
					}
				}
				counts, err := r.count(t.Context(), db)
				if err != nil || counts["a"] != want.effects {
					t.Errorf("took effect %d times, %v, want %d", counts["a"], err, want.effects)
				}
			})
		}
	}
}

// transaction handles a message in one transaction, up to a step: its mark, an effect, and a
// record of what came of it.
func (w worker) transaction(ctx context.Context, step string) (hapax.Verdict, error) {
	marks, err := sqldb.ByID(w.db, w.dialect, sqldb.Options{Table: w.table("inbox"), Wait: 30 * time.Second})
	if err != nil {
		return 0, err
	}
	out, err := sqldb.NewOutbox(w.db, w.dialect, sqldb.OutboxOptions{Table: w.table("outbox")})
	if err != nil {
		return 0, err
	}
	m := []hapax.Mark{{Scope: "payments", Identity: hapax.Identity("payment 1")}}
	err = marks.Transact(ctx, func(ctx context.Context, tx *sql.Tx) error {
		if err := marks.Mark(ctx, tx, m); err != nil || m[0].Verdict != hapax.Fresh {
			return err
		}
		stop(step == "mark")
		if err := w.effect(ctx, tx, "a"); err != nil {
			return err
		}
		stop(step == "effect")
		confirmed := outbox.Record{Topic: "confirmed", ID: identity.ChildID(m[0].Identity, "confirmed"), OrderKey: "account 1"}
		if err := out.Put(ctx, tx, confirmed, outbox.Record{Topic: "mails", OrderKey: "account 1"}); err != nil {
			return err
		}
		stop(step == "put")
		return nil
	})
	if err == nil {
		stop(step == "commit")
	}
	return m[0].Verdict, err
}

// TestKilledTransaction: mark, effect and outgoing records are there together or not at
// all, wherever their process is killed (statements 23 and 42).
func TestKilledTransaction(t *testing.T) {
	t.Parallel()
	for _, d := range databases() {
		if d.name == "pq" { // as pgx
			continue
		}
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			for _, step := range []string{"mark", "effect", "put", "commit"} {
				r := d.create(t)
				db := r.open(t, "")
				r.effects(t, db)
				r.outbox(t, db)
				marks, err := sqldb.ByID(db, r.dialect, sqldb.Options{Table: r.table("inbox")})
				if err != nil {
					t.Fatal(err)
				}
				if err := marks.Migrate(t.Context()); err != nil {
					t.Fatal(err)
				}
				killed, out := task{Database: d.name, Source: d.source(t), Room: r.name, Do: "transaction " + step}.start(t)
				if line, err := out.ReadString('\n'); err != nil {
					t.Fatalf("wait for step %s: %q, %v", step, line, err)
				}
				if err := killed.Process.Kill(); err != nil {
					t.Fatal(err)
				}
				_ = killed.Wait()

				before, want := 0, hapax.Fresh
				if step == "commit" {
					before, want = 1, hapax.Duplicate
				}
				if effects, records := r.there(t, db); effects != before || records != 2*before {
					t.Errorf("killed at %s: %d effects and %d records are there", step, effects, records)
				}
				verdict, err := worker{room: r, db: db}.transaction(t.Context(), "")
				if err != nil || verdict != want {
					t.Errorf("killed at %s: comes again and is %v, %v, want %v", step, verdict, err, want)
				}
				if effects, records := r.there(t, db); effects != 1 || records != 2 {
					t.Errorf("killed at %s: %d effects and %d records in the end", step, effects, records)
				}
			}
		})
	}
}

// there are the effects and outgoing records.
func (r room) there(t *testing.T, db *sql.DB) (effects, records int) {
	t.Helper()
	counts, err := r.count(t.Context(), db)
	if err != nil {
		t.Fatal(err)
	}
	return counts["a"], len(r.pending(t, db))
}
