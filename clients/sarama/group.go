package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"

	"github.com/IBM/sarama"

	"github.com/hapaxmq/hapax/clients/telling"
)

// join is a member of a group until ctx ends. It has batches of one partition
// handled, one batch at a time; when that fails, the partition is left alone until
// the next session, which begins at what is committed.
func join(ctx context.Context, address, group, topic string, handle handler) error {
	c := config()
	c.Consumer.Group.Rebalance.GroupStrategies = []sarama.BalanceStrategy{sarama.NewBalanceStrategyRange()}
	g, err := sarama.NewConsumerGroup([]string{address}, group, c)
	if err != nil {
		return err
	}
	sessions := &sessions{topic: topic, handle: handle}
	for ctx.Err() == nil && err == nil {
		err = g.Consume(ctx, []string{topic}, sessions)
	}
	return errors.Join(err, g.Close())
}

type handler func(s sarama.ConsumerGroupSession, batch []*sarama.ConsumerMessage) error

// sessions is a sarama.ConsumerGroupHandler.
type sessions struct {
	topic  string
	handle handler
	mu     sync.Mutex // one batch at a time
}

func (h *sessions) Setup(s sarama.ConsumerGroupSession) error {
	telling.Tell("assigned", len(s.Claims()[h.topic]))
	return nil
}

func (h *sessions) Cleanup(sarama.ConsumerGroupSession) error { return nil }

func (h *sessions) ConsumeClaim(s sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	for {
		batch := nextBatch(s.Context(), claim.Messages())
		if len(batch) == 0 {
			return nil
		}
		h.mu.Lock()
		err := h.handle(s, batch)
		h.mu.Unlock()
		if err != nil {
			fmt.Fprintln(os.Stderr, "partition", claim.Partition(), err)
			<-s.Context().Done()
			return nil
		}
	}
}

// nextBatch is of up to 50 messages, and of none when the session is over.
func nextBatch(ctx context.Context, messages <-chan *sarama.ConsumerMessage) []*sarama.ConsumerMessage {
	var batch []*sarama.ConsumerMessage
	select {
	case <-ctx.Done():
		return nil
	case m, ok := <-messages:
		if !ok {
			return nil
		}
		batch = append(batch, m)
	}
	for len(batch) < 50 && len(messages) > 0 {
		batch = append(batch, <-messages)
	}
	return batch
}

// member commits what it has handled. Sarama does not say whether a commit was
// accepted; so it is marked as this session's and looked up, while nobody else can
// have the partition.
func member(ctx context.Context, address, group, topic, _ string) error {
	admin, err := sarama.NewClusterAdmin([]string{address}, config())
	if err != nil {
		return err
	}
	defer func() { _ = admin.Close() }() // nothing is under way
	return join(ctx, address, group, topic, func(s sarama.ConsumerGroupSession, batch []*sarama.ConsumerMessage) error {
		last := batch[len(batch)-1]
		mine := fmt.Sprint(s.MemberID(), " ", s.GenerationID())
		s.MarkOffset(topic, last.Partition, last.Offset+1, mine)
		s.Commit()
		committed, err := admin.ListConsumerGroupOffsets(group, map[string][]int32{topic: {last.Partition}})
		if err != nil {
			return err
		}
		if b := committed.GetBlock(topic, last.Partition); b.Offset != last.Offset+1 || b.Metadata != mine {
			return fmt.Errorf("the commit of offset %d was not accepted", last.Offset+1)
		}
		for _, m := range batch {
			telling.Tell("handled", m.Partition, m.Offset, string(m.Value))
		}
		return nil
	})
}

func transform(ctx context.Context, address, group, from, to, id string) error {
	c := config()
	c.Producer.Transaction.ID = id
	p, err := sarama.NewSyncProducer([]string{address}, c)
	if err != nil {
		return err
	}
	transactions := 0
	return errors.Join(join(ctx, address, group, from, func(s sarama.ConsumerGroupSession, batch []*sarama.ConsumerMessage) error {
		for {
			transactions++
			commit := transactions%3 != 0
			if err := transact(p, s, group, to, batch, commit); err != nil {
				return errors.Join(err, p.AbortTxn())
			}
			if commit {
				telling.Tell("committed", len(batch))
				return nil
			}
			telling.Tell("aborted")
		}
	}), p.Close())
}

// transact writes a batch in one transaction, which it ends if all goes well.
func transact(p sarama.SyncProducer, s sarama.ConsumerGroupSession, group, to string, batch []*sarama.ConsumerMessage, commit bool) error {
	if err := p.BeginTxn(); err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	messages := make([]*sarama.ProducerMessage, len(batch))
	for i, m := range batch {
		messages[i] = &sarama.ProducerMessage{Topic: to, Key: sarama.ByteEncoder(m.Key), Value: sarama.ByteEncoder(m.Value)}
	}
	if err := p.SendMessages(messages); err != nil {
		return fmt.Errorf("send: %w", err)
	}
	who := sarama.NewConsumerGroupMetadataFromSession(s, group, nil)
	if err := p.AddMessageToTxnWithGroupMetadata(batch[len(batch)-1], who, nil); err != nil {
		return fmt.Errorf("add offsets: %w", err)
	}
	if commit {
		return p.CommitTxn()
	}
	return p.AbortTxn()
}
