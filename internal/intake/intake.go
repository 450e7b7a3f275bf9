// Package intake hands messages of a broker that settles each of them on its own
// to an inbox, several at a time, and settles them as [inbox.Settle] says. It is what
// the adapters to such brokers have in common, but for the broker.
//
// What comes again without having failed ([inbox.Settlement].Failed) is not given
// back: brokers count every delivery, and end those that come too often. It is held,
// unsettled, and handed to the inbox again. So is all that comes again from a broker
// that takes nothing back ([Options].Keep). A message that is held takes one of the
// places of Prefetch, but no handler is kept waiting by it.
package intake

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/inbox"
)

// shortest is how long a message that comes again is kept away at least: one that
// fails at once would come again without end, as fast as the machine can. One that is
// kept fails less and less often, but once in longest.
const (
	shortest = 100 * time.Millisecond
	longest  = 30 * time.Second
)

// Inbox takes in messages: an [inbox.Inbox].
type Inbox interface {
	Handle(ctx context.Context, m *hapax.Message) (hapax.Result, error)
}

// Delivery is one message as its broker delivered it. One of Ack, Back and Dead is
// called, once. An error of theirs means that the broker will deliver it again.
type Delivery interface {
	Message() *hapax.Message
	Ack() error
	// Back gives it back, to come again after s.After: if the broker cannot wait
	// by itself it waits first, but not when ctx has ended. s tells whether it failed,
	// and why is what the inbox said, if it was asked.
	Back(ctx context.Context, s inbox.Settlement, why error) error
	// Dead puts it where somebody looks.
	Dead(why error) error
}

// Options are those of an intake. The zero value is good.
type Options struct {
	Prefetch int           // messages that are taken and not settled (default: 64)
	Handlers int           // of them, those that are handled at once (default: 16, or Prefetch if less)
	Hold     time.Duration // how long a message is held before it is given back (default: 10 min)
	Drain    time.Duration // how long handlers may go on after the end (default: 30 s)
	Logger   *slog.Logger  // default: silent

	Keep     bool // the broker takes nothing back: hold what fails too, and for any time
	Attempts int  // with Keep: failed ones that make a dead letter (default: no limit)
}

