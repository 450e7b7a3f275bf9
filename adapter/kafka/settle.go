package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/inbox"
)

// settle hands items to the inbox until each is settled, or until there is nothing more
// to do here. It marks for the commit what is settled with all before it.
func (p *partition) settle(items []*item) error {
	left := items
	for pause := p.o.Pause; ; pause = min(2*pause, p.o.MaxPause) {
		var again time.Duration
		var err error
		left, again, err = p.hand(left, pause)
		settled := len(items)
		if len(left) > 0 {
			settled = slices.Index(items, left[0])
		}
		if settled > 0 {
			p.client.MarkCommitRecords(items[settled-1].record)
		}
		if err != nil || len(left) == 0 || !p.wait(max(again, p.gate.remaining())) {
			for _, it := range left { // to whoever has the partition next, in their order
				p.inbox.Skip(it.message)
			}
			return err
		}
	}
}

// hand gives items to the inbox and does with each what is said of it. It returns those
// that are left, and how long to wait before they come again: as long as the one that
// asks for most, since their order is kept.
func (p *partition) hand(open []*item, pause time.Duration) (left []*item, again time.Duration, err error) {
	handled := p.handle(open)
	for i, it := range open {
		if errors.Is(handled[i].Err, inbox.ErrClosed) {
			return append(left, open[i:]...), 0, handled[i].Err
		}
		s := p.settlement(it, handled[i])
		switch s.Action {
		case inbox.Ack:
			continue
		case inbox.DeadLetter:
			if p.o.DeadLetters == "" {
				return append(left, open[i:]...), 0, fmt.Errorf("offset %d is a dead letter (%v), and there is no topic for it: %w",
					it.record.Offset, handled[i].Result.Outcome, handled[i].Err)
			}
			it.letter = &handled[i]
			if err := p.bury(it); err == nil {
				continue
			} else if tooLarge(err) {
				return append(left, open[i:]...), 0, fmt.Errorf("offset %d is a dead letter (%v) of %d bytes, and that is more than the topic %q takes: raise its max.message.bytes, and the client's limit of a batch: %w",
					it.record.Offset, handled[i].Result.Outcome, size(it.record), p.o.DeadLetters, err)
			} else if p.ctx.Err() == nil {
				p.o.Logger.Error("kafka: write a dead letter", "topic", p.topic, "partition", p.number,
					"offset", it.record.Offset, "error", err)
			}
		case inbox.Stop:
			p.gate.hold(max(s.After, pause))
		}
		left = append(left, it)
		if s.After == 0 || s.Failed { // the records behind it wait too: that is for Pause to say
			s.After = pause
		}
		again = max(again, s.After)
	}
	return left, again, nil
}

// tooLarge tells of a dead letter that will never be taken as it is.
func tooLarge(err error) bool {
	return errors.Is(err, kerr.MessageTooLarge) || errors.Is(err, kerr.RecordListTooLarge)
}

// size is about that of a record.
func size(r *kgo.Record) int {
	n := len(r.Key) + len(r.Value)
	for _, h := range r.Headers {
		n += len(h.Key) + len(h.Value)
	}
	return n
}

// handle gives the items to the inbox that are no dead letters yet.
func (p *partition) handle(open []*item) []inbox.Handled {
	ended := make([]inbox.Handled, len(open))
	var ms []*hapax.Message
	for _, it := range open {
		if it.letter == nil {
			ms = append(ms, it.message)
		}
	}
	var answers []inbox.Handled
	if len(ms) > 0 {
		answers = p.inbox.HandleBatch(p.ctx, ms)
	}
	for i, it := range open {
		if it.letter != nil {
			ended[i] = *it.letter
			continue
		}
		ended[i], answers = answers[0], answers[1:]
	}
	return ended
}

// settlement is what [inbox.Settle] says, and the limit of attempts.
func (p *partition) settlement(it *item, h inbox.Handled) inbox.Settlement {
	if it.letter != nil {
		return inbox.Settlement{Action: inbox.DeadLetter}
	}
	s := h.Settle()
	if s.Failed && p.ctx.Err() == nil {
		it.failures++
	}
	if s.Action == inbox.Retry && s.Failed && p.o.Attempts > 0 && it.failures >= p.o.Attempts {
		s.Action = inbox.DeadLetter
	}
	return s
}

// bury writes a dead letter, and returns when it is durable. It does so also for a
// partition that goes: under at most once nobody else would.
func (p *partition) bury(it *item) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(p.ctx), settling)
	defer cancel()
	if err := p.client.ProduceSync(ctx, deadLetter(p.o.DeadLetters, it.record, it.letter)).FirstErr(); err != nil {
		return err
	}
	p.inbox.Skip(it.message)
	return nil
}
