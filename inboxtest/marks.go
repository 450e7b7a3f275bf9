package inboxtest

import (
	"context"
	"database/sql"
	"strconv"
	"testing"
	"time"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/internal/processtest"
	"github.com/hapaxmq/hapax/internal/rehearsaltest"
)

// Capabilities are what a store promises beyond the bare contract of [hapax.Marks].
// One that is missing switches off no check: the store must be seen to fail it.
type Capabilities struct {
	Receipts bool // duplicates are given the first run's receipt
	Digests  bool // another payload under the same identity is a Conflict
	Operator bool // it is a hapax.Operator
}

// Store makes the marks that [RunMarks] examines.
type Store[T any] struct {
	Capabilities

	// Create makes a place that holds no marks and no effects, and removes it with
	// tb. Its name is all that another process needs.
	Create func(tb testing.TB) (place string)
	// Open connects to a place, until tb ends.
	Open func(tb testing.TB, c Connection) *Instance[T]

	// Isolations are the levels of transactions that pass, each sat by itself (nil:
	// only the database's own).
	Isolations []sql.IsolationLevel
	// Address is that of the server, "127.0.0.1:5432", if it has one and its
	// connections are in clear text: they are cut while a COMMIT is on its way, and
	// freeze.
	Address string
	// Message makes the mark of the nth message (nil: by an id). The exam handles
	// messages in the order of their numbers, and one that failed before the next.
	Message func(n int) hapax.Mark
	// TooLarge is a receipt's size that is refused, if the store keeps receipts.
	TooLarge int
}

// Connection is how to open a place.
type Connection struct {
	Place     string
	Address   string // of the server, if not its own
	Isolation sql.IsolationLevel
	Wait      time.Duration // how long a mark waits for others at most; zero: the store's default
}

// Instance is a place that was opened, and the levers that the exam may pull. Checks
// that need a lever which is nil are skipped.
type Instance[T any] struct {
	Marks hapax.Marks[T]

	// Effect writes a row named by key in tx. Any number of rows may have one key.
	Effect func(ctx context.Context, tx T, key string) error
	// Effects counts the rows of each key that are committed.
	Effects func(ctx context.Context) (map[string]int, error)

	// Begin begins a transaction of the user's own.
	Begin    func(ctx context.Context) (T, error)
	Commit   func(ctx context.Context, tx T) error
	Rollback func(ctx context.Context, tx T) error

	// Clash makes the database answer that it could not serialise tx.
	Clash func(ctx context.Context, tx T) error
	// Rerun is the store's own, which tells a function that it runs again.
	Rerun func(ctx context.Context) bool
	// Age makes all marks older by d.
	Age func(ctx context.Context, d time.Duration) error
	// Sweep forgets marks that are older than window, and says how many.
	Sweep func(ctx context.Context, window time.Duration) (int64, error)
}

// check is one question of the exam.
type check[T any] struct {
	name  string
	needs func(Capabilities) bool // nil: every store must pass
	run   func(*sitting[T])
}

// RunMarks examines the marks of a store against the contract of [hapax.Marks].
func RunMarks[T any](t *testing.T, s Store[T]) {
	if s.Message == nil {
		s.Message = func(n int) hapax.Mark {
			return hapax.Mark{Scope: "exam", Identity: hapax.Identity("message " + strconv.Itoa(n))}
		}
	}
	var of task
	if mine, other := processtest.Task(t, &of); other {
		if mine {
			perform(t, s, of)
		}
		return
	}
	for _, c := range contract[T]() {
		t.Run(c.name, func(t *testing.T) { judge(t, s, c, sql.LevelDefault) })
	}
	for _, level := range s.Isolations {
		t.Run(level.String(), func(t *testing.T) {
			for _, c := range isolated[T]() {
				t.Run(c.name, func(t *testing.T) { judge(t, s, c, level) })
			}
		})
	}
}

func judge[T any](t *testing.T, s Store[T], c check[T], level sql.IsolationLevel) {
	if c.needs == nil || c.needs(s.Capabilities) {
		c.run(&sitting[T]{TB: t, store: s, isolation: level})
		return
	}
	r := rehearsaltest.Run(t, func(tb testing.TB) { c.run(&sitting[T]{TB: tb, store: s, isolation: level}) })
	if r.Passed() {
		t.Errorf("passed without promising it: declare the capability")
	}
}

// contract lists what is asked once.
func contract[T any]() []check[T] {
	receipts := func(c Capabilities) bool { return c.Receipts }
	digests := func(c Capabilities) bool { return c.Digests }
	operators := func(c Capabilities) bool { return c.Operator }
	return []check[T]{
		{name: "two scopes with one id both run", run: scopes[T]},
		{name: "a batch with copies inside runs each once", run: copies[T]},
		{name: "a batch tells the fresh ones from the others", run: mixed[T]},
		{name: "another payload is a conflict", needs: digests, run: conflict[T]},
		{name: "a duplicate is given the identical receipt", needs: receipts, run: receipt[T]},
		{name: "a receipt above the limit changes nothing", run: largeReceipt[T]},
		{name: "a failure, a panic and Goexit free the mark", run: failures[T]},
		{name: "a function that ended its transaction is told of", run: ended[T]},
		{name: "a clash runs the function again", run: clash[T]},
		{name: "a clash that lasts is told of", run: lastingClash[T]},
		{name: "a copy in flight is waited for until its rollback", run: waitForRollback[T]},
		{name: "a copy in flight for too long is in flight", run: waitTooLong[T]},
		{name: "who joins does not wait, and goes on", run: join[T]},
		{name: "who joins meets a duplicate, and goes on", run: joinDuplicate[T]},
		{name: "a connection cut in COMMIT is unknown, and the mark tells", run: cuts[T]},
		{name: "a server that answers nobody for a while loses nothing", run: outage[T]},
		{name: "a sweep forgets what is old, whoever sweeps beside it", run: sweep[T]},
		{name: "an operator looks at a mark, and lets it go", needs: operators, run: operated[T]},
	}
}

// isolated lists what is asked at each level of isolation.
func isolated[T any]() []check[T] {
	return []check[T]{
		{name: "copies at once run once", run: race[T]},
		{name: "a kill leaves all or nothing", run: kills[T]},
	}
}
