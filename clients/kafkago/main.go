// Command kafkago is the program of segmentio/kafka-go; see package clients. Its
// producer is not idempotent, and has no transactions.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/hapaxmq/hapax/clients/telling"
)

func main() {
	telling.Verbs{Produce: produce, Consume: consume, Member: member, Admin: administer}.Main()
}

func produce(ctx context.Context, address, topic string, numbers telling.Range, codec string) error {
	w := &kafka.Writer{Addr: kafka.TCP(address), Topic: topic, Balancer: &kafka.Hash{}, RequiredAcks: kafka.RequireAll,
		BatchTimeout: 5 * time.Millisecond, Completion: tellWritten}
	if codec != "none" {
		if err := w.Compression.UnmarshalText([]byte(codec)); err != nil {
			return err
		}
	}
	var messages []kafka.Message
	for n := numbers.From; n < numbers.To; n++ {
		messages = append(messages, kafka.Message{Key: []byte(telling.Key(n)), Value: []byte(strconv.Itoa(n)),
			Headers: []kafka.Header{{Key: "codec", Value: []byte(codec)}}})
	}
	return errors.Join(w.WriteMessages(ctx, messages...), w.Close())
}

func tellWritten(messages []kafka.Message, err error) {
	if err != nil {
		return // WriteMessages returns it
	}
	for _, m := range messages {
		telling.Tell("wrote", m.Partition, m.Offset, string(m.Value))
	}
}

// reader reads a partition from an offset.
func reader(address, topic string, partition int, offset int64) (*kafka.Reader, error) {
	r := kafka.NewReader(kafka.ReaderConfig{Brokers: []string{address}, Topic: topic, Partition: partition,
		MaxWait: 100 * time.Millisecond, IsolationLevel: kafka.ReadCommitted})
	err := r.SetOffset(offset)
	return r, err
}

func consume(ctx context.Context, address, topic string, count int) error {
	partitions, err := kafka.DefaultDialer.LookupPartitions(ctx, "tcp", address, topic)
	if err != nil {
		return err
	}
	type message struct {
		kafka.Message
		err error
	}
	messages := make(chan message)
	for _, p := range partitions {
		r, err := reader(address, topic, p.ID, kafka.FirstOffset)
		if err != nil {
			return err
		}
		go func() {
			for err == nil {
				var m kafka.Message
				m, err = r.ReadMessage(ctx)
				messages <- message{m, err}
			}
		}()
	}
	for range count {
		m := <-messages
		if m.err != nil {
			return m.err
		}
		telling.Tell("read", m.Partition, m.Offset, string(m.Value), string(m.Key), string(m.Headers[0].Value))
	}
	return nil
}

func member(ctx context.Context, address, group, topic, _ string) error {
	g, err := kafka.NewConsumerGroup(kafka.ConsumerGroupConfig{ID: group, Brokers: []string{address}, Topics: []string{topic},
		GroupBalancers: []kafka.GroupBalancer{kafka.RangeGroupBalancer{}}, StartOffset: kafka.FirstOffset,
		HeartbeatInterval: 200 * time.Millisecond, SessionTimeout: 5 * time.Second, JoinGroupBackoff: 100 * time.Millisecond})
	if err != nil {
		return err
	}
	for ctx.Err() == nil {
		generation, err := g.Next(ctx)
		if err != nil {
			fmt.Fprintln(os.Stderr, "join:", err) // it tries again
			continue
		}
		assigned := generation.Assignments[topic]
		telling.Tell("assigned", len(assigned))
		for _, p := range assigned {
			generation.Start(func(ctx context.Context) {
				if err := handle(ctx, address, topic, p, generation); err != nil && ctx.Err() == nil {
					fmt.Fprintln(os.Stderr, "partition", p.ID, err) // the next generation has it again
				}
			})
		}
	}
	return g.Close()
}

// handle handles and commits the messages of a partition until its generation ends.
func handle(ctx context.Context, address, topic string, p kafka.PartitionAssignment, generation *kafka.Generation) error {
	r, err := reader(address, topic, p.ID, p.Offset)
	if err != nil {
		return err
	}
	defer func() { _ = r.Close() }() // it was only read
	for {
		m, err := r.ReadMessage(ctx)
		if err != nil {
			return err
		}
		if err := generation.CommitOffsets(map[string]map[int]int64{topic: {p.ID: m.Offset + 1}}); err != nil {
			return err
		}
		telling.Tell("handled", m.Partition, m.Offset, string(m.Value))
	}
}
