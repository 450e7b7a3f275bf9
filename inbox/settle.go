package inbox

import (
	"errors"
	"fmt"
	"time"

	"github.com/hapaxmq/hapax"
)

// Action is what a broker adapter does with a delivery.
type Action uint8

const (
	// Ack: it is done. Acknowledge it, commit its offset.
	Ack Action = iota + 1
	// Retry: give it back, to come again after Settlement.After.
	Retry
	// DeadLetter: another try will not help. Put it where somebody looks, then
	// acknowledge it.
	DeadLetter
	// Stop: nothing can be told at present. Give it back, and take no other message
	// before Settlement.After.
	Stop
)

var actions = [...]string{Ack: "ack", Retry: "retry", DeadLetter: "dead letter", Stop: "stop"}

func (a Action) String() string {
	if a > 0 && int(a) < len(actions) {
		return actions[a]
	}
	return fmt.Sprintf("Action(%d)", uint8(a))
}

// Settlement is what becomes of one delivery at its broker.
type Settlement struct {
	Action Action
	After  time.Duration // wait so long first, if Retry or Stop
	Failed bool          // this was a failed attempt: count it where attempts are limited
}

// Settle says what to do with a delivery that ended so: all policy of adapters,
// which have none of their own. Only a handler that failed counts as a failed
// attempt: copies, messages that are held elsewhere, a store that is down and a
// caller that stops (its context was cancelled) bring no message nearer to the dead
// letters.
//
//	Executed, Passed        Ack
//	Replayed                Ack; Retry if the copy could not be given to [OnDuplicate]
//	Held                    Retry when the holder's lease ends
//	Failed                  Retry, failed, after [Options].Backoff, which grows with the attempts;
//	                        [Permanent]: DeadLetter; [Later]: Retry, not failed
//	Lost                    Retry, failed, as Failed
//	Doubtful                Retry when the lease ends
//	Conflicted, Nameless    DeadLetter
//	Outdated, Forfeited     DeadLetter
//	Unanswered              Stop for a while, longer each time
func Settle(r hapax.Result, err error) Settlement {
	s := Settlement{After: after(err)}
	switch r.Outcome {
	case hapax.Executed, hapax.Passed:
		return Settlement{Action: Ack}
	case hapax.Replayed:
		s.Action = Ack
		if err != nil {
			s.Action = Retry
		}
	case hapax.Held, hapax.Doubtful:
		s.Action = Retry
	case hapax.Failed:
		s.Action = Retry
		s.Failed = !errors.As(err, new(*laterError))
		if errors.As(err, new(*permanentError)) {
			return Settlement{Action: DeadLetter, Failed: true}
		}
	case hapax.Lost:
		s.Action, s.Failed = Retry, true
	case hapax.Conflicted, hapax.Nameless, hapax.Outdated:
		return Settlement{Action: DeadLetter}
	case hapax.Forfeited:
		return Settlement{Action: DeadLetter, Failed: true}
	default:
		s.Action = Stop
	}
	return s
}

// Settle is [Settle] of one message of a batch.
func (h Handled) Settle() Settlement { return Settle(h.Result, h.Err) }

// after is how long an error asks to wait.
func after(err error) time.Duration {
	if err == nil { // nearly always
		return 0
	}
	if e := (*laterError)(nil); errors.As(err, &e) {
		return e.after
	}
	if e := (*failedError)(nil); errors.As(err, &e) {
		return e.after
	}
	if e := (*hapax.InFlightError)(nil); errors.As(err, &e) {
		return e.RetryAfter
	}
	return 0
}

// Later is what a handler returns to have its message again after d, by choice:
// it is no failed attempt, and nothing of this run is kept. The message that
// comes again is not taken for a copy, for it was never marked.
//
// Do not put a message off by publishing it anew under the same id and returning
// nil: the second one is a copy of the first. Give it an id of its own
// ([ChildID]).
func Later(d time.Duration, why error) error {
	return &laterError{after: max(d, 0), error: why}
}

type laterError struct {
	error

	after time.Duration
}

func (e *laterError) Error() string {
	if e.error == nil {
		return fmt.Sprintf("again in %v", e.after)
	}
	return e.error.Error()
}

func (e *laterError) Unwrap() error { return e.error }

// Permanent is what a handler returns if another try will not help: its message
// goes to the dead letters at once. Nothing of the run is kept, so it may be
// sent again from there.
//
// A failure that is an answer, such as a card that is declined, is no error: give
// it as the receipt and return nil, and copies are given the same answer.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return &permanentError{err}
}

type permanentError struct{ error }

func (e *permanentError) Unwrap() error { return e.error }
