package claiming

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/internal/marking"
	"github.com/hapaxmq/hapax/internal/sqltext"
)

var errClash, errCut = errors.New("not serialisable"), errors.New("connection reset")

func faults(err error) sqltext.Fault {
	switch {
	case errors.Is(err, errClash):
		return sqltext.Again
	case errors.Is(err, errCut):
		return sqltext.Unclear
	default:
		return sqltext.Refused
	}
}

// database is a server that fails as it is told to, and then changes one row, or none, or
// returns the next of its rows.
type database struct {
	fails []error
	idle  bool // it changes none
	rows  [][]any
	asked int
}

func (d *database) fail() (err error) {
	d.asked++
	if len(d.fails) > 0 {
		err, d.fails = d.fails[0], d.fails[1:]
	}
	return err
}

func (d *database) Exec(context.Context, string, ...any) (marking.Done, error) {
	if d.idle {
		return marking.Done{}, d.fail()
	}
	return marking.Done{Rows: 1, Last: 1}, d.fail()
}

func (d *database) Query(_ context.Context, row func(func(...any) error) error, _ string, _ ...any) error {
	if err := d.fail(); err != nil || len(d.rows) == 0 {
		return err
	}
	return row(func(into ...any) error {
		for i, v := range d.rows[0] {
			switch to := into[i].(type) {
			case *[]byte:
				*to, _ = v.([]byte)
			case *int64:
				*to = int64(v.(int))
			case *bool:
				*to = v.(bool)
			}
		}
		d.rows = d.rows[1:]
		return nil
	})
}

func opened(t *testing.T, d *database) *Ledger {
	t.Helper()
	l, err := New(Database{Dialect: sqltext.Postgres, Any: d, Fault: faults}, Options{Window: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// TestCommitFails: what the database refuses for others' sake is tried again, and what
// nobody answered is unknown (statement 27).
func TestCommitFails(t *testing.T) {
	refused := errors.New("read only")
	for name, c := range map[string]struct {
		fails []error
		want  error
		asked int
	}{
		"a clash":   {fails: []error{errClash, errClash}, asked: 3},
		"a cut":     {fails: []error{errCut}, want: hapax.ErrUnknown, asked: 1},
		"a refusal": {fails: []error{refused}, want: refused, asked: 1},
	} {
		t.Run(name, func(t *testing.T) {
			d := &database{fails: c.fails}
			if err := opened(t, d).Commit(t.Context(), hapax.Claim{Token: 1}, nil); !errors.Is(err, c.want) {
				t.Errorf("commit: %v, want %v", err, c.want)
			}
			if d.asked != c.asked {
				t.Errorf("asked %d times, want %d", d.asked, c.asked)
			}
		})
	}
}

// TestCommitLost: a commit that is tried again may find that its lease was lost meanwhile,
// or that it had passed.
func TestCommitLost(t *testing.T) {
	c := hapax.Claim{Token: 7}
	for name, test := range map[string]struct {
		rows [][]any
		want error
	}{
		"nobody has committed":    {nil, hapax.ErrLeaseLost},
		"another has committed":   {[][]any{{c.Key[:], 8}}, hapax.ErrLeaseLost},
		"the first one got there": {[][]any{{c.Key[:], 7}}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			for _, fails := range [][]error{nil, {errClash}} {
				d := &database{fails: fails, idle: true, rows: test.rows}
				if err := opened(t, d).Commit(t.Context(), c, nil); !errors.Is(err, test.want) || (err == nil) != (test.want == nil) {
					t.Errorf("behind %d clashes: %v, want %v", len(fails), err, test.want)
				}
			}
		})
	}
}

// TestClaimUnanswered: a claim of which no statement tells is asked for again.
func TestClaimUnanswered(t *testing.T) {
	r := hapax.Request{Scope: "s", Identity: hapax.Identity("a"), Lease: time.Second}
	key := named(r).Key
	held := []any{key[:], sqltext.Claimed, 7, 1, 0, 1000, nil, false}
	other := []any{[]byte("another"), sqltext.Claimed, 7, 1, 0, 1000, nil, false}
	d := &database{rows: [][]any{other, held}}
	c, err := opened(t, d).Claim(t.Context(), r)
	if err != nil || c.Verdict != hapax.InFlight || c.Token != 0 || d.asked != 2 {
		t.Errorf("%+v, %v, asked %d times", c, err, d.asked)
	}
	d = &database{fails: []error{errCut}}
	if c, err := opened(t, d).Claim(t.Context(), r); !errors.Is(err, errCut) || c.Verdict != 0 {
		t.Errorf("cut off: %+v, %v", c, err)
	}
}

func TestOptions(t *testing.T) {
	for _, o := range []Options{
		{}, {Window: -1}, {Window: longest + 1}, {Window: time.Hour, Table: "a;b"}, {Window: time.Hour, MaxReceipt: -1},
		{Window: time.Hour, MaxReceipt: 2 << 20}, {Window: time.Hour, TokenMemory: -1},
	} {
		if _, err := New(Database{Dialect: sqltext.SQLite}, o); err == nil {
			t.Errorf("%+v is taken", o)
		}
	}
	if _, err := New(Database{}, Options{Window: time.Hour}); err == nil {
		t.Error("no dialect is taken")
	}
}
