package redisdb_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/adapter/redisdb"
	"github.com/hapaxmq/hapax/internal/servertest"
)

// task is what another process of this test's binary is started for.
type task struct {
	Address string
	Prefix  string
	Step    string // after which to wait for the end; empty to work in a crowd
}

const taskVariable = "HAPAX_REDISDB_TASK"

func TestMain(m *testing.M) {
	text, ok := os.LookupEnv(taskVariable)
	if !ok {
		os.Exit(m.Run())
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
}

// process starts this test's binary for a task. Its standard output is read line by line.
func (of task) process(t *testing.T) (*exec.Cmd, *bufio.Reader) {
	t.Helper()
	text, err := json.Marshal(of)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), taskVariable+"="+string(text))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	return cmd, bufio.NewReader(out)
}

func (of task) run() error {
	client := redis.NewClient(&redis.Options{Addr: of.Address, PoolSize: crowd})
	l, err := redisdb.Open(context.Background(), client, redisdb.Options{Window: time.Hour, Prefix: of.Prefix})
	if err != nil {
		return err
	}
	w := worker{ledger: l, client: client, prefix: of.Prefix, lease: 10 * time.Second}
	if of.Step == "" {
		return json.NewEncoder(os.Stdout).Encode(w.crowd())
	}
	w.lease = killedLease
	return w.upTo(of.Step)
}

// worker handles messages; what it does is to count up an effect of each in Redis.
type worker struct {
	ledger *redisdb.Ledger
	client redis.UniversalClient
	prefix string
	lease  time.Duration
}

func (w worker) effects() string { return w.prefix + "effects" }

func (w worker) act(ctx context.Context, id string) error {
	return w.client.HIncrBy(ctx, w.effects(), id, 1).Err()
}

// deliver gives one message to the ledger again and again, as a broker does, until it is
// to be acknowledged. Each try is counted.
func (w worker) deliver(id string, tally func(hapax.Outcome)) {
	ctx := context.Background()
	r := hapax.Request{Scope: "crowd", Identity: hapax.Identity(id), Lease: w.lease}
	for {
		result, err := hapax.Do(ctx, w.ledger, r, func(ctx context.Context, _ hapax.Claim) (hapax.Receipt, error) {
			return hapax.Receipt(id), w.act(ctx, id)
		})
		tally(result.Outcome)
		if result.Outcome == hapax.Executed || result.Outcome == hapax.Replayed {
			return
		}
		pause := 5 * time.Millisecond
		if busy := (*hapax.InFlightError)(nil); errors.As(err, &busy) {
			pause = min(pause, busy.RetryAfter)
		}
		<-time.After(pause)
	}
}

const (
	crowd    = 64 // goroutines
	messages = 40
)

// crowd handles all messages in each of many goroutines, and tells the outcomes.
func (w worker) crowd() map[string]int {
	var mu sync.Mutex
	var wg sync.WaitGroup
	outcomes := map[string]int{}
	for range crowd {
		wg.Go(func() {
			for _, i := range rand.Perm(messages) {
				w.deliver(fmt.Sprint(i), func(o hapax.Outcome) {
					mu.Lock()
					defer mu.Unlock()
					outcomes[o.String()]++
				})
			}
		})
	}
	wg.Wait()
	return outcomes
}

// TestCrowd: of 64 goroutines in each of two processes one runs a message (statements 8
// and 9).
func TestCrowd(t *testing.T) {
	t.Parallel()
	of := task{Address: servertest.Redis(t), Prefix: prefix()}
	total := map[string]int{}
	var outs []*bufio.Reader
	for range 2 {
		_, out := of.process(t)
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
	t.Logf("outcomes: %v", total)
	if total["executed"] != messages || total["replayed"] != (2*crowd-1)*messages || len(total) > 3 || len(total) == 3 && total["held"] == 0 {
		t.Errorf("outcomes %v: want %d executed, %d replayed, and held", total, messages, (2*crowd-1)*messages)
	}
	client := connect(t, of.Address)
	w := worker{client: client, prefix: of.Prefix}
	effects, err := client.HGetAll(context.Background(), w.effects()).Result()
	if err != nil {
		t.Fatal(err)
	}
	for i := range messages {
		if n := effects[fmt.Sprint(i)]; n != "1" {
			t.Errorf("message %d took effect %s times", i, n)
		}
	}
	client.Del(context.Background(), w.effects())
}

// killedLease is the lease of a holder that is killed.
const killedLease = 500 * time.Millisecond

// upTo handles one message as far as a step, says so, and waits for the end.
func (w worker) upTo(step string) error {
	ctx := context.Background()
	reached := func(s string) {
		if s == step {
			fmt.Println("reached")
			select {}
		}
	}
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
	for step, want := range map[string]struct {
		effects string
		last    hapax.Outcome
	}{
		"deliver": {"1", hapax.Executed},
		"claim":   {"1", hapax.Executed},
		"work":    {"2", hapax.Executed},
		"commit":  {"1", hapax.Replayed},
	} {
		t.Run(step, func(t *testing.T) {
			t.Parallel()
			of := task{Address: servertest.Redis(t), Prefix: prefix(), Step: step}
			holder, out := of.process(t)
			if line, err := out.ReadString('\n'); err != nil {
				t.Fatalf("wait for the holder: %q, %v", line, err)
			}
			if err := holder.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			_ = holder.Wait()

			client := connect(t, of.Address)
			w := worker{ledger: open(t, client, redisdb.Options{Prefix: of.Prefix}), client: client, prefix: of.Prefix, lease: time.Minute}
			var outcomes []hapax.Outcome
			w.deliver("a", func(o hapax.Outcome) { outcomes = append(outcomes, o) })
			for i, o := range outcomes {
				if last := i == len(outcomes)-1; last && o != want.last || !last && o != hapax.Held {
					t.Errorf("outcomes %v: want held, and at last %v", outcomes, want.last)
					break
				}
			}
			if n := client.HGet(context.Background(), w.effects(), "a").Val(); n != want.effects {
				t.Errorf("took effect %s times, want %s", n, want.effects)
			}
			client.Del(context.Background(), w.effects())
		})
	}
}
