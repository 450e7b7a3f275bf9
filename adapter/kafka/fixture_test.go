package kafka_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"
	_ "modernc.org/sqlite"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/adapter/kafka"
	"github.com/hapaxmq/hapax/adapter/sqldb"
	"github.com/hapaxmq/hapax/broker"
	"github.com/hapaxmq/hapax/inbox"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long anything may take in these tests; nothing waits for it that
// goes well.
const patience = time.Minute

// serve runs a node of hapax in this process, and returns its address.
func serve(t *testing.T) string {
	t.Helper()
	b, err := broker.Open(t.TempDir(), broker.Options{
		Listeners: []broker.Listener{{Address: "127.0.0.1:0"}},
		Settings:  broker.Settings{"group.initial.rebalance.delay.ms": "0", "group.min.session.timeout.ms": "100"},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); b.Serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		<-done
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b.Addresses()[0]
}

// world is a topic, a group that reads it, and a database in which records take
// effect: each has an id in a header, which its effect is filed under.
type world struct {
	testing.TB

	ctx      context.Context
	addr     string
	topic    string
	dead     string // topic of dead letters
	identity string // an inbox.Options.Identity
	file     string
	db       *sql.DB
	marks    *sqldb.Marks
	client   *kgo.Client // to produce and ask with
}

// newWorld makes a world whose topic has so many partitions.
func newWorld(t *testing.T, addr, identity string, partitions int32) *world {
	t.Helper()
	name := strings.NewReplacer("/", ".", "_", ".", ":", ".").Replace(t.Name())
	w := &world{TB: t, addr: addr, topic: name, dead: name + ".dead", identity: identity, file: filepath.Join(t.TempDir(), "db")}
	var cancel context.CancelFunc
	w.ctx, cancel = context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	w.openDatabase()
	_, err := w.db.Exec("CREATE TABLE effects (id TEXT, value TEXT)")
	if err := errors.Join(err, w.marks.Migrate(w.ctx)); err != nil {
		t.Fatal(err)
	}
	if w.client, err = kgo.NewClient(append(w.connection(), kgo.RecordPartitioner(kgo.ManualPartitioner()))...); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.client.Close)
	admin := kadm.NewClient(w.client)
	for topic, n := range map[string]int32{w.topic: partitions, w.dead: 1} {
		if _, err := admin.CreateTopic(w.ctx, n, 1, nil, topic); err != nil {
			t.Fatal(err)
		}
	}
	return w
}

func (w *world) connection() []kgo.Opt {
	return []kgo.Opt{kgo.SeedBrokers(w.addr), kgo.DisableClientMetrics(), kgo.MetadataMinAge(20 * time.Millisecond)}
}

func (w *world) openDatabase() {
	w.Helper()
	var err error
	w.db, err = sql.Open("sqlite", "file:"+w.file+"?_pragma=journal_mode(wal)&_pragma=busy_timeout(5000)")
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() { w.db.Close() })
	by := sqldb.ByID
	if w.identity == inbox.ByPosition {
		by = sqldb.ByPosition
	}
	if w.marks, err = by(w.db, sqldb.SQLite, sqldb.Options{}); err != nil {
		w.Fatal(err)
	}
}

// produce writes count records with the ids from 0 on, to the partitions in turn.
func (w *world) produce(count int, partitions int32) {
	w.Helper()
	var records []*kgo.Record
	for i := range count {
		records = append(records, &kgo.Record{
			Topic: w.topic, Partition: int32(i) % partitions, Value: fmt.Appendf(nil, "value %d", i),
			Headers: []kgo.RecordHeader{{Key: "id", Value: fmt.Append(nil, i)}},
		})
	}
	if err := w.client.ProduceSync(w.ctx, records...).FirstErr(); err != nil {
		w.Fatal(err)
	}
}

func id(m *hapax.Message) string {
	v, _ := m.Header("id")
	return string(v)
}

// member is one consumer of the group, and what it is doing.
type member struct {
	*kafka.Consumer

	inbox    *inbox.TxInbox[*sql.Tx]
	stop     context.CancelFunc // of Run's context
	ran      chan error         // what Run returned
	executed atomic.Int64
	replayed atomic.Int64
}

// habits are how a member differs from a plain one.
type habits struct {
	began   func(ctx context.Context, m *hapax.Message)       // before the transaction
	work    func(ctx context.Context, m *hapax.Message) error // in it, after the effect
	ended   func(inbox.Delivery)                              // after it
	batch   bool
	options kafka.Options
	opts    []kgo.Opt
}

