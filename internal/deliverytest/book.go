// Package deliverytest is what the tests of adapters to brokers have in common: handlers
// whose effects are rows in SQLite, a look at every delivery, processes that die, and
// the audit after it, which counts effects against messages.
package deliverytest

import (
	"context"
	"database/sql"
	"maps"
	"path/filepath"
	"sync"
	"testing"
	"time"

	_ "modernc.org/sqlite" // the database of effects

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/adapter/sqldb"
	"github.com/hapaxmq/hapax/inbox"
	"github.com/hapaxmq/hapax/ledger"
)

// leaseTime is how long a claim of [Leased] outlives a process that died.
const leaseTime = 300 * time.Millisecond

// Book is a database of effects, in which a row is one run of a handler.
type Book struct {
	DB     *sql.DB
	dir    string
	header string // of the messages' ids
	close  []func() error
}

// Open opens the book in a folder for messages with their id in such a header.
func Open(ctx context.Context, dir, header string) (*Book, error) {
	db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "book")+"?_pragma=journal_mode(wal)&_pragma=busy_timeout(5000)")
	if err != nil {
		return nil, err
	}
	_, err = db.ExecContext(ctx, "CREATE TABLE IF NOT EXISTS effects (message TEXT NOT NULL)")
	return &Book{DB: db, dir: dir, header: header, close: []func() error{db.Close}}, err
}

// New opens a book of a test's own.
func New(tb testing.TB, header string) *Book {
	tb.Helper()
	b, err := Open(tb.Context(), tb.TempDir(), header)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := b.Close(); err != nil {
			tb.Error(err)
		}
	})
	return b
}

// Close closes what is open.
func (b *Book) Close() error {
	for len(b.close) > 0 {
		last := len(b.close) - 1
		if err := b.close[last](); err != nil {
			return err
		}
		b.close = b.close[:last]
	}
	return nil
}

// Effected is told of a message when its effect is written, and may fail its handler.
type Effected func(id string) error

// Inbox makes the inbox of such a guarantee, whose handler writes one row.
func (b *Book) Inbox(ctx context.Context, g inbox.Guarantee, effected Effected) (*inbox.Inbox, error) {
	if effected == nil {
		effected = func(string) error { return nil }
	}
	o := inbox.Options{Name: "book", Identity: "header:" + b.header, Window: inbox.Forever, Lease: leaseTime}
	if g == inbox.Leased {
		return b.leased(o, effected)
	}
	marks, err := sqldb.ByID(b.DB, sqldb.SQLite, sqldb.Options{})
	if err != nil {
		return nil, err
	}
	if err := marks.Migrate(ctx); err != nil {
		return nil, err
	}
	in, err := inbox.Transaction(marks, o, func(ctx context.Context, tx *sql.Tx, m *hapax.Message) (hapax.Receipt, error) {
		id, _ := m.Header(b.header)
		if _, err := tx.ExecContext(ctx, "INSERT INTO effects VALUES (?)", string(id)); err != nil {
			return nil, err
		}
		return nil, effected(string(id))
	})
	if err != nil {
		return nil, err
	}
	return in.Inbox, nil
}

// leased is an inbox over a ledger on disk, whose effects are committed by themselves.
func (b *Book) leased(o inbox.Options, effected Effected) (*inbox.Inbox, error) {
	l, err := ledger.Open(filepath.Join(b.dir, "ledger"), ledger.Options{Window: hapax.Window{Unbounded: true}, Digests: true})
	if err != nil {
		return nil, err
	}
	b.close = append(b.close, l.Close)
	return inbox.Lease(l, o, func(ctx context.Context, _ hapax.Claim, m *hapax.Message) (hapax.Receipt, error) {
		id, _ := m.Header(b.header)
		if _, err := b.DB.ExecContext(ctx, "INSERT INTO effects VALUES (?)", string(id)); err != nil {
			return nil, err
		}
		return nil, effected(string(id))
	})
}

// Audit counts effects against messages: none lost, none doubled but as wanted.
func (b *Book) Audit(tb testing.TB, want map[string]int) {
	tb.Helper()
	rows, err := b.DB.QueryContext(tb.Context(), "SELECT message, count(*) FROM effects GROUP BY message")
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = rows.Close() }() // rows.Err tells
	got := make(map[string]int)
	for rows.Next() {
		var id string
		var n int
		if err := rows.Scan(&id, &n); err != nil {
			tb.Fatal(err)
		}
		got[id] = n
	}
	if err := rows.Err(); err != nil {
		tb.Fatal(err)
	}
	if !maps.Equal(got, want) {
		tb.Errorf("effects %v, want %v", got, want)
	}
}

// Watch is an inbox with a look at every delivery.
type Watch struct {
	Book   *Book
	Inbox  *inbox.Inbox
	Before func(id string) // may be nil
	After  func(id string) // when the outcome is known, and the broker was not told; may be nil
	Done   func()          // once Want messages are settled for good
	Want   int
	Until  string // instead of Want: this one, and all that were begun

	mu       sync.Mutex
	begun    map[string]bool
	settled  map[string]bool
	Outcomes map[hapax.Outcome]int // to be read after the run
}

// Handle is that of the inbox.
func (w *Watch) Handle(ctx context.Context, m *hapax.Message) (hapax.Result, error) {
	value, _ := m.Header(w.Book.header)
	id := string(value)
	w.begin(id)
	if w.Before != nil {
		w.Before(id)
	}
	r, err := w.Inbox.Handle(ctx, m)
	if w.After != nil {
		w.After(id)
	}
	w.note(id, r, inbox.Settle(r, err).Action)
	return r, err
}

func (w *Watch) begin(id string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.begun == nil {
		w.begun = make(map[string]bool)
	}
	w.begun[id] = true
}

func (w *Watch) note(id string, r hapax.Result, a inbox.Action) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.settled == nil {
		w.settled, w.Outcomes = make(map[string]bool), make(map[hapax.Outcome]int)
	}
	w.Outcomes[r.Outcome]++
	if a == inbox.Ack || a == inbox.DeadLetter {
		w.settled[id] = true
	}
	done := len(w.settled) == w.Want
	if w.Until != "" {
		done = w.settled[w.Until] && len(w.settled) == len(w.begun)
	}
	if done && w.Done != nil {
		w.Done()
	}
}

// First is the message whose effect came first.
func (b *Book) First(tb testing.TB) string {
	tb.Helper()
	var id string
	if err := b.DB.QueryRowContext(tb.Context(), "SELECT message FROM effects ORDER BY rowid LIMIT 1").Scan(&id); err != nil {
		tb.Fatal(err)
	}
	return id
}
