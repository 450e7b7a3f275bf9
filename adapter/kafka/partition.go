package kafka

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/inbox"
)

// partition is the work on one partition while it is assigned: a queue, and one
// goroutine that empties it.
type partition struct {
	*session

	client *kgo.Client
	topic  string
	number int32

	ctx    context.Context // of its handlers
	cancel context.CancelCauseFunc
	done   chan struct{} // closed when the goroutine has ended
	more   chan struct{} // there may be more in the queue

	mu     sync.Mutex
	queue  []*item
	paused bool
}

// item is a record that is not settled yet.
type item struct {
	record   *kgo.Record
	message  *hapax.Message
	failures int            // attempts that failed
	letter   *inbox.Handled // why it is a dead letter, if only that is left to do
}

func (s *session) begin(client *kgo.Client, topic string, number int32) *partition {
	p := &partition{
		session: s, client: client, topic: topic, number: number,
		done: make(chan struct{}), more: make(chan struct{}, 1),
	}
	p.ctx, p.cancel = context.WithCancelCause(s.ctx)
	go p.work()
	return p
}

// put queues records of the topic with that id. A queue that is full makes the client
// fetch none of the partition until half of it is done.
func (p *partition) put(topicID [16]byte, records []*kgo.Record) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if topicID == [16]byte{} {
		p.fail(fmt.Errorf("kafka: topic %q: the broker gives it no id, and its name alone makes no safe positions: want Kafka 2.8 or later", p.topic))
		return
	}
	source := source(topicID, p.number)
	for _, r := range records {
		p.queue = append(p.queue, &item{record: r, message: message(source, r)})
	}
	if !p.paused && len(p.queue) >= maxQueue {
		p.paused = true
		p.client.PauseFetchPartitions(map[string][]int32{p.topic: {p.number}})
	}
	select {
	case p.more <- struct{}{}:
	default:
	}
}

// pop takes the next items from the queue.
func (p *partition) pop() []*item {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := min(len(p.queue), p.o.Batch)
	items := p.queue[:n:n]
	p.queue = p.queue[n:]
	if len(p.queue) == 0 {
		p.queue = nil
	}
	if len(p.queue) <= maxQueue/2 {
		p.unpause()
	}
	return items
}

func (p *partition) resume() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.unpause()
}

// unpause has the partition fetched again. Call it with mu held.
func (p *partition) unpause() {
	if p.paused {
		p.paused = false
		p.client.ResumeFetchPartitions(map[string][]int32{p.topic: {p.number}})
	}
}

// next waits for items. There are none once the partition goes or the consumer is
// closed.
func (p *partition) next() []*item {
	for p.wait(p.gate.remaining()) {
		if items := p.pop(); len(items) > 0 {
			return items
		}
		select {
		case <-p.more:
		case <-p.ctx.Done():
		case <-p.closing.Done():
		}
	}
	return nil
}

// wait waits, and reports false at once when there is nothing more to do.
func (p *partition) wait(d time.Duration) bool {
	if d > 0 {
		t := time.NewTimer(d)
		defer t.Stop()
		select {
		case <-t.C:
		case <-p.ctx.Done():
		case <-p.closing.Done():
		}
	}
	return p.ctx.Err() == nil && p.closing.Err() == nil
}

// work empties the queue.
func (p *partition) work() {
	returned := false
	defer func() {
		if !returned { // by runtime.Goexit; of a panic nobody is told any more
			p.fail(errors.New("kafka: the handler ended its goroutine"))
		}
		close(p.done)
	}()
	for items := p.next(); items != nil; items = p.next() {
		if err := p.settle(items); err != nil {
			p.fail(fmt.Errorf("kafka: topic %q, partition %d: %w", p.topic, p.number, err))
			break
		}
	}
	returned = true
}
