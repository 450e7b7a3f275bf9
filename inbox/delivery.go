package inbox

import (
	"context"
	"fmt"
	"time"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/internal/handling"
)

// delivery is one message from its coming in until it is known what became of it.
//
// It is the context of its handler.
type delivery struct {
	context.Context // as Observer.Begin returned it

	name
	inbox   *Inbox
	message *hapax.Message
	began   time.Time

	entered bool // the inbox was open
	result  hapax.Result
	err     error

	worked time.Duration
	runs   int
	cached bool // answered from memory
	joined bool // in a transaction that somebody else commits
	open   bool // let pass, for the ledger could not be asked

	unknown error // of a commit, with others, of which nobody knows

	handling.Calls // of the run that is going on
}

// Value is that of a context.
func (d *delivery) Value(key any) any {
	if key == (handling.Message{}) {
		return d
	}
	return d.Context.Value(key)
}

// receive begins a delivery. Until it ends, what would become of it is what becomes
// of one whose handler panics.
func (in *Inbox) receive(ctx context.Context, m *hapax.Message) *delivery {
	in.tally.deliveries.Add(1)
	d := &delivery{inbox: in, message: m, began: time.Now(), entered: in.enter()}
	if begin := in.o.Observer.Begin; begin != nil {
		ctx = begin(ctx, in, m)
	}
	d.Context = ctx
	d.end(hapax.Result{Outcome: hapax.Failed}, nil)
	if !d.entered {
		d.end(hapax.Result{Outcome: hapax.Unanswered}, fmt.Errorf("inbox %q: %w", in.o.Name, ErrClosed))
	}
	return d
}

// end sets what became of d.
func (d *delivery) end(r hapax.Result, err error) { d.result, d.err = r, err }

// unmarked tells whether d has no identity and is let pass.
func (d *delivery) unmarked() bool { return len(d.identity) == 0 }

// mark is what is asked of the store.
func (d *delivery) mark() hapax.Mark {
	return hapax.Mark{
		Scope: hapax.Scope(d.inbox.o.Name), Identity: d.identity, Digest: d.digest,
		Time: d.message.Time, Position: d.message.Position, Sequence: d.sequence,
	}
}

// ran notes a run of the handler that began then and ends now.
func (d *delivery) ran(began time.Time) {
	d.Reset()
	d.runs++
	d.worked += time.Since(began)
}

// tell counts d by its outcome, once, and tells log and observer.
func (in *Inbox) tell(d *delivery) {
	if d.entered {
		defer in.running.Done()
	}
	in.tally.add(d)
	in.lanes.settled(d) // once more, for a handler that panicked
	if l, ok := level(d.result.Outcome); ok {
		in.log(d.Context, l, "inbox: "+d.result.Outcome.String(), d, d.err)
	}
	if end := in.o.Observer.End; end != nil {
		end(d.Context, Delivery{
			Inbox: in.o.Name, Guarantee: in.guarantee, Message: d.message, Identity: d.identity, Key: d.key,
			Outcome: d.result.Outcome, Err: d.err,
			Took: time.Since(d.began), Worked: d.worked, Runs: d.runs, Cached: d.cached, Open: d.open,
		})
	}
}