// join runs a member of the group.
func (w *world) join(h habits) *member {
	w.Helper()
	m := &member{ran: make(chan error, 1)}
	effect := func(ctx context.Context, tx *sql.Tx, m *hapax.Message) (hapax.Receipt, error) {
		if _, err := tx.ExecContext(ctx, "INSERT INTO effects VALUES (?, ?)", id(m), string(m.Value)); err != nil {
			return nil, err
		}
		if h.work == nil {
			return nil, nil
		}
		return nil, h.work(ctx, m)
	}
	var more []inbox.TxOption[*sql.Tx]
	if h.batch {
		more = append(more, inbox.Batched(func(ctx context.Context, tx *sql.Tx, fresh []*hapax.Message) error {
			for _, m := range fresh {
				if _, err := effect(ctx, tx, m); err != nil {
					return err
				}
			}
			return nil
		}))
	}
	o := inbox.Options{Name: "billing", Identity: w.identity, Window: inbox.Forever, Observer: inbox.Observer{
		Begin: func(ctx context.Context, _ *inbox.Inbox, m *hapax.Message) context.Context {
			if h.began != nil {
				h.began(ctx, m)
			}
			return ctx
		},
		End: func(_ context.Context, d inbox.Delivery) {
			switch d.Outcome {
			case hapax.Executed:
				m.executed.Add(1)
			case hapax.Replayed:
				m.replayed.Add(1)
			}
			if h.ended != nil {
				h.ended(d)
			}
		},
	}}
	var err error
	if m.inbox, err = inbox.Transaction(w.marks, o, effect, more...); err != nil {
		w.Fatal(err)
	}
	w.run(m, m.inbox, h)
	return m
}

// run runs a consumer until the test is over, or it is told to leave.
func (w *world) run(m *member, in kafka.Inbox, h habits) {
	w.Helper()
	o := h.options
	o.Group, o.Topics, o.Pause = w.topic, []string{w.topic}, time.Millisecond
	o.Logger = slog.New(slog.NewTextHandler(w.Output(), nil))
	var err error
	m.Consumer, err = kafka.New(in, o, append(append(w.connection(),
		kgo.SessionTimeout(time.Second), kgo.HeartbeatInterval(100*time.Millisecond)), h.opts...)...)
	if err != nil {
		w.Fatal(err)
	}
	var ctx context.Context
	ctx, m.stop = context.WithCancel(w.ctx)
	go func() { m.ran <- m.Run(ctx) }()
	w.Cleanup(func() {
		m.stop()
		m.Close()
	})
}

// leave closes the member.
func (w *world) leave(m *member) {
	w.Helper()
	if err := errors.Join(m.Close(), await(w, m.ran)); err != nil {
		w.Error(err)
	}
}

// await waits for what comes from a channel.
func await[T any](w *world, from <-chan T) (v T) {
	w.Helper()
	select {
	case v = <-from:
	case <-w.ctx.Done():
		w.Fatal("nothing happens")
	}
	return v
}

// audit counts effects against messages, those with the ids from 0 to count: none may
// be lost, none doubled. All that is settled must be committed, and nothing else.
func (w *world) audit(count int) {
	w.Helper()
	found := make(map[string]int)
	rows, err := w.db.Query("SELECT id, count(*) FROM effects GROUP BY id")
	if err != nil {
		w.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var id string
		var n int
		if err := rows.Scan(&id, &n); err != nil {
			w.Fatal(err)
		}
		if found[id] = n; n > 1 {
			w.Errorf("message %s took effect %d times", id, n)
		}
	}
	if err := rows.Err(); err != nil {
		w.Fatal(err)
	}
	for i := range count {
		if found[fmt.Sprint(i)] == 0 {
			w.Errorf("message %d is lost", i)
		}
	}
	if len(found) > count {
		w.Errorf("%d messages took effect, of %d", len(found), count)
	}
}

// wantCommitted compares what the group has committed with the topic's ends.
func (w *world) wantCommitted() {
	w.Helper()
	admin := kadm.NewClient(w.client)
	ends, err := admin.ListEndOffsets(w.ctx, w.topic)
	if err != nil {
		w.Fatal(err)
	}
	committed, err := admin.FetchOffsets(w.ctx, w.topic)
	if err != nil {
		w.Fatal(err)
	}
	ends.Each(func(end kadm.ListedOffset) {
		at, _ := committed.Lookup(end.Topic, end.Partition)
		if end.Offset > 0 && at.At != end.Offset {
			w.Errorf("partition %d: committed is %d, the end is %d", end.Partition, at.At, end.Offset)
		}
	})
}
