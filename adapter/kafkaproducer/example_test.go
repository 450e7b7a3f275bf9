package kafkaproducer_test

import (
	"context"
	"fmt"
	"log"
	"os"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/hapaxmq/hapax/adapter/kafkaproducer"
	"github.com/hapaxmq/hapax/broker"
)

// Publish trades under their own numbers. A program that is started again, and does not know
// what it has sent, sends all of it, and the topic's window leaves the copies out.
func Example() {
	ctx := context.Background()
	address, stop := tradesNode()
	defer stop()

	program := func() {
		client, err := kgo.NewClient(kgo.SeedBrokers(address))
		if err != nil {
			log.Fatal(err)
		}
		defer client.Close()
		p, err := kafkaproducer.New(client, kafkaproducer.Options{
			ID: func(r *kgo.Record) (string, error) { return "trade-" + string(r.Key), nil },
		})
		if err != nil {
			log.Fatal(err)
		}
		for _, number := range []string{"1001", "1002"} {
			if err := p.Publish(ctx, &kgo.Record{Topic: "trades", Key: []byte(number), Value: []byte("100 shares")}); err != nil {
				log.Fatal(err) // after hapax.ErrUnknown, publish the same again: now, or when it is started anew
			}
			// here the trade is marked as published
		}
	}
	program()
	program()

	reader, err := kgo.NewClient(kgo.SeedBrokers(address), kgo.ConsumeTopics("trades"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		log.Fatal(err)
	}
	defer reader.Close()
	for read := 0; read < 2; {
		for r := range reader.PollFetches(ctx).RecordsAll() {
			fmt.Printf("%s: %s\n", r.Headers[0].Value, r.Value)
			read++
		}
	}
	ends, err := kadm.NewClient(reader).ListEndOffsets(ctx, "trades")
	if err != nil {
		log.Fatal(err)
	}
	end, _ := ends.Lookup("trades", 0)
	fmt.Println("sent:", end.Offset)
	// Output:
	// trade-1001: 100 shares
	// trade-1002: 100 shares
	// sent: 4
}

// tradesNode runs a broker in this process, and makes the topic.
func tradesNode() (address string, stop func()) {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		log.Fatal(err)
	}
	b, err := broker.Open(dir, broker.Options{Listeners: []broker.Listener{{Address: "127.0.0.1:0"}}})
	if err != nil {
		log.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); b.Serve(ctx) }()
	client, err := kgo.NewClient(kgo.SeedBrokers(b.Addresses()[0]))
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	if _, err := kadm.NewClient(client).CreateTopic(ctx, 1, 1, map[string]*string{
		"hapax.identity": kadm.StringPtr("header:id"), "hapax.window.ms": kadm.StringPtr("86400000"),
	}, "trades"); err != nil {
		log.Fatal(err)
	}
	return b.Addresses()[0], func() {
		cancel()
		<-done
		_ = b.Close()
		_ = os.RemoveAll(dir)
	}
}
