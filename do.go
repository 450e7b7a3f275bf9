package hapax

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Handler does the work of one message. c.Token fences it: it rises with every
// claim of the identity, so a resource that remembers the highest token seen
// can refuse a holder that was overtaken. The receipt is kept and given to
// duplicates; it must not be changed after the handler returned.
//
// ctx ends when the caller's does, and with the cause [ErrLeaseLost] shortly
// before the lease ends if it can't be extended: from then on another holder
// may run the same work, and nothing of this run will be committed. A handler
// that passes ctx on to what it calls needs to do nothing else.
type Handler func(ctx context.Context, c Claim) (Receipt, error)

// Result is what became of one [Do].
type Result struct {
	Outcome Outcome
	Receipt Receipt // of this run if Executed, of the first one if Replayed
}

// Outcome says what became of a message. Beside it stands what a broker adapter
// does with the delivery.
type Outcome uint8

const (
	// Executed: the handler ran and its receipt is committed. Acknowledge.
	Executed Outcome = iota + 1
	// Replayed: a copy was committed before; its receipt is given. Acknowledge.
	Replayed
	// Held: another holder has a live claim ([*InFlightError]). Give the message
	// back, to come again after RetryAfter. It is neither an error to log nor
	// a failed attempt.
	Held
	// Conflicted: the identity came before with another payload ([ErrConflict]).
	// To the dead letters: another try will not help.
	Conflicted
	// Failed: the handler returned the error, and the claim was released. Give
	// the message back; this was a failed attempt.
	Failed
	// Lost: the lease did not last ([ErrLeaseLost]), and nothing was committed.
	// The handler may have had its effect, and another holder may be at it now.
	// Give the message back.
	Lost
	// Doubtful: the handler succeeded, but its commit failed or may have failed
	// ([ErrUnknown], or what the ledger said). The claim was left to its lease.
	// Never acknowledge: give the message back, to come again after the lease.
	Doubtful
	// Unanswered: the request is invalid, or the ledger could not be asked. The
	// handler did not run. Stop taking messages, and ask again later.
	Unanswered

	// The outcomes below are those of package inbox; Do has none of them.

	// Passed: the handler ran without a mark, for the message has no identity or
	// the ledger could not be asked, and the settings say to go on. Acknowledge.
	Passed
	// Nameless: the message has no identity that can be read ([ErrMissing],
	// [ErrMalformed]). To the dead letters: another try will not help.
	Nameless
	// Outdated: the message's number or time is before what can be told ([ErrStale]).
	// It may be a copy, or a first one that came very late. To the dead letters.
	Outdated
	// Forfeited: the handler failed after the message was marked, as it is where a
	// handler runs at most once. It will not run again. To the dead letters.
	Forfeited
)

var outcomes = [...]string{
	Executed: "executed", Replayed: "replayed", Held: "held", Conflicted: "conflicted",
	Failed: "failed", Lost: "lost", Doubtful: "doubtful", Unanswered: "unanswered",
	Passed: "passed", Nameless: "nameless", Outdated: "outdated", Forfeited: "forfeited",
}

func (o Outcome) String() string {
	if o > 0 && int(o) < len(outcomes) {
		return outcomes[o]
	}
	return fmt.Sprintf("Outcome(%d)", uint8(o))
}

// Limits bounds what [Do] does in time. The zero value is good: a field that is
// zero stands for its default.
type Limits struct {
	// Run is how long the lease is extended at most, counted from the claim
	// (default: one hour, at least the lease). A handler that hangs loses its
	// lease at most one lease later.
	Run time.Duration
	// Margin is how long before the end of a lease that can't be extended the
	// handler's context is cancelled: the time it gets to stop, and what clocks
	// may run apart in one lease (default: a tenth of the lease, at most half).
	Margin time.Duration
	// Settle bounds the commit or release after the handler, which goes on
	// when the caller's context has ended (default: the lease).
	Settle time.Duration
}

// Do runs the handler once for all copies of a message: it claims the identity,
// runs the handler in the caller's goroutine, and commits the claim with the
// handler's receipt. While the handler runs, the lease is extended every third
// of its length, so the work may take longer than the lease. If the handler
// fails, panics or calls [runtime.Goexit], the claim is released, and the next
// copy runs at once; a panic propagates.
//
// The effect and the commit are two steps. If the process dies between them, or
// if the lease is lost while the handler works, the next copy runs again.
// Within a lease that holds, no two runs overlap.
//
// The error is nil for Replayed, and for Executed but if the receipt was too large
// for the ledger ([ErrReceiptSize]): then the message is done, and copies get no
// receipt. It is wrapped, so test it with
// [errors.Is] and [errors.As]; the handler's own error is returned as it is,
// unless the release failed too. The [Outcome] tells more than the error: a
// handler that uses a ledger itself can return any of these errors.
//
// Do may be called from several goroutines at once. It starts one where a handler works
// for longer than a third of the lease, which has ended when Do returns.
func Do(ctx context.Context, l Ledger, r Request, run Handler) (Result, error) {
	return Limits{}.Do(ctx, l, r, run)
}

