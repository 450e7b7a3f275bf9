package inbox_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	_ "modernc.org/sqlite"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/adapter/sqldb"
	"github.com/hapaxmq/hapax/inbox"
	"github.com/hapaxmq/hapax/ledger"
)

// The kill test runs this binary again as a child that handles one message, and dies
// by SIGKILL at one point of it. Other children then get the message again until one
// acknowledges it, and the effects are counted.

// In the environment: this process is a child, and handles in that directory.
const killDir = "HAPAX_INBOX_KILL_DIR"

const (
	killGuarantee = "HAPAX_INBOX_KILL_GUARANTEE"
	killPoint     = "HAPAX_INBOX_KILL_POINT"
	killClock     = "HAPAX_INBOX_KILL_CLOCK" // how far the ledger's clock is ahead
)

// The points, in their order.
const (
	pointBegun   = "before the effect"
	pointWorked  = "after the effect"
	pointHandled = "before the acknowledgement"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(killDir); dir != "" {
		if err := child(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m)
}

// dieAt ends the process as kill -9 does, if this is the point.
func dieAt(point string) {
	if os.Getenv(killPoint) != point {
		return
	}
	if self, err := os.FindProcess(os.Getpid()); err == nil {
		_ = self.Kill()
	}
	select {}
}

// child hands in one message, and prints what is to be done with it.
func child(dir string) error {
	c := &killed{dir: dir}
	defer c.close()
	in, err := c.open(os.Getenv(killGuarantee))
	if err != nil {
		return err
	}
	r, err := in.Handle(context.Background(), message("1", "a"))
	dieAt(pointHandled)
	fmt.Println(inbox.Settle(r, err).Action, r.Outcome)
	return in.Close()
}

// killed is what a child works on.
type killed struct {
	dir   string
	opens []func() error
}

func (c *killed) close() {
	for _, end := range c.opens {
		_ = end()
	}
}

func (c *killed) open(guarantee string) (*inbox.Inbox, error) {
	effect := func(context.Context, *hapax.Message) error {
		dieAt(pointBegun)
		err := c.append("effects")
		dieAt(pointWorked)
		return err
	}
	switch guarantee {
	case inbox.AtMost.String():
		l, err := c.ledger()
		if err != nil {
			return nil, err
		}
		return inbox.AtMostOnce(l, options(), effect)
	case inbox.AtLeast.String():
		return inbox.AtLeastOnce(options(), effect)
	case inbox.Leased.String():
		l, err := c.ledger()
		if err != nil {
			return nil, err
		}
		return inbox.Lease(l, options(), func(ctx context.Context, _ hapax.Claim, m *hapax.Message) (hapax.Receipt, error) {
			return nil, effect(ctx, m)
		})
	}
	db, marks, err := c.database()
	if err != nil {
		return nil, err
	}
	c.opens = append(c.opens, db.Close)
	in, err := inbox.Transaction(marks, options(), func(ctx context.Context, tx *sql.Tx, _ *hapax.Message) (hapax.Receipt, error) {
		dieAt(pointBegun)
		_, err := tx.ExecContext(ctx, "INSERT INTO effects VALUES ('a')")
		dieAt(pointWorked)
		return hapax.Receipt("done"), err
	})
	if err != nil {
		return nil, err
	}
	return in.Inbox, nil
}

// append adds a line to a file: an effect that is in no transaction.
func (c *killed) append(name string) error {
	f, err := os.OpenFile(filepath.Join(c.dir, name), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString("a\n")
	return errors.Join(err, f.Close())
}

func (c *killed) ledger() (hapax.Ledger, error) {
	ahead, err := time.ParseDuration(os.Getenv(killClock))
	if err != nil {
		return nil, err
	}
	l, err := ledger.Open(filepath.Join(c.dir, "ledger"), ledger.Options{
		Window: hapax.Window{Unbounded: true},
		Clock:  func() time.Time { return time.Now().Add(ahead) },
	})
	if err == nil {
		c.opens = append(c.opens, l.Close)
	}
	return l, err
}

func (c *killed) database() (*sql.DB, *sqldb.Marks, error) {
	db, err := sql.Open("sqlite", "file:"+filepath.Join(c.dir, "db")+"?_pragma=journal_mode(wal)")
	if err != nil {
		return nil, nil, err
	}
	if _, err = db.Exec("CREATE TABLE IF NOT EXISTS effects (value TEXT)"); err != nil {
		return db, nil, err
	}
	marks, err := sqldb.ByID(db, sqldb.SQLite, sqldb.Options{})
	if err == nil {
		err = marks.Migrate(context.Background())
	}
	return db, marks, err
}

// effects counts them in file and database.
func (c *killed) effects(t *testing.T) (n int) {
	t.Helper()
	lines, err := os.ReadFile(filepath.Join(c.dir, "effects"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	db, _, err := c.database()
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.QueryRowContext(t.Context(), "SELECT count(*) FROM effects").Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n + strings.Count(string(lines), "\n")
}

// run runs a child, and returns what it printed, or that it died.
func (c *killed) run(t *testing.T, guarantee inbox.Guarantee, point string, ahead time.Duration) (said string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), killDir+"="+c.dir, killGuarantee+"="+guarantee.String(),
		killPoint+"="+point, killClock+"="+ahead.String(),
		"GORACE=atexit_sleep_ms=0") // or each child takes a second to end under -race
	out, err := cmd.CombinedOutput()
	if errors.As(err, new(*exec.ExitError)) && len(out) == 0 { // one that failed says why
		return "killed"
	}
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return strings.TrimSpace(string(out))
}

// TestS15EachGuaranteeHasItsSignature kills the process at each point. Lost, doubled,
// doubled only if killed between effect and commit, neither: that is what the four
// guarantees are.
func TestS15EachGuaranteeHasItsSignature(t *testing.T) {
	points := []string{pointBegun, pointWorked, pointHandled}
	for _, test := range []struct {
		guarantee inbox.Guarantee
		effects   [3]int // by point
	}{
		{inbox.AtMost, [3]int{0, 1, 1}},
		{inbox.AtLeast, [3]int{1, 2, 2}},
		{inbox.Leased, [3]int{1, 2, 1}},
		{inbox.Transacted, [3]int{1, 1, 1}},
	} {
		for i, point := range points {
			t.Run(test.guarantee.String()+", "+point, func(t *testing.T) {
				c := &killed{dir: t.TempDir()}
				if said := c.run(t, test.guarantee, point, 0); said != "killed" {
					t.Fatalf("the child said %q, and was to die", said)
				}
				if test.guarantee == inbox.Leased && point != pointHandled {
					if said := c.run(t, test.guarantee, "", 0); said != "retry held" {
						t.Errorf("while the dead one's lease runs: %q", said)
					}
				}
				for range 2 { // after the lease
					if said := c.run(t, test.guarantee, "", 2*lease); !strings.HasPrefix(said, "ack ") {
						t.Errorf("the next one said %q", said)
					}
				}
				want := test.effects[i]
				if test.guarantee == inbox.AtLeast {
					want++ // of the second of the two
				}
				if got := c.effects(t); got != want {
					t.Errorf("%d effects, want %d", got, want)
				}
			})
		}
	}
}
