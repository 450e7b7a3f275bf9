package inbox

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/internal/handling"
)

// Inbox takes in messages for one handler. It is made by [Transaction] (with more
// methods), [Lease], [AtMostOnce] or [AtLeastOnce]; all methods may be called from
// several goroutines at once. It starts none of its own but the one that extends a
// lease while its handler runs.
type Inbox struct {
	o         Options
	guarantee Guarantee
	naming    naming
	logger    *slog.Logger

	// one handles a message that is neither known in memory nor blocked.
	one func(ctx context.Context, d *delivery) (hapax.Result, error)
	// many does so with several at once, and tells those that it left; nil: one by one.
	many func(ctx context.Context, ds []*delivery) (left []*delivery)

	// isMarked asks the store about a mark, of marks that are one a source.
	isMarked func(ctx context.Context, m hapax.Mark) bool

	operator hapax.Operator // the store, if it is one

	committed *committed
	lanes     lanes
	outage    outage
	failing   failing
	tally     tally

	mu      sync.Mutex
	closed  bool
	running sync.WaitGroup // deliveries under way; added to under mu, before closed
}

// Handled is what became of one message of a batch.
type Handled struct {
	Result hapax.Result
	Err    error
}

// newInbox is an inbox but for what it does with a message. The store is named in
// the log.
func newInbox(g Guarantee, o Options, store any) (*Inbox, error) {
	if err := o.validate(g); err != nil {
		return nil, fmt.Errorf("inbox %q, %v: %w", o.Name, g, err)
	}
	in := &Inbox{o: o, guarantee: g, logger: o.Logger, committed: newCommitted(o.Committed)}
	if in.logger == nil {
		in.logger = slog.New(slog.DiscardHandler)
	}
	in.outage.origin = time.Now()
	in.operator, _ = store.(hapax.Operator)
	if g == AtLeast {
		in.logger.Info("inbox: ready", "name", o.Name, "guarantee", g.String())
		return in, nil
	}
	var err error
	if in.naming, err = newNaming(&o); err != nil {
		return nil, fmt.Errorf("inbox %q: %w", o.Name, err)
	}
	in.logger.Info("inbox: ready", "name", o.Name, "guarantee", g.String(), "identity", in.naming.spec,
		"window", windowText(o.Window), "store", fmt.Sprintf("%T", store), "duplicates", o.Duplicates.String(),
		"missing", o.Missing.String(), "store down", o.StoreDown.String())
	if o.Window < o.Redelivery {
		in.logger.Warn("inbox: marks are forgotten before the broker stops delivering again: copies that come later run again",
			"name", o.Name, "window", o.Window.String(), "redelivery", windowText(o.Redelivery))
	}
	return in, nil
}

func windowText(d time.Duration) string {
	if d == Forever {
		return "forever"
	}
	return d.String()
}

// Guarantee is what the inbox promises.
func (in *Inbox) Guarantee() Guarantee { return in.guarantee }

// Name is that of the handler, and the scope of its marks.
func (in *Inbox) Name() string { return in.o.Name }

// Handle takes in one message, and returns when it is known what became of it:
// [Settle] tells what to do with the delivery. The handler runs in the caller's
// goroutine; if it panics, so does Handle, with nothing kept. The message is only
// read, and not kept.
//
// The [hapax.Outcome] says what happened; beside it the error says why, and is nil
// for Executed and Replayed, but for a receipt that was too large to keep
// ([hapax.ErrReceiptSize]) and for copies that could not be given on.
//
// In transactions, messages that are known by a number, which are those of
// [ByPosition] and of a sequence, must come in order, one at a time, from each source
// or producer: marks of such messages are one high-water mark, and a message that was
// overtaken would look like a copy. One that has to come again holds back those behind
// it ([hapax.Held]) until it was handled, or is given up by [Inbox.Skip].
func (in *Inbox) Handle(ctx context.Context, m *hapax.Message) (hapax.Result, error) {
	d := in.receive(ctx, m)
	defer in.tell(d)
	if d.entered && in.prepare(d) {
		in.run(d, in.one)
	}
	return d.result, d.err
}

