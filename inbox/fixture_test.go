package inbox_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/inbox"
	"github.com/hapaxmq/hapax/ledger"
)

const lease = 30 * time.Second

var errDeclined = errors.New("card declined")

// options are those of a handler whose messages have their id in a header.
func options() inbox.Options {
	return inbox.Options{Name: "billing", Identity: "header:id", Window: inbox.Forever, Lease: lease}
}

// message has an id and a value.
func message(id, value string) *hapax.Message {
	return &hapax.Message{Headers: []hapax.Header{{Name: "id", Value: []byte(id)}}, Value: []byte(value)}
}

// at is a message that is known by its place only.
func at(source string, offset int64) *hapax.Message {
	return &hapax.Message{Value: fmt.Appendf(nil, "%s/%d", source, offset), Position: hapax.Position{Source: source, Offset: offset}}
}

// openLedger opens a ledger in memory that compares digests.
func openLedger(t *testing.T) *ledger.Ledger {
	t.Helper()
	l, err := ledger.Open("", ledger.Options{Window: hapax.Window{Unbounded: true}, Digests: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

// effect is a handler that writes the value of its message.
func effect(_ context.Context, t *tx, m *hapax.Message) (hapax.Receipt, error) {
	t.insert(string(m.Value))
	return hapax.Receipt("done " + string(m.Value)), nil
}

// transaction makes an inbox over db.
func transaction(t *testing.T, db *database, o inbox.Options, h inbox.TxHandler[*tx], more ...inbox.TxOption[*tx]) *inbox.TxInbox[*tx] {
	t.Helper()
	in, err := inbox.Transaction(db, o, h, more...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closed(t, in.Inbox) })
	return in
}

// leased makes an inbox over l.
func leased(t *testing.T, l hapax.Ledger, o inbox.Options, h inbox.LeaseHandler) *inbox.Inbox {
	t.Helper()
	in, err := inbox.Lease(l, o, h)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closed(t, in) })
	return in
}

// closed closes an inbox, all of whose deliveries must have come to one outcome.
func closed(t *testing.T, in *inbox.Inbox) {
	t.Helper()
	if err := in.Close(); err != nil {
		t.Error(err)
	}
	s := in.Stats()
	var sum uint64
	for _, n := range s.Outcomes {
		sum += n
	}
	if sum != s.Deliveries {
		t.Errorf("%d deliveries came to outcomes %v", s.Deliveries, s.Outcomes)
	}
}

// wantOutcome hands m in, and looks at what becomes of it.
func wantOutcome(t *testing.T, in *inbox.Inbox, m *hapax.Message, want hapax.Outcome, is error) (hapax.Result, error) {
	t.Helper()
	r, err := in.Handle(t.Context(), m)
	if r.Outcome != want || !errors.Is(err, is) {
		t.Errorf("outcome %v, %v; want %v, %v", r.Outcome, err, want, is)
	}
	return r, err
}

// wantEffects compares what is in the database.
func wantEffects(t *testing.T, db *database, want ...string) {
	t.Helper()
	if got := db.effects(); strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("effects %q, want %q", got, want)
	}
}

// counter counts the runs of a handler.
type counter struct {
	mu   sync.Mutex
	runs int
}

func (c *counter) add() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.runs++
	return c.runs
}

func (c *counter) want(t *testing.T, n int) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.runs != n {
		t.Errorf("the handler ran %d times, want %d", c.runs, n)
	}
}

// lines is a log that is kept.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func (l *lines) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// faulty is a ledger with faults.
type faulty struct {
	hapax.Ledger

	onClaim, onExtend, onCommit func() error
}

func (f *faulty) Claim(ctx context.Context, r hapax.Request) (hapax.Claim, error) {
	if err := call(f.onClaim); err != nil {
		return hapax.Claim{}, err
	}
	return f.Ledger.Claim(ctx, r)
}

func (f *faulty) Extend(ctx context.Context, c hapax.Claim, d time.Duration) (hapax.Claim, error) {
	if err := call(f.onExtend); err != nil {
		return c, err
	}
	return f.Ledger.Extend(ctx, c, d)
}

func (f *faulty) Commit(ctx context.Context, c hapax.Claim, r hapax.Receipt) error {
	if err := call(f.onCommit); err != nil {
		return err
	}
	return f.Ledger.Commit(ctx, c, r)
}

func always(err error) func() error { return func() error { return err } }
