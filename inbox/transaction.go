package inbox

import (
	"context"
	"errors"
	"fmt"

	"github.com/hapaxmq/hapax"
)

// TxHandler does the work of one message in tx, which it must neither commit nor
// roll back. What it returns as receipt is kept with the mark; nil keeps none. It may
// be called again for one message, in a new transaction, when the database asks for
// it: what it does outside of tx happens again then.
type TxHandler[T any] func(ctx context.Context, tx T, m *hapax.Message) (hapax.Receipt, error)

// TxOption is for [Transaction] only.
type TxOption[T any] func(*transaction[T])

// Batched lets [Inbox.HandleBatch] mark messages with one statement, and give those
// that are fresh to h together, in their order, in one transaction. If h fails, or
// the commit does, nothing of it is kept, and each is handled alone: by the
// [TxHandler], with a transaction of its own, so that one that fails does not mark
// the others. A batch keeps no receipts.
func Batched[T any](h func(ctx context.Context, tx T, fresh []*hapax.Message) error) TxOption[T] {
	return func(t *transaction[T]) { t.batch = h }
}

// TxInbox is an [Inbox] whose handler works in the user's transactions.
type TxInbox[T any] struct {
	*Inbox

	t *transaction[T]
}

// Transaction makes the inbox of a handler whose effect is rows in a database. In one
// transaction the message is marked, the handler runs, and its receipt is kept; then
// all of it is committed.
//
// Guarantee: once. Mark, effect, receipt and what the handler puts into an outbox
// are there together or not at all, so a copy finds the mark if and only if the
// effect is there. It is exactly once for what is in the transaction, and at least
// once for everything else a handler does: call nobody else from it, or give them
// ids by [ChildID].
//
// Crash: before the commit the database rolls back, and the next copy runs at once,
// for no claim stays behind. After the commit copies are duplicates. If the
// connection is lost while it is committing, a second transaction asks for the
// mark, which waits for the first to end; the message runs again in it if the mark
// is not there. If nobody can be asked the outcome is [hapax.Doubtful].
//
// What voids it: marks that are deleted inside the redelivery horizon; a handler
// that commits by itself; a database that acknowledges commits which it then loses,
// such as a fail-over to a replica that was behind.
func Transaction[T any](marks hapax.Marks[T], o Options, h TxHandler[T], more ...TxOption[T]) (*TxInbox[T], error) {
	if marks == nil || h == nil {
		return nil, errors.New("inbox: want marks and a handler")
	}
	in, err := newInbox(Transacted, o, marks)
	if err != nil {
		return nil, err
	}
	if o, ok := marks.(Ordered); ok && o.Ordered() {
		if !in.naming.numbers() {
			return nil, fmt.Errorf("inbox %q: the marks are by number, and identity %q is none: want %q or a sequence",
				in.o.Name, in.naming.spec, ByPosition)
		}
		in.naming.digests = false // a mark for many messages can't compare them
	}
	t := &transaction[T]{inbox: in, marks: marks, run: h}
	for _, option := range more {
		option(t)
	}
	in.one, in.isMarked = t.handle, t.isMarked
	if t.batch != nil {
		in.many = t.handleBatch
	}
	return &TxInbox[T]{Inbox: in, t: t}, nil
}

// HandleIn takes in a message in a transaction of the caller's, to commit with what
// else the caller does in it: [hapax.Executed] is true once the caller has committed.
// On Passed the handler ran, without a mark. On Replayed, Conflicted, Outdated,
// Nameless and Held nothing was done, and tx can be used as before. On every other
// outcome roll back, or the mark is committed without its effect.
//
// Nothing that is found in tx goes into the memory of [Options].Committed.
func (in *TxInbox[T]) HandleIn(ctx context.Context, tx T, m *hapax.Message) (hapax.Result, error) {
	d := in.receive(ctx, m)
	defer in.tell(d)
	d.joined = true
	if d.entered && in.prepare(d) {
		in.run(d, func(ctx context.Context, d *delivery) (hapax.Result, error) {
			a := in.t.attempt(d)
			return a.ended(a.work(ctx, tx))
		})
	}
	return d.result, d.err
}

// transaction is what [Transaction] does with messages.
type transaction[T any] struct {
	inbox *Inbox
	marks hapax.Marks[T]
	run   TxHandler[T]
	batch func(ctx context.Context, tx T, fresh []*hapax.Message) error // nil: none
}

// handle handles one message in a transaction of its own.
func (t *transaction[T]) handle(ctx context.Context, d *delivery) (hapax.Result, error) {
	a := t.attempt(d)
	if d.unknown != nil {
		return t.resolve(ctx, a, d.unknown)
	}
	err := t.marks.Transact(ctx, a.work)
	if a.reached == worked && errors.Is(err, hapax.ErrUnknown) {
		return t.resolve(ctx, a, err)
	}
	return a.ended(err)
}

// isMarked asks about a mark, and leaves it as it is. Without an answer it is none.
func (t *transaction[T]) isMarked(ctx context.Context, m hapax.Mark) bool {
	one := []hapax.Mark{m}
	_ = t.marks.Transact(ctx, func(ctx context.Context, tx T) error {
		one[0] = m
		if err := t.marks.Mark(ctx, tx, one); err != nil {
			one[0].Verdict = 0
			return err
		}
		return errAnswered
	})
	return one[0].Verdict == hapax.Duplicate
}
