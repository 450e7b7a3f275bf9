package watermill

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/inbox"
)

// Deduplicator lets handlers of Watermill take in each message once, but for a crash
// between effect and commit, as [inbox.Lease] says. One may serve several
// handlers of a router: each has marks of its own, by its name in the router.
type Deduplicator struct {
	ledger hapax.Ledger
	o      Options

	mu      sync.Mutex
	inboxes map[string]*inbox.Inbox // by handler
}

// Options are those of the handlers' inboxes. Name and Window are required. Name, a
// slash and the handler's name in the router are the scope of its marks. The default of Identity is the
// message's UUID; of Duplicates, what a copy is answered with, [inbox.Replay]. Without the
// first run's receipt, as with [inbox.Route], what it produced is not published
// again.
type Options struct {
	inbox.Options

	// MaxProduced bounds what one run produces, payloads, metadata and a few bytes for
	// each (default 65,536, which is what ledgers keep as a receipt unless told
	// otherwise). A handler that produces more has failed, since what it produced
	// could be lost; let it publish by itself then.
	MaxProduced int
}

// NewDeduplicator makes a deduplicator over a ledger, which stays the caller's.
func NewDeduplicator(l hapax.Ledger, o Options) (*Deduplicator, error) {
	if o.Identity == "" && o.Identify == nil {
		o.Identity = "header:" + UUIDHeader
	}
	if o.Duplicates.String() == inbox.Drop().String() {
		o.Duplicates = inbox.Replay()
	}
	if o.MaxProduced == 0 {
		o.MaxProduced = 64 << 10
	}
	if o.MaxProduced < 0 {
		return nil, fmt.Errorf("watermill: produced messages of %d bytes at most: want none below zero", o.MaxProduced)
	}
	d := &Deduplicator{ledger: l, o: o, inboxes: make(map[string]*inbox.Inbox)}
	trial := o.Options
	trial.Logger = slog.New(slog.DiscardHandler)
	if _, err := inbox.Lease(l, trial, d.work); err != nil {
		return nil, fmt.Errorf("watermill: %w", err)
	}
	return d, nil
}

// Middleware is a [message.HandlerMiddleware]. Put it after middlewares that retry and
// that take poisonous messages, so that those see its errors.
func (d *Deduplicator) Middleware(h message.HandlerFunc) message.HandlerFunc {
	return func(msg *message.Message) ([]*message.Message, error) {
		in, err := d.inbox(message.HandlerNameFromCtx(msg.Context()))
		if err != nil {
			return nil, err
		}
		run := &run{handler: h, message: msg}
		r, err := in.Handle(context.WithValue(msg.Context(), runKey{}, run), Message(msg))
		if err := settle(msg.Context(), r, err); err != nil {
			return nil, err
		}
		if r.Outcome == hapax.Replayed {
			return decode(r.Receipt)
		}
		return run.produced, nil
	}
}

// Stats are those of the inbox of a handler of the router.
func (d *Deduplicator) Stats(handler string) inbox.Stats {
	d.mu.Lock()
	defer d.mu.Unlock()
	if in := d.inboxes[handler]; in != nil {
		return in.Stats()
	}
	return inbox.Stats{}
}

// inbox is that of a handler of the router.
func (d *Deduplicator) inbox(handler string) (*inbox.Inbox, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if in := d.inboxes[handler]; in != nil {
		return in, nil
	}
	o := d.o.Options
	if handler != "" {
		o.Name += "/" + handler
	}
	in, err := inbox.Lease(d.ledger, o, d.work)
	if err != nil {
		return nil, fmt.Errorf("watermill: %w", err)
	}
	d.inboxes[handler] = in
	return in, nil
}

// run is the handling of one message by one handler, which the inbox finds in the
// context.
type run struct {
	handler  message.HandlerFunc
	message  *message.Message
	produced []*message.Message
}

type runKey struct{}

// work runs the handler of Watermill. Its message's context is that of the claim
// meanwhile, and so ends if the lease is lost.
func (d *Deduplicator) work(ctx context.Context, _ hapax.Claim, _ *hapax.Message) (hapax.Receipt, error) {
	run := ctx.Value(runKey{}).(*run)
	outer := run.message.Context()
	run.message.SetContext(ctx)
	defer run.message.SetContext(outer)
	produced, err := run.handler(run.message)
	if err != nil {
		return nil, err
	}
	receipt := encode(produced)
	if len(receipt) > d.o.MaxProduced {
		return nil, fmt.Errorf("watermill: the handler produced %d bytes, of at most %d: let it publish by itself, or set MaxProduced",
			len(receipt), d.o.MaxProduced)
	}
	run.produced = produced
	return receipt, nil
}

// Close closes the inboxes: it returns when what was under way has ended.
func (d *Deduplicator) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	var errs []error
	for _, in := range d.inboxes {
		errs = append(errs, in.Close())
	}
	return errors.Join(errs...)
}
