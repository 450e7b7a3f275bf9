package inbox

import (
	"context"
	"encoding/hex"
	"log/slog"
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"github.com/hapaxmq/hapax"
)

// Observer sees what an inbox does, for metrics and traces, as packages
// adapter/prominbox and adapter/otelinbox make them. The zero value sees nothing. Its
// functions are called by the goroutine that handles, and from several at once; they
// must be quick.
type Observer struct {
	// Begin sees a message come in. The handler is given the context that it returns,
	// or one made of it; that of several at once has the context of their batch.
	Begin func(ctx context.Context, in *Inbox, m *hapax.Message) context.Context
	// End sees what became of it: once for each call of Begin, also if the handler
	// panics, and with the context that Begin returned.
	End func(ctx context.Context, d Delivery)
}

// Delivery is what became of one message that was given to an inbox.
type Delivery struct {
	Inbox     string // Options.Name
	Guarantee Guarantee
	Message   *hapax.Message // the caller's: not to be kept
	Identity  hapax.Identity // nil: the message has none, or nobody looked for it
	Key       [32]byte       // of name and identity, as shared stores and the log have it ([identity.SharedKey])
	Outcome   hapax.Outcome
	Err       error

	Took   time.Duration // from the message's coming in
	Worked time.Duration // in the handler, of all its runs together
	Runs   int           // of the handler; more than one where a transaction was run again
	Cached bool          // answered from memory, without asking the store
	Open   bool          // the handler ran without a claim, for the ledger could not be asked ([FailOpen])
}

// Observers are several as one: each sees all, the contexts that they return one
// inside of the other, and the ends in the opposite order.
func Observers(all ...Observer) Observer {
	return Observer{
		Begin: func(ctx context.Context, in *Inbox, m *hapax.Message) context.Context {
			for _, o := range all {
				if o.Begin != nil {
					ctx = o.Begin(ctx, in, m)
				}
			}
			return ctx
		},
		End: func(ctx context.Context, d Delivery) {
			for _, o := range slices.Backward(all) {
				if o.End != nil {
					o.End(ctx, d)
				}
			}
		},
	}
}

// Stats are counts since an inbox was made.
type Stats struct {
	Deliveries uint64                   // that came in; those under way have no outcome yet
	Outcomes   map[hapax.Outcome]uint64 // one for each delivery that ended
	Cached     uint64                   // of these, answered from memory
	Reruns     uint64                   // runs of handlers beyond the first of their delivery
	Resolved   uint64                   // unknown commits of which a second transaction told
}

// tally counts deliveries by what became of them.
type tally struct {
	deliveries, cached, reruns, resolved atomic.Uint64

	outcomes [hapax.Forfeited + 1]atomic.Uint64
}

func (t *tally) add(d *delivery) {
	t.outcomes[d.result.Outcome].Add(1)
	if d.cached {
		t.cached.Add(1)
	}
	if d.runs > 1 {
		t.reruns.Add(uint64(d.runs - 1))
	}
}

// Stats returns the counts so far. Every delivery that has ended is in exactly one
// outcome.
func (in *Inbox) Stats() Stats {
	s := Stats{Outcomes: make(map[hapax.Outcome]uint64)}
	for o := range in.tally.outcomes {
		s.Outcomes[hapax.Outcome(o)] = in.tally.outcomes[o].Load()
	}
	maps.DeleteFunc(s.Outcomes, func(_ hapax.Outcome, n uint64) bool { return n == 0 })
	s.Cached = in.tally.cached.Load()
	s.Reruns = in.tally.reruns.Load()
	s.Resolved = in.tally.resolved.Load()
	s.Deliveries = in.tally.deliveries.Load() // last: at least as many as have ended
	return s
}

// level is that of an outcome in the log. The caller is told of all of them; those
// below are of interest to operators too.
func level(o hapax.Outcome) (l slog.Level, logged bool) {
	switch o {
	case hapax.Replayed, hapax.Held:
		return slog.LevelDebug, true
	case hapax.Conflicted, hapax.Nameless, hapax.Outdated, hapax.Lost, hapax.Forfeited:
		return slog.LevelWarn, true
	case hapax.Doubtful:
		return slog.LevelError, true
	}
	return 0, false
}

// log writes what became of a message, named by its hash: ids may be personal.
func (in *Inbox) log(ctx context.Context, level slog.Level, text string, d *delivery, err error) {
	if !in.logger.Enabled(ctx, level) {
		return
	}
	at := []slog.Attr{slog.String("inbox", in.o.Name)}
	if len(d.identity) > 0 {
		at = append(at, slog.String("key", hex.EncodeToString(d.key[:8])))
	}
	if p := d.message.Position; p.Source != "" {
		at = append(at, slog.String("source", p.Source), slog.Int64("offset", p.Offset))
	}
	if err != nil {
		at = append(at, slog.Any("error", err))
	}
	in.logger.LogAttrs(ctx, level, text, at...)
}
