package demo

import (
	"context"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/adapter/kafka"
	"github.com/hapaxmq/hapax/inbox"
	"github.com/hapaxmq/hapax/outbox/relay"
)

// watched is an inbox, of which the conductor is told what it is told of the naive loop.
type watched struct {
	kafka.Inbox
	*service
}

func (w watched) HandleBatch(ctx context.Context, ms []*hapax.Message) []inbox.Handled {
	for _, m := range ms {
		w.tell(line{What: came, Of: []string{idOf(m.Value)}, At: m.Position.Offset})
	}
	handled := w.Inbox.HandleBatch(ctx, ms)
	var done []string
	for i, m := range ms {
		if handled[i].Settle().Action == inbox.Ack {
			done = append(done, idOf(m.Value))
		}
	}
	if len(done) > 0 {
		_ = w.ask(context.WithoutCancel(ctx), beforeAck, done...) // nothing fails here: it was handled
		w.tell(line{What: didHandle, Of: done})
	}
	return handled
}

// watchedRelay is a destination of records, of which the conductor is told too.
type watchedRelay struct {
	relay.Destination
	*service
}

func (w watchedRelay) Open(ctx context.Context, s relay.Shard) (relay.Line, int64, error) {
	to, last, err := w.Destination.Open(ctx, s)
	return watchedLine{to, w.service}, last, err
}

type watchedLine struct {
	relay.Line
	*service
}

func (w watchedLine) Publish(ctx context.Context, b relay.Batch, alone bool, sealed func() error) error {
	of := make([]string, len(b.Records))
	for i := range b.Records {
		of[i] = idOf(b.Records[i].Payload)
	}
	if err := w.ask(ctx, beforePublish, of...); err != nil {
		return err
	}
	if err := w.Line.Publish(ctx, b, alone, sealed); err != nil {
		return err
	}
	return w.ask(ctx, afterPublish, of...)
}
