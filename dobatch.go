package hapax

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// BatchHandler does the work of several messages, those of a batch that are fresh, in the
// order of their requests.
//
// It may do all of it in few steps and return nil: then all are done. Or it may end one
// after the other by [Work.End], which tells of each whether it is done and keeps its
// receipt; what it returns is about those that it has not ended. If it returns an error,
// each of those is given to it again, alone: so one that fails takes no other along, and
// what was done of them before is done again.
//
// ctx ends when the caller's does, and with the cause [ErrLeaseLost] if one of those that
// it has not ended is lost.
type BatchHandler func(ctx context.Context, fresh []*Work) error

// Work is one message of a batch, while its handler has it.
type Work struct {
	Index int   // of its request
	Claim Claim // its token fences the work, as that of a [Handler]'s claim

	batch  *batch
	hold   *hold
	ctx    context.Context
	stop   func() (lost error)
	unhook func() bool // its loss does not end the others' context any more

	ended   bool
	settled bool
	receipt Receipt
	failure error
}

// Context is the caller's, ended with the cause [ErrLeaseLost] if this message's lease is
// lost.
func (w *Work) Context() context.Context { return w.ctx }

// End tells that the work of this message is done, with a receipt to keep, or that it
// failed. What is done is committed at the end of the batch, or a third of a lease after
// the last commit, whichever is earlier: End may wait for that. Only the first call
// counts. It is not called from several goroutines at once, for any works of a batch.
func (w *Work) End(receipt Receipt, failure error) {
	b := w.batch
	w.end(receipt, failure)
	if time.Since(b.settledAt) >= b.pace {
		b.settle()
	}
}

func (w *Work) end(receipt Receipt, failure error) {
	if !w.ended {
		w.unhook()
		w.ended, w.receipt, w.failure = true, receipt, failure
	}
}

// Done is what became of one message of a batch.
type Done struct {
	Result Result
	Err    error
}

// DoBatch is [Do] for several messages: it claims them together, runs the handler for
// those that are fresh, and commits them together. With a [BatchLedger] that is one
// round trip for the claims and one for the commits. What it returns is as long as
// requests, and in their order.
//
// The commit comes when all have been handled, or a third of a lease after the one
// before: if the process dies, effects of so long happen again, where with Do it is the
// effect of one message. Of two copies in one batch the second is Held.
//
// If the handler panics, what it has ended is committed, the rest is released, and the
// panic propagates.
func DoBatch(ctx context.Context, l Ledger, requests []Request, run BatchHandler) []Done {
	return Limits{}.DoBatch(ctx, l, requests, run)
}

// DoBatch is [DoBatch] with these limits. The time that a handler has, [Limits].Run, is
// that of the whole batch.
func (t Limits) DoBatch(ctx context.Context, l Ledger, requests []Request, run BatchHandler) []Done {
	b := &batch{ledger: inBatches(l), settling: context.WithoutCancel(ctx), done: make([]Done, len(requests))}
	b.claim(ctx, t, requests)
	if len(b.works) > 0 {
		b.execute(ctx, run)
	}
	return b.done
}

// batch is several messages on their way through [DoBatch].
type batch struct {
	ledger   BatchLedger
	settling context.Context // the caller's, without its end
	done     []Done
	works    []*Work // those that are fresh

	pace      time.Duration // from one commit to the next
	settledAt time.Time
}

// claim asks for all messages, and answers for those that are not fresh.
func (b *batch) claim(ctx context.Context, t Limits, requests []Request) {
	b.settledAt = time.Now()
	holds := make([]*hold, 0, len(requests)) // and for each:
	asked, places := make([]Request, 0, len(requests)), make([]int, 0, len(requests))
	for i, r := range requests {
		limits, err := t.withDefaults(r.Lease)
		if err != nil {
			b.done[i] = Done{Result{Outcome: Unanswered}, err}
			continue
		}
		holds = append(holds, &hold{ledger: b.ledger, limits: limits, lease: r.Lease, until: b.settledAt.Add(r.Lease)})
		asked, places = append(asked, r), append(places, i)
	}
	claims, errs := b.ledger.ClaimBatch(ctx, asked)
	for n, h := range holds {
		d := &b.done[places[n]]
		switch h.claim = claims[n]; {
		case errs[n] != nil:
			*d = Done{Result{Outcome: Unanswered}, fmt.Errorf("claim: %w", errs[n])}
		case h.claim.Verdict != Fresh:
			d.Result, d.Err = answered(h.claim, h.lease)
		default:
			if d.Err = h.late(b.settling); d.Err != nil {
				d.Result.Outcome = Lost
				continue
			}
			b.works = append(b.works, &Work{Index: places[n], Claim: h.claim, batch: b, hold: h})
			if b.pace == 0 || h.lease/3 < b.pace {
				b.pace = h.lease / 3
			}
		}
	}
}

