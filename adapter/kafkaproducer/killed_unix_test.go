//go:build unix

package kafkaproducer_test

import (
	"context"
	"database/sql"
	"path/filepath"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	_ "modernc.org/sqlite"

	"github.com/hapaxmq/hapax/adapter/kafkaproducer"
	"github.com/hapaxmq/hapax/internal/servertest"
)

// The steps at which a producer dies. Those of the protocol of Kafka are inside of Publish:
// a request is written, and answered.
func producerSteps() []string { return []string{"written", "answered", "published", "marked"} }

// requests lets a process die at its requests to produce.
type requests struct{ *step }

const produceKey = 0

func (r requests) OnBrokerWrite(_ kgo.BrokerMetadata, key int16, _ int, _, _ time.Duration, _ error) {
	if key == produceKey {
		r.reached("written")
	}
}

func (r requests) OnBrokerRead(_ kgo.BrokerMetadata, key int16, _ int, _, _ time.Duration, _ error) {
	if key == produceKey {
		r.reached("answered")
	}
}

func openFile(file string) (*sql.DB, error) {
	return sql.Open("sqlite", "file:"+file+"?_pragma=journal_mode(wal)&_pragma=busy_timeout(60000)")
}

// trading publishes all trades that are not marked as published, and marks each.
func trading(ctx context.Context, of task) error {
	at := &step{name: of.Step, number: of.Number}
	client, err := kgo.NewClient(connection(of.Broker, kgo.WithHooks(requests{at}))...)
	if err != nil {
		return err
	}
	o := kafkaproducer.Options{ID: trade}
	if of.Stored {
		o.ID = nil
	}
	p, err := kafkaproducer.New(client, o)
	if err != nil {
		return err
	}
	db, err := openFile(of.Dir)
	if err != nil {
		return err
	}
	for {
		var number, id string
		err := db.QueryRowContext(ctx, "SELECT number, id FROM trades WHERE NOT published ORDER BY number").Scan(&number, &id)
		if err == sql.ErrNoRows {
			return nil
		}
		if err != nil {
			return err
		}
		r := &kgo.Record{Topic: of.Topic, Key: []byte(number), Value: []byte("trade " + number)}
		if of.Stored {
			r.Headers = []kgo.RecordHeader{{Key: "id", Value: []byte(id)}}
		}
		if err := p.Publish(ctx, r); err != nil {
			return err
		}
		at.reached("published")
		if _, err := db.ExecContext(ctx, "UPDATE trades SET published = 1 WHERE number = ?", number); err != nil {
			return err
		}
		at.reached("marked")
	}
}

// newTrades makes a table of trades, each with an id for its record, in one transaction.
func newTrades(t *testing.T, count int) (file string) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "db")
	db, err := openFile(file)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec("CREATE TABLE trades (number INTEGER PRIMARY KEY, id TEXT, published INTEGER DEFAULT 0)"); err != nil {
		t.Fatal(err)
	}
	tx, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	p := newProducer(t, newClient(t, "127.0.0.1:1"), kafkaproducer.Options{})
	for range count {
		id, err := p.Identify(t.Context(), "", &kgo.Record{})
		if err == nil {
			_, err = tx.Exec("INSERT INTO trades (id) VALUES (?)", id)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	return file
}

// TestKilled: a producer is killed at every step, and so is the broker; its successors
// publish what is not marked. A topic with a window has each record once.
func TestKilled(t *testing.T) {
	n := startNode(t)
	die(t, n.Broker, byID(), func() {
		n.kill()
		n.start(t)
	})
}

// die lets producers die. Without a window in configs, the topic has copies, under their
// ids.
func die(t *testing.T, addr string, configs map[string]*string, between func()) {
	const rounds, each = 2, 3
	for name, stored := range map[string]bool{"natural": false, "stored": true} {
		t.Run(name, func(t *testing.T) {
			count := rounds*len(producerSteps())*each + 3
			of := task{Work: "trade", Broker: addr, Dir: newTrades(t, count), Topic: "trades-" + name, Stored: stored}
			makeTopic(t, addr, of.Topic, configs)
			deaths := int64(0)
			for round := range rounds {
				for _, of.Step = range producerSteps() {
					of.Number = each
					of.dies(t)
					if of.Step == "answered" || of.Step == "published" {
						deaths++ // which left a record that is not marked
					}
				}
				if round == 0 {
					between()
				}
			}
			of.Step = ""
			of.runs(t)
			all, dropped := records(t, addr, of.Topic)
			once := map[string]string{}
			for _, r := range all {
				id, is := idOf(r), string(r.Value)
				if was, seen := once[id]; seen && (configs != nil || was != is) {
					t.Errorf("id %q came as %q, and again as %q", id, was, is)
				}
				once[id] = is
			}
			if len(once) != count {
				t.Errorf("%d ids came, want %d", len(once), count)
			}
			if copies := dropped + int64(len(all)-len(once)); copies < deaths {
				t.Errorf("%d copies were sent, and the kills alone make %d", copies, deaths)
			}
		})
	}
}

// TestApacheKafka: without a window the copies are there, each under its id.
func TestApacheKafka(t *testing.T) { die(t, servertest.StartKafka(t).Addr, nil, func() {}) }
