package broker

import (
	"context"
	"sync"
	"time"

	"github.com/hapaxmq/hapax/broker/group"
)

// groups is the coordinator of consumer groups, with a lock, a clock and a log:
// see package group.
type groups struct {
	b      *Broker
	mu     sync.Mutex
	g      *group.Groups
	ticket group.Ticket // given out last
	parked map[group.Ticket]chan<- delivery
	wake   chan struct{} // something may be due sooner
}

// delivery is a reply, and what it waits for.
type delivery struct {
	group.Reply
	end int64
	err error
}

func (gs *groups) init(b *Broker, settings group.Settings) {
	gs.b, gs.g = b, group.New(settings)
	gs.parked, gs.wake = make(map[group.Ticket]chan<- delivery), make(chan struct{}, 1)
}

// park carries out a request that is answered now or later, on the channel.
func (gs *groups) park(f func(g *group.Groups, ticket group.Ticket, now int64) group.Step) <-chan delivery {
	answered := make(chan delivery, 1)
	_, _ = gs.step(func(g *group.Groups, now int64) group.Step { // the delivery tells of an error
		gs.ticket++
		gs.parked[gs.ticket] = answered
		return f(g, gs.ticket, now)
	})
	return answered
}

// step carries out what may answer requests that are parked. Its events are in the
// log before anybody is answered.
func (gs *groups) step(f func(g *group.Groups, now int64) group.Step) (end int64, err error) {
	gs.b.log.Begin()
	defer gs.b.log.End()
	gs.mu.Lock()
	defer gs.mu.Unlock()
	step := f(gs.g, gs.b.clock())
	end = gs.b.wal.End()
	for _, event := range step.Events {
		at, appendErr := gs.b.log.Append(frameGroup, event.Append(nil))
		if end = at.End; appendErr != nil {
			err = appendErr
			break
		}
	}
	for _, reply := range step.Replies {
		gs.parked[reply.Ticket] <- delivery{reply, end, err}
		delete(gs.parked, reply.Ticket)
	}
	gs.due()
	return end, err
}

// due makes run look at when something is due.
func (gs *groups) due() { nudge(gs.wake) }

// decide carries out a decision that is applied once it is in the log.
func (gs *groups) decide(f func(g *group.Groups, now int64) group.Event) (end int64, err error) {
	gs.b.log.Begin()
	defer gs.b.log.End()
	return gs.decideWithin(f)
}

// decideWithin is decide for who is between the log's Begin and End.
func (gs *groups) decideWithin(f func(g *group.Groups, now int64) group.Event) (end int64, err error) {
	gs.mu.Lock()
	defer gs.mu.Unlock()
	event := f(gs.g, gs.b.clock())
	if event == nil {
		return gs.b.wal.End(), nil
	}
	at, err := gs.b.log.Append(frameGroup, event.Append(nil))
	if err != nil {
		return 0, err
	}
	gs.g.Apply(event)
	gs.due()
	return at.End, nil
}

// forget appends a frame of a topic that was deleted, which goes for the groups'
// offsets too.
func (gs *groups) forget(kind uint8, deleted group.TopicDeleted, apply func()) (end int64, err error) {
	gs.b.log.Begin()
	defer gs.b.log.End()
	gs.mu.Lock()
	defer gs.mu.Unlock()
	at, err := gs.b.log.Append(kind, deleted.Topic[:])
	if err != nil {
		return 0, err
	}
	apply()
	gs.g.Apply(deleted)
	return at.End, nil
}

// expire lets offsets go that were kept long enough.
func (gs *groups) expire() error {
	gs.b.log.Begin()
	defer gs.b.log.End()
	gs.mu.Lock()
	defer gs.mu.Unlock()
	for _, event := range gs.g.DecideExpire(gs.b.clock()) {
		if _, err := gs.b.log.Append(frameGroup, event.Append(nil)); err != nil {
			return err
		}
		gs.g.Apply(event)
	}
	return nil
}

// look reads. What it returns depends on the log up to end.
func (gs *groups) look(f func(g *group.Groups, now int64)) (end int64) {
	gs.mu.Lock()
	defer gs.mu.Unlock()
	f(gs.g, gs.b.clock())
	return gs.b.wal.End()
}

// expiryEvery is how often it is looked for offsets that nobody wants any more.
const expiryEvery = 5 * time.Minute

// run lets time pass, until ctx ends.
func (gs *groups) run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	expiry := time.NewTicker(expiryEvery)
	defer expiry.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-gs.wake:
		case <-expiry.C:
			_ = gs.expire() // of a log that has failed, which is said where it does
		case <-timer.C:
			_, _ = gs.step(func(g *group.Groups, now int64) group.Step { // who waits is told of an error
				step, _ := g.Tick(now)
				return step
			})
		}
		timer.Reset(gs.rest())
	}
}

// rest is how long nothing is due.
func (gs *groups) rest() time.Duration {
	const longest = time.Minute
	gs.mu.Lock()
	defer gs.mu.Unlock()
	left := min(max(gs.g.Next()-gs.b.clock(), 0), longest.Milliseconds())
	return time.Duration(left) * time.Millisecond
}

func (gs *groups) snapshot(yield func([]byte) error) error {
	gs.mu.Lock()
	defer gs.mu.Unlock()
	for event := range gs.g.Snapshot() {
		if err := yield(event.Append(nil)); err != nil {
			return err
		}
	}
	return nil
}

func (gs *groups) replay(payload []byte) error {
	event, err := group.Read(payload)
	if err != nil {
		return err
	}
	gs.g.Apply(event)
	return nil
}