// Do is [Do] with these limits.
func (t Limits) Do(ctx context.Context, l Ledger, r Request, run Handler) (Result, error) {
	t, err := t.withDefaults(r.Lease)
	if err != nil {
		return Result{Outcome: Unanswered}, err
	}
	asked := time.Now()
	c, err := l.Claim(ctx, r)
	if err != nil {
		return Result{Outcome: Unanswered}, fmt.Errorf("claim: %w", err)
	}
	if c.Verdict != Fresh {
		return answered(c, r.Lease)
	}
	h := &hold{ledger: l, limits: t, lease: r.Lease, claim: c, until: asked.Add(r.Lease)}
	return h.execute(ctx, run)
}

// answered is the result of a claim that is not fresh.
func answered(c Claim, lease time.Duration) (Result, error) {
	switch c.Verdict {
	case Duplicate:
		return Result{Outcome: Replayed, Receipt: c.Receipt}, nil
	case InFlight:
		// The deadline is told by the ledger's clock, and ours may be off: no
		// copy is held back for longer than a lease.
		left := min(max(time.Until(c.Deadline), 0), lease)
		return Result{Outcome: Held}, &InFlightError{RetryAfter: left}
	case Conflict:
		return Result{Outcome: Conflicted}, fmt.Errorf("claim: %w", ErrConflict)
	default:
		return Result{Outcome: Unanswered}, fmt.Errorf("claim: the ledger answered %v, which is no answer to a claim", c.Verdict)
	}
}

// Validate reports the first thing that is wrong with t beside such a lease.
func (t Limits) Validate(lease time.Duration) error {
	_, err := t.withDefaults(lease)
	return err
}

func (t Limits) withDefaults(lease time.Duration) (Limits, error) {
	switch {
	case lease <= 0:
		return t, fmt.Errorf("claim: lease %v: want one above zero", lease)
	case t.Run < 0 || t.Margin < 0 || t.Settle < 0:
		return t, fmt.Errorf("claim: limits %+v: want none below zero", t)
	case t.Margin > lease/2:
		return t, fmt.Errorf("claim: margin %v: want at most half of the lease, %v", t.Margin, lease)
	}
	if t.Run == 0 {
		t.Run = max(time.Hour, lease)
	}
	if t.Margin == 0 {
		t.Margin = lease / 10
	}
	if t.Settle == 0 {
		t.Settle = lease
	}
	return t, nil
}

// hold is a claim of ours, from the ledger's answer until it is committed or
// released. The lease is timed by this process's monotonic clock, from before
// the question, so it never seems to last longer than it does, whatever either
// wall clock shows.
//
// While the handler runs, claim and until belong to the keeper's beats; before and
// after, to the caller.
type hold struct {
	ledger Ledger
	limits Limits
	lease  time.Duration
	claim  Claim     // as last extended
	until  time.Time // when the lease ends at the earliest
}

// execute runs the handler and settles the claim by how it ended.
func (h *hold) execute(ctx context.Context, run Handler) (Result, error) {
	settling := context.WithoutCancel(ctx)
	if err := h.late(settling); err != nil {
		return Result{Outcome: Lost}, err
	}
	receipt, failure, lost := h.work(ctx, run)
	switch {
	case lost != nil:
		// A handler told to stop may return nil without having done all.
		_ = h.release(settling)
		return Result{Outcome: Lost}, errors.Join(lost, failure)
	case failure != nil:
		return h.failed(settling, failure)
	}
	return h.committed(settling, receipt, h.commit(settling, receipt))
}

// late gives back a claim whose answer took so long that no time is left to work.
func (h *hold) late(ctx context.Context) error {
	if time.Until(h.until) > h.limits.Margin {
		return nil
	}
	_ = h.release(ctx)
	return fmt.Errorf("claim: answered too late: %w", ErrLeaseLost)
}

// failed releases the claim of a handler that returned an error.
func (h *hold) failed(ctx context.Context, failure error) (Result, error) {
	if err := h.release(ctx); err != nil {
		failure = errors.Join(failure, err)
	}
	return Result{Outcome: Failed}, failure
}

