//go:build unix

package kafkarelay_test

import (
	"bufio"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	_ "github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5/pgxpool"
	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	_ "modernc.org/sqlite"

	"github.com/hapaxmq/hapax/adapter/kafkarelay"
	"github.com/hapaxmq/hapax/adapter/pgxdb"
	"github.com/hapaxmq/hapax/adapter/sqldb"
	"github.com/hapaxmq/hapax/broker"
	"github.com/hapaxmq/hapax/internal/servertest"
	"github.com/hapaxmq/hapax/outbox"
	"github.com/hapaxmq/hapax/outbox/relay"
)

// patience is how long anything may take in these tests; nothing waits for it that
// goes well.
const patience = 90 * time.Second

// task is what another process of this test's binary is for.
type task struct {
	Serve  string // the address of a broker
	Dir    string // and its data
	Step   string // at which a relay is to die
	Broker string
	Place  place
}

const taskVariable = "HAPAX_KAFKARELAY_TASK"

func TestMain(m *testing.M) {
	text, ok := os.LookupEnv(taskVariable)
	if !ok {
		os.Exit(m.Run())
	}
	var of task
	err := json.Unmarshal([]byte(text), &of)
	switch {
	case err != nil:
	case of.Serve != "":
		err = of.serve()
	default:
		err = of.relay(context.Background())
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// command is a process for a task.
func (of task) command(ctx context.Context, t *testing.T) *exec.Cmd {
	t.Helper()
	text, err := json.Marshal(of)
	if err != nil {
		t.Fatal(err)
	}
	c := exec.CommandContext(ctx, os.Args[0])
	c.Env = append(os.Environ(), taskVariable+"="+string(text))
	return c
}

func (of task) serve() error {
	b, err := broker.Open(of.Dir, broker.Options{Listeners: []broker.Listener{{Address: of.Serve}}})
	if err != nil {
		return err
	}
	fmt.Println("serves")
	go func() { // the test's process is gone
		_, _ = os.Stdin.Read(make([]byte, 1))
		os.Exit(1)
	}()
	b.Serve(context.Background())
	return nil
}

// node is a broker as a process of its own, which is killed and started again.
type node struct {
	*testing.T
	addr, dir string
	process   *exec.Cmd
	killed    atomic.Bool
	ended     chan struct{}
}

func startNode(t *testing.T) *node {
	t.Helper()
	n := &node{T: t, dir: t.TempDir()}
	var err error
	for range 10 { // another may have taken the port meanwhile
		if n.addr, err = freeAddress(); err == nil {
			err = n.launch()
		}
		if err == nil {
			t.Cleanup(n.kill)
			return n
		}
	}
	t.Fatalf("start a broker: %v", err)
	return nil
}

func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// start starts the broker again, where it was.
func (n *node) start() {
	n.Helper()
	if err := n.launch(); err != nil {
		n.Fatalf("start a broker: %v", err)
	}
}

func (n *node) launch() error {
	n.process = task{Serve: n.addr, Dir: n.dir}.command(context.WithoutCancel(n.Context()), n.T) // [node.kill] ends it
	n.process.Stderr = n.Output()
	if _, err := n.process.StdinPipe(); err != nil {
		return err
	}
	out, err := n.process.StdoutPipe()
	if err == nil {
		err = n.process.Start()
	}
	if err == nil {
		_, err = bufio.NewReader(out).ReadString('\n')
	}
	if err != nil {
		_ = n.process.Wait() // it said why
		return err
	}
	n.killed.Store(false)
	n.ended = make(chan struct{})
	go func() {
		defer close(n.ended)
		if err := n.process.Wait(); !n.killed.Load() {
			n.Errorf("the broker ended by itself: %v", err)
		}
	}()
	return nil
}

func (n *node) kill() {
	n.killed.Store(true)
	_ = n.process.Process.Kill() // it may have ended
	<-n.ended
}

func connection(addr string) []kgo.Opt {
	return []kgo.Opt{
		kgo.SeedBrokers(addr), kgo.DisableClientMetrics(), kgo.MetadataMinAge(20 * time.Millisecond),
		kgo.RetryBackoffFn(func(int) time.Duration { return 20 * time.Millisecond }), kgo.FetchMaxWait(100 * time.Millisecond),
	}
}

// topic makes a topic of several partitions, and returns its name.
func (n *node) topic(t *testing.T, name string, configs map[string]*string) string {
	t.Helper()
	c, err := kgo.NewClient(connection(n.addr)...)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := kadm.NewClient(c).CreateTopic(t.Context(), 4, 1, configs, name); err != nil {
		t.Fatal(err)
	}
	return name
}

// reader reads what is committed, as long as it takes.
func (n *node) reader(t *testing.T, topics ...string) *kgo.Client {
	t.Helper()
	c, err := kgo.NewClient(append(connection(n.addr), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.ConsumeTopics(topics...),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// place is where an outbox is.
type place struct{ Driver, Source, Table string }

// places are the databases.
func places(t *testing.T) map[string]func(t *testing.T) place {
	t.Helper()
	table := func() string { return fmt.Sprintf("t%08x", rand.Uint32()) }
	postgres := func(driver string) func(*testing.T) place {
		return func(t *testing.T) place {
			return place{driver, servertest.Postgres(t) + "&synchronous_commit=off", table()}
		}
	}
	return map[string]func(t *testing.T) place{
		"postgres": postgres("pgx"), "pgxdb": postgres("pgxpool"),
		"mariadb": func(t *testing.T) place { return place{"mysql", servertest.MariaDB(t), table()} },
		"sqlite": func(t *testing.T) place {
			return place{"sqlite", "file:" + filepath.Join(t.TempDir(), "db") + "?_pragma=journal_mode(wal)&_pragma=synchronous(off)", table()}
		},
	}
}

// store is an outbox, however it is reached.
type store interface {
	Records() relay.Source
	Pending(ctx context.Context) (relay.Pending, error)
	Faulty(ctx context.Context, after int64, most int) ([]relay.Faulty, error)
	Retry(ctx context.Context, positions ...int64) (int, error)
	Discard(ctx context.Context, positions ...int64) (int, error)
}

// box is an outbox and its database.
type box struct {
	place
	store
	db    *sql.DB
	out   *sqldb.Outbox
	marks *sqldb.Marks // to transact with
	pool  *pgxpool.Pool
}

func (p place) dialect() sqldb.Dialect {
	return map[string]sqldb.Dialect{"mysql": sqldb.MariaDB, "sqlite": sqldb.SQLite, "pgx": sqldb.Postgres, "pgxpool": sqldb.Postgres}[p.Driver]
}

func (p place) open(ctx context.Context) (*box, error) {
	db, err := sql.Open(strings.TrimSuffix(p.Driver, "pool"), p.Source)
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(8)
	db.SetMaxIdleConns(8)
	b := &box{place: p, db: db}
	if b.out, err = sqldb.NewOutbox(db, p.dialect(), sqldb.OutboxOptions{Table: p.Table}); err != nil {
		return nil, err
	}
	b.store = b.out
	if b.marks, err = sqldb.ByID(db, p.dialect(), sqldb.Options{Runs: 10_000}); err != nil || p.Driver != "pgxpool" {
		return b, err
	}
	if b.pool, err = pgxpool.New(ctx, p.Source); err != nil {
		return nil, err
	}
	b.store, err = pgxdb.NewOutbox(b.pool, pgxdb.OutboxOptions{Table: p.Table})
	return b, err
}

func newBox(t *testing.T, p place) *box {
	t.Helper()
	b, err := p.open(t.Context())
	if err == nil {
		err = b.out.Migrate(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if b.pool != nil {
			b.pool.Close()
		}
		for _, more := range []string{"", "_ids", "_relays", "_keys"} {
			_, err := b.db.Exec("DROP TABLE IF EXISTS " + p.Table + more)
			if err != nil {
				t.Error(err)
			}
		}
		_ = b.db.Close()
	})
	return b
}

func (b *box) put(t *testing.T, records ...outbox.Record) {
	t.Helper()
	err := b.marks.Transact(t.Context(), func(ctx context.Context, tx *sql.Tx) error { return b.out.Put(ctx, tx, records...) })
	if err != nil {
		t.Fatal(err)
	}
}

// relay makes a relay into a node.
func (b *box) relay(addr string, o relay.Options, opts ...kgo.Opt) (*relay.Relay, error) {
	to, err := kafkarelay.New(kafkarelay.Options{}, append(connection(addr), opts...)...)
	if err != nil {
		return nil, err
	}
	return relay.New(b.Records(), to, o)
}

// run runs a relay until the returned function is called.
func (b *box) run(t *testing.T, addr string, o relay.Options, opts ...kgo.Opt) (stop func()) {
	t.Helper()
	if testing.Verbose() {
		o.Logger = slog.New(slog.NewTextHandler(t.Output(), nil))
	}
	r, err := b.relay(addr, o, opts...)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	return func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("run a relay: %v", err)
		}
	}
}

// free ends the leases of relays that were killed.
func (b *box) free(t *testing.T) {
	t.Helper()
	if _, err := b.db.Exec("UPDATE " + b.Table + "_relays SET ends = 0"); err != nil {
		t.Fatal(err)
	}
}

// died waits for a process to have died by SIGKILL.
func died(t *testing.T, c *exec.Cmd) {
	t.Helper()
	out, err := c.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Fatalf("the process that was to be killed ended with %v:\n%s", err, out)
	}
}
