//go:build unix

package kafkaproducer_test

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/adapter/kafka"
	"github.com/hapaxmq/hapax/adapter/kafkaproducer"
	"github.com/hapaxmq/hapax/adapter/sqldb"
	"github.com/hapaxmq/hapax/identity"
	"github.com/hapaxmq/hapax/inbox"
)

// The chain of services. Only its ends drop copies, by an inbox each. What is between them
// is at least once, and so are all three topics.
//
//	orders ──▶ bill ──▶ invoices ──▶ forward ──▶ payments ──▶ credit ──▶ accounts
//	           inbox                 a loop                   inbox
//
// Each id is derived from that of what was handled, so a copy that is made anywhere has the
// id of the first.

const (
	orders   = "orders"
	invoices = "invoices"
	payments = "payments"
)

func member() []kgo.Opt {
	return []kgo.Opt{kgo.SessionTimeout(time.Second), kgo.HeartbeatInterval(100 * time.Millisecond)}
}

// transacted is an inbox whose marks and effects are in a file.
func transacted(ctx context.Context, of task, work inbox.TxHandler[*sql.Tx]) (*inbox.TxInbox[*sql.Tx], error) {
	db, err := openFile(of.Dir)
	if err != nil {
		return nil, err
	}
	marks, err := sqldb.ByID(db, sqldb.SQLite, sqldb.Options{})
	if err == nil {
		err = marks.Migrate(ctx)
	}
	if err != nil {
		return nil, err
	}
	return inbox.Transaction(marks, inbox.Options{Name: of.Work, Identity: "header:id", Window: inbox.Forever}, work)
}

// billing sends an invoice for each order, whose id the producer derives by itself.
func billing(ctx context.Context, of task) error {
	at := &step{name: of.Step, number: of.Number}
	client, err := kgo.NewClient(connection(of.Broker)...)
	if err != nil {
		return err
	}
	p, err := kafkaproducer.New(client, kafkaproducer.Options{})
	if err != nil {
		return err
	}
	in, err := transacted(ctx, of, func(ctx context.Context, _ *sql.Tx, m *hapax.Message) (hapax.Receipt, error) {
		invoice := &kgo.Record{Topic: invoices, Key: m.Key, Value: m.Value}
		if _, err := p.Identify(ctx, "invoice", invoice); err != nil {
			return nil, err
		}
		err := p.Publish(ctx, invoice)
		at.reached("published")
		return nil, err
	})
	if err != nil {
		return err
	}
	c, err := kafka.New(in, kafka.Options{Group: of.Work, Topics: []string{orders}, Commit: 100 * time.Millisecond}, connection(of.Broker, member()...)...)
	if err != nil {
		return err
	}
	return c.Run(ctx)
}

// forwarding sends a payment for each invoice. It is a plain loop, which remembers nothing.
func forwarding(ctx context.Context, of task) error {
	at := &step{name: of.Step, number: of.Number}
	client, err := kgo.NewClient(connection(of.Broker, append(member(), kgo.ConsumeTopics(invoices), kgo.ConsumerGroup(of.Work),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.DisableAutoCommit())...)...)
	if err != nil {
		return err
	}
	p, err := kafkaproducer.New(client, kafkaproducer.Options{})
	if err != nil {
		return err
	}
	for {
		for invoice := range client.PollFetches(ctx).RecordsAll() {
			id := identity.ChildID(hapax.Identity(idOf(invoice)), "payment")
			payment := &kgo.Record{
				Topic: payments, Key: invoice.Key, Value: invoice.Value,
				Headers: []kgo.RecordHeader{{Key: "id", Value: []byte(id)}},
			}
			if err := p.Publish(ctx, payment); err != nil {
				return err
			}
			at.reached("published")
		}
		// What is refused, as in a rebalance, comes again.
		_ = client.CommitUncommittedOffsets(ctx)
	}
}

// crediting is the effect.
func crediting(ctx context.Context, of task) error {
	at := &step{name: of.Step, number: of.Number}
	in, err := transacted(ctx, of, func(ctx context.Context, tx *sql.Tx, m *hapax.Message) (hapax.Receipt, error) {
		_, err := tx.ExecContext(ctx, "INSERT INTO credits VALUES (?, ?)", string(m.Key), string(m.Value))
		at.reached("credited")
		return nil, err
	})
	if err != nil {
		return err
	}
	c, err := kafka.New(dying{in, at}, kafka.Options{Group: of.Work, Topics: []string{payments}, Commit: 100 * time.Millisecond},
		connection(of.Broker, member()...)...)
	if err != nil {
		return err
	}
	return c.Run(ctx)
}

// dying is an inbox whose process may die when a message is handled, and nobody was told.
type dying struct {
	kafka.Inbox
	*step
}