// WithDefaults fills in defaults and reports what is wrong.
func (o Options) WithDefaults() (Options, error) {
	if o.Prefetch < 0 || o.Handlers < 0 || o.Hold < 0 || o.Drain < 0 || o.Attempts < 0 {
		return o, fmt.Errorf("prefetch %d, handlers %d, hold %v, drain %v, attempts %d: want none below zero",
			o.Prefetch, o.Handlers, o.Hold, o.Drain, o.Attempts)
	}
	if o.Prefetch == 0 {
		o.Prefetch = 64
	}
	if o.Prefetch > 1<<16-1 {
		return o, fmt.Errorf("prefetch %d: want at most 65535", o.Prefetch)
	}
	if o.Handlers == 0 {
		o.Handlers = min(16, o.Prefetch)
	}
	if o.Hold == 0 {
		o.Hold = 10 * time.Minute
	}
	if o.Drain == 0 {
		o.Drain = 30 * time.Second
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o, nil
}

// Intake is one run of a consumer, from [Begin] to [Intake.End].
type Intake struct {
	inbox Inbox
	o     Options

	taking  context.Context // ends when no more is to be taken
	stop    context.CancelFunc
	working context.Context // of handlers
	cancel  context.CancelFunc

	places   chan struct{} // one for each message that is taken and not settled
	handlers chan struct{} // one for each that is handled
	under    sync.WaitGroup

	mu    sync.Mutex
	pause time.Time // take nothing before
}

// Begin begins a run that ends with ctx, at the latest. The options have defaults.
func Begin(ctx context.Context, in Inbox, o Options) *Intake {
	k := &Intake{
		inbox: in, o: o,
		places: make(chan struct{}, o.Prefetch), handlers: make(chan struct{}, o.Handlers),
	}
	k.taking, k.stop = context.WithCancel(ctx)
	k.working, k.cancel = context.WithCancel(context.WithoutCancel(ctx))
	return k
}

// End returns when all that was taken is settled: handlers are let finish, for a
// while, and what is held is given back. A second End does nothing.
func (k *Intake) End() {
	k.stop()
	late := time.AfterFunc(k.o.Drain, k.cancel)
	k.under.Wait()
	late.Stop()
	k.cancel()
}

// Reserve waits until messages may be taken, and keeps from one to n places for them.
// The error is that of the run's context.
func (k *Intake) Reserve(n int) (int, error) {
	select {
	case k.places <- struct{}{}:
	case <-k.taking.Done():
		return 0, k.taking.Err()
	}
	if !k.resume() {
		k.Release(1)
		return 0, k.taking.Err()
	}
	for kept := 1; kept < n; kept++ {
		select {
		case k.places <- struct{}{}:
		default:
			return kept, nil
		}
	}
	return n, nil
}

// Release frees places that were reserved and are not needed.
func (k *Intake) Release(n int) {
	for range n {
		<-k.places
	}
}

// Take takes a delivery into a place that is reserved for it, and settles it in a
// while. The end of the run waits for it. When live ends its broker takes no
// settlement of it any more, and a handler that is at work is the last it gets.
func (k *Intake) Take(live context.Context, d Delivery) {
	k.under.Go(func() {
		defer k.Release(1)
		ctx, cancel := context.WithCancel(k.taking)
		defer cancel()
		defer context.AfterFunc(live, cancel)()
		if err := k.settle(ctx, d, d.Message()); err != nil {
			k.o.Logger.Warn("settle: the message will come again", "error", err)
		}
	})
}

// settle handles a message until it is known what to tell the broker, and tells it.
func (k *Intake) settle(ctx context.Context, d Delivery, m *hapax.Message) error {
	since, failures, pause := time.Now(), 0, shortest
	for {
		s, handled, err := k.handle(ctx, m)
		if !handled {
			return d.Back(ctx, inbox.Settlement{Action: inbox.Retry}, nil)
		}
		if s.Failed && k.o.Keep {
			if failures++; s.Action == inbox.Retry && failures == k.o.Attempts {
				s.Action = inbox.DeadLetter
			}
			s.After = max(s.After, pause)
			pause = min(2*pause, longest)
		}
		s.After = max(s.After, shortest)
		switch s.Action {
		case inbox.Ack:
			return d.Ack()
		case inbox.DeadLetter:
			k.o.Logger.Warn("message goes to the dead letters", "source", m.Position.Source, "offset", m.Position.Offset, "error", err)
			return d.Dead(err)
		case inbox.Stop:
			k.stopFor(s.After)
		}
		if !k.o.Keep && (s.Failed || time.Since(since)+s.After > k.o.Hold) {
			return d.Back(ctx, s, err)
		}
		if !Wait(ctx, s.After) {
			return d.Back(ctx, inbox.Settlement{Action: inbox.Retry}, err)
		}
	}
}

// handle hands a message to the inbox once a handler is free, unless ctx ends first.
// The error is what the inbox says of the message.
func (k *Intake) handle(ctx context.Context, m *hapax.Message) (s inbox.Settlement, handled bool, err error) {
	if ctx.Err() != nil {
		return s, false, nil
	}
	select {
	case k.handlers <- struct{}{}:
	case <-ctx.Done():
		return s, false, nil
	}
	defer func() { <-k.handlers }()
	r, err := k.inbox.Handle(k.working, m)
	return inbox.Settle(r, err), true, err
}

// stopFor lets no message be taken for a while.
func (k *Intake) stopFor(d time.Duration) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if until := time.Now().Add(d); until.After(k.pause) {
		k.pause = until
	}
}

// resume waits until messages may be taken. It returns false if the run ends first.
func (k *Intake) resume() bool {
	for {
		k.mu.Lock()
		left := time.Until(k.pause)
		k.mu.Unlock()
		if left <= 0 {
			return k.taking.Err() == nil
		}
		if !Wait(k.taking, left) {
			return false
		}
	}
}

// Wait waits for a while, and returns false if ctx ends first.
func Wait(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
