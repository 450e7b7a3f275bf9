// Command sarama is the program of Sarama; see package clients.
package main

import (
	"context"
	"errors"
	"log"
	"os"
	"strconv"
	"time"

	"github.com/IBM/sarama"

	"github.com/hapaxmq/hapax/clients/telling"
)

func main() {
	sarama.Logger = log.New(os.Stderr, "", log.Lmicroseconds)
	telling.Verbs{Produce: produce, Consume: consume, Follow: follow, Member: member, Transform: transform, Admin: administer}.Main()
}

func config() *sarama.Config {
	c := sarama.NewConfig()
	c.Version = sarama.MaxVersion
	c.Producer.Idempotent, c.Net.MaxOpenRequests = true, 1
	c.Producer.RequiredAcks = sarama.WaitForAll
	c.Producer.Return.Successes = true
	c.Consumer.MaxWaitTime = 100 * time.Millisecond
	c.Consumer.IsolationLevel = sarama.ReadCommitted
	c.Consumer.Offsets.Initial = sarama.OffsetOldest
	c.Consumer.Offsets.AutoCommit.Enable = false
	c.Consumer.Group.Heartbeat.Interval = 200 * time.Millisecond
	c.Consumer.Group.Session.Timeout = 5 * time.Second
	c.Consumer.Group.Rebalance.Retry.Backoff = 100 * time.Millisecond
	return c
}

func produce(_ context.Context, address, topic string, numbers telling.Range, codec string) error {
	c := config()
	if err := c.Producer.Compression.UnmarshalText([]byte(codec)); err != nil {
		return err
	}
	c.Producer.Flush.Messages, c.Producer.Flush.Frequency = 100, 5*time.Millisecond
	p, err := sarama.NewSyncProducer([]string{address}, c)
	if err != nil {
		return err
	}
	var messages []*sarama.ProducerMessage
	for n := numbers.From; n < numbers.To; n++ {
		messages = append(messages, &sarama.ProducerMessage{Topic: topic, Key: sarama.StringEncoder(telling.Key(n)),
			Value: sarama.StringEncoder(strconv.Itoa(n)), Headers: []sarama.RecordHeader{{Key: []byte("codec"), Value: []byte(codec)}}})
	}
	if err := p.SendMessages(messages); err != nil {
		return errors.Join(err, p.Close())
	}
	for _, m := range messages {
		telling.Tell("wrote", m.Partition, m.Offset, m.Value)
	}
	return p.Close()
}

func consume(ctx context.Context, address, topic string, count int) error {
	c, err := sarama.NewConsumer([]string{address}, config())
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }() // it was only read
	messages := make(chan *sarama.ConsumerMessage)
	if err := read(c, topic, messages); err != nil {
		return err
	}
	for range count {
		select {
		case m := <-messages:
			telling.Tell("read", m.Partition, m.Offset, string(m.Value), string(m.Key), string(m.Headers[0].Value))
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// read reads all partitions of a topic from their start.
func read(c sarama.Consumer, topic string, to chan<- *sarama.ConsumerMessage) error {
	partitions, err := c.Partitions(topic)
	if err != nil {
		return err
	}
	for _, p := range partitions {
		one, err := c.ConsumePartition(topic, p, sarama.OffsetOldest)
		if err != nil {
			return err
		}
		go func() {
			for m := range one.Messages() {
				to <- m
			}
		}()
	}
	return nil
}

func follow(ctx context.Context, address string, topics []string) error {
	c, err := sarama.NewConsumer([]string{address}, config())
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }() // it was only read
	messages := make(chan *sarama.ConsumerMessage)
	for _, topic := range topics {
		if err := read(c, topic, messages); err != nil {
			return err
		}
	}
	for {
		select {
		case m := <-messages:
			telling.Tell("read", m.Topic, m.Partition, m.Offset, label(m.Headers))
		case <-ctx.Done():
			return nil
		}
	}
}

func label(headers []*sarama.RecordHeader) string {
	for _, h := range headers {
		if string(h.Key) == "label" {
			return string(h.Value)
		}
	}
	return "none"
}