// committed is the result of a handler that succeeded, whose commit ended with err.
func (h *hold) committed(ctx context.Context, receipt Receipt, err error) (Result, error) {
	// No release after a commit that failed: it may have happened after all.
	var refused error
	if errors.Is(err, ErrReceiptSize) { // the effect has happened, and must not again
		refused, err = err, h.commit(ctx, nil)
	}
	switch {
	case err == nil:
		return Result{Outcome: Executed, Receipt: receipt}, refused
	case errors.Is(err, ErrLeaseLost):
		return Result{Outcome: Lost}, err
	default:
		return Result{Outcome: Doubtful}, err
	}
}

// work runs the handler while the lease is extended. failure is the handler's
// error, lost why its lease did not last.
func (h *hold) work(ctx context.Context, run Handler) (receipt Receipt, failure, lost error) {
	claim := h.claim
	working, stop := h.guard(ctx)
	returned := false
	defer func() {
		if lost = stop(); !returned { // a panic or runtime.Goexit, which goes on from here
			_ = h.release(context.WithoutCancel(ctx))
		}
	}()
	receipt, failure = run(working, claim)
	returned = true
	return receipt, failure, nil
}

// guard extends the lease until stop is called, which tells why it was lost if it was.
// The context is ctx, ended if it is lost.
func (h *hold) guard(ctx context.Context) (working context.Context, stop func() (lost error)) {
	k := &keeper{hold: h, every: max(h.lease/3, 1), last: h.until.Add(h.limits.Run - h.lease), turn: make(chan struct{}, 1)}
	k.lease, k.end = context.WithCancelCause(context.WithoutCancel(ctx))
	working, cancel := context.WithCancelCause(ctx)
	unhook := context.AfterFunc(k.lease, func() { cancel(context.Cause(k.lease)) })
	k.ring(ErrLeaseLost)
	k.beats = time.AfterFunc(k.every, k.beat)
	k.turn <- struct{}{}
	return working, func() error {
		unhook()
		defer cancel(nil)
		return k.leave()
	}
}

// keeper extends the lease of a handler that works, every third of its length, and ends
// the handler's context where that fails for too long. It is two timers, so that a handler
// which is quicker waits for no goroutine. The alarm rings beside a beat: an Extend that
// hangs does not delay it.
type keeper struct {
	hold  *hold
	every time.Duration
	last  time.Time       // nothing is extended from then on
	lease context.Context // ends when it is lost, or the handler was left
	end   context.CancelCauseFunc

	turn         chan struct{} // of a beat, or leave: who took it may use hold, and what follows
	beats, alarm *time.Timer
}

// leave ends all of it, and tells why the lease was lost if it was.
func (k *keeper) leave() (lost error) {
	k.end(nil)
	<-k.turn
	k.beats.Stop()
	k.alarm.Stop()
	k.turn <- struct{}{}
	if cause := context.Cause(k.lease); errors.Is(cause, ErrLeaseLost) {
		return cause
	}
	return nil
}

// ring loses the lease when it is about to end.
func (k *keeper) ring(why error) {
	k.alarm = time.AfterFunc(time.Until(k.hold.until)-k.hold.limits.Margin, func() { k.end(why) })
}

// beat extends the lease, and sees to the next beat.
func (k *keeper) beat() {
	next := time.Now().Add(k.every)
	<-k.turn
	defer func() { k.turn <- struct{}{} }()
	if k.lease.Err() != nil {
		return
	}
	err := k.hold.extend(k.lease, k.last)
	switch {
	case errors.Is(err, ErrLeaseLost):
		k.end(fmt.Errorf("extend: %w", err))
		return
	case k.lease.Err() != nil:
		return
	case err != nil:
		err = fmt.Errorf("%w: not extended: %w", ErrLeaseLost, err)
	default:
		err = ErrLeaseLost
	}
	k.alarm.Stop()
	k.ring(err)
	k.beats.Reset(time.Until(next))
}

// extend asks for another lease from now, unless the handler had its time.
func (h *hold) extend(ctx context.Context, stop time.Time) error {
	asked := time.Now()
	if !asked.Before(stop) {
		return fmt.Errorf("the handler ran for longer than %v", h.limits.Run)
	}
	ctx, cancel := context.WithTimeout(ctx, h.lease/3)
	defer cancel()
	c, err := h.ledger.Extend(ctx, h.claim, h.lease)
	if err != nil {
		return err
	}
	h.claim, h.until = c, asked.Add(h.lease)
	return nil
}

func (h *hold) commit(ctx context.Context, r Receipt) error {
	ctx, cancel := context.WithTimeout(ctx, h.limits.Settle)
	defer cancel()
	if err := h.ledger.Commit(ctx, h.claim, r); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	return nil
}

func (h *hold) release(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, h.limits.Settle)
	defer cancel()
	if err := h.ledger.Release(ctx, h.claim); err != nil {
		return fmt.Errorf("release: %w", err)
	}
	return nil
}