// execute runs the handler and settles the claims by how it ended.
func (b *batch) execute(ctx context.Context, run BatchHandler) {
	all, lose := context.WithCancelCause(ctx)
	defer lose(nil)
	for _, w := range b.works {
		w.ctx, w.stop = w.hold.guard(ctx)
		w.unhook = context.AfterFunc(w.ctx, func() { lose(context.Cause(w.ctx)) })
	}
	failure := errAbandoned // should the handler panic, or call runtime.Goexit
	defer func() {
		for _, w := range b.works {
			w.end(nil, failure)
		}
		b.settle()
	}()
	err := run(all, b.works)
	left := b.open()
	if err != nil && len(b.works) > 1 {
		for _, w := range left {
			if cause := context.Cause(w.ctx); cause != nil {
				w.End(nil, errors.Join(err, cause))
			} else {
				w.End(nil, run(w.ctx, []*Work{w}))
			}
		}
	}
	failure = err
}

// errAbandoned stands for the error of a handler that did not return.
var errAbandoned = errors.New("hapax: the handler did not return")

// open are the works that the handler has not ended.
func (b *batch) open() (left []*Work) {
	for _, w := range b.works {
		if !w.ended {
			left = append(left, w)
		}
	}
	return left
}

// settle commits what is done, and releases what failed.
func (b *batch) settle() {
	b.settledAt = time.Now()
	var longest time.Duration // to wait for the ledger
	var good []*Work
	var claims []Claim
	var receipts []Receipt
	ended := make([]*Work, 0, len(b.works))
	for _, w := range b.works {
		if !w.ended || w.settled {
			continue
		}
		w.settled = true
		longest = max(longest, w.hold.limits.Settle)
		lost := w.stop()
		if lost == nil && w.failure == nil {
			good, claims, receipts = append(good, w), append(claims, w.hold.claim), append(receipts, w.receipt)
			continue
		}
		ended = append(ended, w)
		if lost != nil { // also if it returned nil: it may not have done all
			b.done[w.Index] = Done{Result{Outcome: Lost}, errors.Join(lost, w.failure)}
		}
	}
	ctx, cancel := context.WithTimeout(b.settling, longest)
	defer cancel()
	if len(good) > 0 {
		for i, err := range b.ledger.CommitBatch(ctx, claims, receipts) {
			if err != nil {
				err = fmt.Errorf("commit: %w", err)
			}
			d := &b.done[good[i].Index]
			d.Result, d.Err = good[i].hold.committed(ctx, receipts[i], err)
		}
	}
	for _, w := range ended {
		if d := &b.done[w.Index]; d.Result.Outcome == Lost {
			_ = w.hold.release(ctx)
		} else {
			d.Result, d.Err = w.hold.failed(ctx, w.failure)
		}
	}
}

// inBatches is l, one by one if it takes no batches.
func inBatches(l Ledger) BatchLedger {
	if b, ok := l.(BatchLedger); ok {
		return b
	}
	return oneByOne{l}
}

// oneByOne makes a batch of any ledger's calls, and saves nothing by it.
type oneByOne struct{ Ledger }

func (o oneByOne) ClaimBatch(ctx context.Context, requests []Request) ([]Claim, []error) {
	claims, errs := make([]Claim, len(requests)), make([]error, len(requests))
	for i, r := range requests {
		claims[i], errs[i] = o.Claim(ctx, r)
	}
	return claims, errs
}

func (o oneByOne) CommitBatch(ctx context.Context, claims []Claim, receipts []Receipt) []error {
	errs := make([]error, len(claims))
	for i, c := range claims {
		errs[i] = o.Commit(ctx, c, receipts[i])
	}
	return errs
}
