package mqtt_test

import (
	"context"
	"database/sql"
	"fmt"
	"log"
	"net"
	"time"

	"github.com/eclipse/paho.golang/paho"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/adapter/mqtt"
	"github.com/hapaxmq/hapax/adapter/sqldb"
	"github.com/hapaxmq/hapax/inbox"
)

// orders makes the inbox of a handler that writes orders into SQLite.
func orders(ctx context.Context, db *sql.DB) (*inbox.TxInbox[*sql.Tx], error) {
	marks, err := sqldb.ByID(db, sqldb.SQLite, sqldb.Options{})
	if err != nil {
		return nil, err
	}
	if err := marks.Migrate(ctx); err != nil {
		return nil, err
	}
	o := inbox.Options{Name: "orders", Identity: "header:id", Window: 7 * 24 * time.Hour}
	return inbox.Transaction(marks, o, func(ctx context.Context, tx *sql.Tx, m *hapax.Message) (hapax.Receipt, error) {
		_, err := tx.ExecContext(ctx, "INSERT INTO orders (text) VALUES (?)", string(m.Value))
		return nil, err
	})
}

// Consume topics into a database, once for each user property "id".
func Example() {
	ctx := context.Background()
	db, err := sql.Open("sqlite", "orders.db")
	if err != nil {
		log.Fatal(err)
	}
	in, err := orders(ctx, db)
	if err != nil {
		log.Fatal(err)
	}
	week := uint32(7 * 24 * 3600)
	consumer, err := mqtt.New(in, mqtt.Options{
		Dial: func(ctx context.Context) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", "localhost:1883")
		},
		Connect:       paho.Connect{ClientID: "booking", Properties: &paho.ConnectProperties{SessionExpiryInterval: &week}},
		Subscriptions: []paho.SubscribeOptions{{Topic: "orders/#", QoS: 1}},
		DeadLetters:   "dead/orders",
		Attempts:      10,
	})
	if err != nil {
		log.Fatal(err)
	}
	if err := consumer.Run(ctx); err != nil {
		log.Fatal(err)
	}
}

// consumeOne is the body of a plain loop over what arrives.
func consumeOne(ctx context.Context, client *paho.Client, in mqtt.Inbox, p *paho.Publish) error {
	for {
		r, err := in.Handle(ctx, mqtt.Message(p))
		s := inbox.Settle(r, err)
		if s.Action == inbox.DeadLetter {
			answer, err := client.Publish(ctx, mqtt.DeadLetter("dead/orders", p, err))
			if err != nil {
				return err
			}
			fmt.Println("dead letter, answered by", answer.ReasonCode)
		}
		if s.Action == inbox.Ack || s.Action == inbox.DeadLetter {
			return client.Ack(p)
		}
		fmt.Println(s.Action, err)
		<-time.After(max(s.After, time.Second)) // MQTT takes nothing back: try again here
	}
}

// Keep a consumer loop, and put the inbox in front of its handler.
func ExampleMessage() {
	ctx := context.Background()
	db, err := sql.Open("sqlite", "orders.db")
	if err != nil {
		log.Fatal(err)
	}
	in, err := orders(ctx, db)
	if err != nil {
		log.Fatal(err)
	}
	conn, err := net.Dial("tcp", "localhost:1883")
	if err != nil {
		log.Fatal(err)
	}
	most, week := uint16(64), uint32(7*24*3600)
	arrived := make(chan *paho.Publish, most)
	client := paho.NewClient(paho.ClientConfig{
		Conn: conn, EnableManualAcknowledgment: true, // or each would be acknowledged before its handler
		OnPublishReceived: []func(paho.PublishReceived) (bool, error){func(r paho.PublishReceived) (bool, error) {
			arrived <- r.Packet
			return true, nil
		}},
	})
	_, err = client.Connect(ctx, &paho.Connect{
		ClientID: "booking", KeepAlive: 30,
		Properties: &paho.ConnectProperties{SessionExpiryInterval: &week, ReceiveMaximum: &most},
	})
	if err != nil {
		log.Fatal(err)
	}
	_, err = client.Subscribe(ctx, &paho.Subscribe{Subscriptions: []paho.SubscribeOptions{{Topic: "orders/#", QoS: 1}}})
	if err != nil {
		log.Fatal(err)
	}
	for {
		select {
		case p := <-arrived:
			if err := consumeOne(ctx, client, in, p); err != nil {
				log.Fatal(err)
			}
		case <-client.Done():
			log.Fatal("the connection is lost: what is not acknowledged comes again on another")
		}
	}
}