// HandleBatch takes in messages in their order, and says of each what became of
// it. What fails for one is no failure of the others.
//
// It is Handle of one after the other, with the same outcomes, but for an inbox with
// [Batched], which marks and handles them together; and for [Lease] and [AtMostOnce]
// over a [hapax.BatchLedger], which claim and commit them together, in one round trip
// each: what a crash leaves is then of several messages, as they say.
func (in *Inbox) HandleBatch(ctx context.Context, ms []*hapax.Message) []Handled {
	ended := make([]Handled, len(ms))
	if in.many == nil || len(ms) < 2 {
		for i, m := range ms {
			ended[i].Result, ended[i].Err = in.Handle(ctx, m)
		}
		return ended
	}
	ds := make([]*delivery, len(ms))
	for i, m := range ms {
		ds[i] = in.receive(ctx, m)
	}
	defer func() {
		for _, d := range ds {
			in.tell(d)
		}
	}()
	in.handleMany(ctx, ds)
	for i, d := range ds {
		ended[i] = Handled{d.result, d.err}
	}
	return ended
}

// Close takes in no more messages, and returns when what was under way has ended:
// claims of handlers that run stay theirs until then. It closes no ledger and no
// database, and a second Close waits too. A handler must not call it.
func (in *Inbox) Close() error {
	in.mu.Lock()
	in.closed = true
	in.mu.Unlock()
	in.running.Wait()
	return nil
}

// enter notes that work begins, and reports false once the inbox is closed.
func (in *Inbox) enter() bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	if !in.closed {
		in.running.Add(1)
	}
	return !in.closed
}

// handleMany takes all to their ends, in their order: together what can be, the rest
// one by one.
func (in *Inbox) handleMany(ctx context.Context, ds []*delivery) {
	together := make([]*delivery, 0, len(ds))
	handle := func() {
		for _, left := range in.many(ctx, together) {
			in.run(left, in.one)
		}
		together = together[:0]
	}
	for _, d := range ds {
		switch {
		case !d.entered || !in.prepare(d):
		case d.unmarked() || in.blocked(d):
			handle() // what came before d
			in.run(d, in.one)
		default:
			together = append(together, d)
		}
	}
	handle()
}

func (in *Inbox) blocked(d *delivery) bool {
	_, blocked := in.lanes.before(d.lane)
	return blocked
}

// prepare names the message and looks it up in memory. It returns false if d has
// come to its end by that.
func (in *Inbox) prepare(d *delivery) bool {
	var err error
	if d.name, err = in.nameOf(d.message); err != nil {
		d.end(hapax.Result{Outcome: hapax.Nameless}, err)
		return false
	}
	if receipt, ok := in.committed.find(d.key, d.digest, d.began); ok && !d.unmarked() {
		d.cached = true
		in.conclude(d, hapax.Result{Outcome: hapax.Replayed, Receipt: receipt}, nil)
		return false
	}
	return true
}

// run handles a message that is prepared by one.
func (in *Inbox) run(d *delivery, one func(context.Context, *delivery) (hapax.Result, error)) {
	if in.heldBack(d) {
		d.end(hapax.Result{Outcome: hapax.Held}, fmt.Errorf("a message before it has to come first: %w",
			&hapax.InFlightError{RetryAfter: shortPause}))
		in.lanes.settled(d)
		return
	}
	r, err := one(d, d)
	for pause := firstLook; r.Outcome == hapax.Held && in.waits(d, pause); pause = min(2*pause, lastLook) {
		r, err = one(d, d)
	}
	in.conclude(d, r, err)
}

// How often a copy looks whether the one before it is done.
const (
	firstLook = 10 * time.Millisecond
	lastLook  = time.Second
)

// waits waits for so long, unless that is longer than a copy should.
func (in *Inbox) waits(d *delivery, pause time.Duration) bool {
	if d.joined || time.Since(d.began)+pause > in.o.Wait {
		return false
	}
	select {
	case <-time.After(pause):
		return true
	case <-d.Context.Done():
		return false
	}
}