func (d dying) HandleBatch(ctx context.Context, ms []*hapax.Message) []inbox.Handled {
	handled := d.Inbox.HandleBatch(ctx, ms)
	d.reached("handled")
	return handled
}

// chain is what runs, and where it does.
type chain struct {
	*testing.T
	*node

	all map[string]task
	ctx context.Context
}

// runs runs services until each has handled all that there is for it.
func (c *chain) runs(services ...string) {
	c.Helper()
	var running []*process
	for _, s := range services {
		running = append(running, c.all[s].start(c.T))
	}
	defer func() {
		for _, p := range running {
			p.kill()
		}
	}()
	reads := map[string]string{"bill": orders, "forward": invoices, "credit": payments}
	admin := kadm.NewClient(newClient(c.T, c.Broker))
	for done := 0; done < len(services); {
		service := services[done]
		ends, err := admin.ListEndOffsets(c.ctx, reads[service])
		if err != nil {
			c.Fatal(err)
		}
		committed, err := admin.FetchOffsets(c.ctx, service)
		if err != nil {
			c.Fatal(err)
		}
		end, _ := ends.Lookup(reads[service], 0)
		at, _ := committed.Lookup(reads[service], 0)
		if at.At == end.Offset {
			done++ // in their order: nothing new comes for it
			continue
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-c.ctx.Done():
			c.Fatalf("%s is at %d of %d", service, at.At, end.Offset)
		}
	}
}

// replays takes a service back to the start of what it reads.
func (c *chain) replays(service, topic string) {
	c.Helper()
	admin := kadm.NewClient(newClient(c.T, c.Broker))
	to := kadm.Offsets{}
	to.AddOffset(topic, 0, 0, -1)
	for { // the members that were killed are in the group for a while
		committed, err := admin.CommitOffsets(c.ctx, service, to)
		if err == nil {
			err = committed.Error()
		}
		if err == nil {
			return
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-c.ctx.Done():
			c.Fatalf("replay: %v", err)
		}
	}
}

// TestChain: orders come twice, services are killed before and after what they do, the
// broker is too, and a range is replayed. Each order is credited once.
func TestChain(t *testing.T) {
	t.Parallel()
	const count = 20
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c := &chain{T: t, node: startNode(t), ctx: ctx, all: map[string]task{}}
	for _, topic := range []string{orders, invoices, payments} {
		makeTopic(t, c.Broker, topic, nil)
	}
	for _, work := range []string{"bill", "forward", "credit"} {
		c.all[work] = task{Work: work, Broker: c.Broker, Dir: filepath.Join(t.TempDir(), work)}
	}
	accounts, err := openFile(c.all["credit"].Dir)
	if err != nil {
		t.Fatal(err)
	}
	defer accounts.Close()
	if _, err := accounts.ExecContext(ctx, "CREATE TABLE credits (order_id TEXT, cents INTEGER)"); err != nil {
		t.Fatal(err)
	}

	p := newProducer(t, newClient(t, c.Broker), kafkaproducer.Options{ID: trade})
	for range 2 { // the client was not sure
		for n := range count {
			if err := p.Publish(ctx, &kgo.Record{Topic: orders, Key: fmt.Append(nil, n), Value: fmt.Append(nil, 100+n)}); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, kill := range []struct{ service, step string }{
		{"bill", "published"}, {"bill", "published"}, {"forward", "published"}, {"forward", "published"}, {"credit", "credited"}, {"credit", "handled"},
	} {
		of := c.all[kill.service]
		of.Step, of.Number = kill.step, 4
		of.dies(t)
	}
	c.kill()
	c.node.start(t)
	c.runs("bill", "forward", "credit")
	c.replays("forward", invoices)
	c.runs("forward", "credit")

	var credited, cents, most int
	err = accounts.QueryRowContext(ctx, "SELECT count(*), sum(cents), max(n) FROM (SELECT sum(cents) AS cents, count(*) AS n FROM credits GROUP BY order_id)").
		Scan(&credited, &cents, &most)
	if err != nil {
		t.Fatal(err)
	}
	if want := count*100 + count*(count-1)/2; credited != count || most != 1 || cents != want {
		t.Errorf("%d orders were credited %d cents, one of them %d times; want %d, %d cents, once", credited, cents, most, count, want)
	}
	for topic, least := range map[string]int{
		orders:   2 * count,
		invoices: count + 2,       // two kills after what was published
		payments: 2*(count+2) + 2, // all invoices twice, and two kills
	} {
		all, _ := records(t, c.Broker, topic)
		ids := map[string]bool{}
		for _, r := range all {
			ids[idOf(r)] = true
		}
		if len(all) < least || len(ids) != count {
			t.Errorf("topic %s has %d records with %d ids, want at least %d with %d", topic, len(all), len(ids), least, count)
		}
		t.Logf("topic %s: %d records, %d ids", topic, len(all), len(ids))
	}
}