// heldBack tells whether a message before d has to come again. That may be over, if
// it was handled elsewhere meanwhile, or was a copy: the store knows.
func (in *Inbox) heldBack(d *delivery) bool {
	for {
		first, blocked := in.lanes.before(d.lane)
		if blocked && first.lane.of == "" {
			d.lane = lane{} // there is no room for it to be waited for
		}
		if !blocked || first.lane.of == "" || !in.isMarked(d.Context, first.mark) {
			return blocked
		}
		in.lanes.done(first.lane)
	}
}

// Skip says that m will not come again though it was to, for the caller has put it
// aside: after too many attempts, say. Messages by number that were held back behind
// it may go on.
func (in *Inbox) Skip(m *hapax.Message) {
	if n, err := in.nameOf(m); err == nil {
		in.lanes.done(n.lane)
	}
}

// conclude ends d as its guarantee said, after what follows for copies, for the
// memory and for those behind it.
func (in *Inbox) conclude(d *delivery, r hapax.Result, err error) {
	switch r.Outcome {
	case hapax.Executed, hapax.Replayed:
		in.remember(d, r, err)
	case hapax.Doubtful:
		err = Later(in.o.Lease, err)
	case hapax.Failed:
		if errors.Is(d.Context.Err(), context.Canceled) { // the caller stops: no failed attempt
			err = Later(0, err)
		} else {
			err = in.failed(d, r, err)
		}
	case hapax.Lost:
		err = in.failed(d, r, err)
	}
	if r.Outcome == hapax.Unanswered {
		err = Later(in.outage.pause(), err)
	} else {
		in.outage.end()
	}
	if r.Outcome == hapax.Replayed {
		r, err = in.o.Duplicates.answer(d.Context, d.message, r.Receipt)
	}
	d.end(r, err)
	if a := Settle(r, err).Action; a == Ack || a == DeadLetter {
		in.failing.end(d)
	}
	in.lanes.settled(d)
}

// remember keeps in memory that d is committed. Its mark was made after d began, if
// it is of this delivery; of what was found to be a copy nobody knows since when it
// is marked, and memory may be late by 1/128 of the window, as all windows may.
func (in *Inbox) remember(d *delivery, r hapax.Result, err error) {
	if in.committed == nil || d.cached || d.joined || d.unmarked() {
		return
	}
	e := remembered{digest: d.digest}
	if in.o.Duplicates.replay && err == nil {
		e.receipt = r.Receipt
	}
	switch window := in.o.Window; {
	case window == Forever:
		e.until = d.began.AddDate(100, 0, 0)
	case r.Outcome == hapax.Executed:
		e.until = d.began.Add(window)
	default:
		e.until = time.Now().Add(window / 128)
	}
	in.committed.add(d.key, e)
}

// Identity is the identity of m as the inbox reads it, such as to look for its mark.
// It is nil under [AtLeastOnce], and of a message that is let pass without one.
func (in *Inbox) Identity(m *hapax.Message) (hapax.Identity, error) {
	n, err := in.nameOf(m)
	return n.identity, err
}

// ChildID is [ChildID] of any message, for handlers of several at once. It is empty
// where [Inbox.Identity] is nil.
func (in *Inbox) ChildID(m *hapax.Message, step string) (string, error) {
	n, err := in.nameOf(m)
	if err != nil {
		return "", err
	}
	return n.ChildID(step), nil
}

func (in *Inbox) nameOf(m *hapax.Message) (name, error) {
	if in.guarantee == AtLeast {
		return name{}, nil
	}
	n, err := in.naming.of(hapax.Scope(in.o.Name), m)
	if in.guarantee != Transacted {
		n.lane = lane{} // ledgers remember each message by itself
	}
	return n, err
}

// ChildID derives the id of a message that the handler sends out from the one it
// handles, so that a run that comes again sends the same ids, and whoever receives
// them can drop copies. ctx is the handler's; step names the message among those of
// one run, and must not depend on time or chance. Handlers of other names derive
// other ids. It is empty outside of a handler of one message, under [AtLeastOnce],
// and for a message that is let pass without an identity.
func ChildID(ctx context.Context, step string) string {
	d, ok := ctx.Value(handling.Message{}).(*delivery)
	if !ok {
		return ""
	}
	return d.ChildID(step)
}
