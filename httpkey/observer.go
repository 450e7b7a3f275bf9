package httpkey

import (
	"context"
	"encoding/hex"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"github.com/hapaxmq/hapax"
)

// Observer sees what a middleware does, for metrics and traces, as packages
// adapter/promhttpkey and adapter/otelhttpkey make them. The zero value sees nothing. Its
// functions are called by the goroutine that serves the request, and from several at
// once; they must be quick.
type Observer struct {
	// Begin sees a request of [Options.Methods] come in. The handler is given the
	// context that it returns, or one made of it.
	Begin func(ctx context.Context, m *Middleware, r *http.Request) context.Context
	// End sees what became of it: once for each call of Begin, also if the handler
	// panics, and with the context that Begin returned.
	End func(ctx context.Context, e Exchange)
}

// Observers are several as one: each sees all, the contexts that they return one inside
// of the other, and the ends in the opposite order.
func Observers(all ...Observer) Observer {
	return Observer{
		Begin: func(ctx context.Context, m *Middleware, r *http.Request) context.Context {
			for _, o := range all {
				if o.Begin != nil {
					ctx = o.Begin(ctx, m, r)
				}
			}
			return ctx
		},
		End: func(ctx context.Context, e Exchange) {
			for _, o := range slices.Backward(all) {
				if o.End != nil {
					o.End(ctx, e)
				}
			}
		},
	}
}

// Exchange is what became of one request.
type Exchange struct {
	Name    string        // Options.Name
	Request *http.Request // the server's: not to be kept
	Key     [32]byte      // of tenant, method and key, as shared stores and the log have it; zero: none
	Outcome hapax.Outcome // Passed: without a key, or without asking for it; Nameless: refused before it was asked for
	Status  int           // of the response; zero where the handler wrote it itself, and for a panic
	Err     error

	Took     time.Duration // from the request's coming in
	Worked   time.Duration // in the handler
	Replayed bool          // the first response was given
	Open     bool          // the handler ran without a claim, for the ledger could not be asked ([Options.FailOpen])
}

// Stats are counts since a middleware was made.
type Stats struct {
	Requests uint64                   // of the methods that take keys; those under way have no outcome yet
	Outcomes map[hapax.Outcome]uint64 // one for each request that ended
}

type tally struct {
	requests atomic.Uint64
	outcomes [hapax.Forfeited + 1]atomic.Uint64
}

// Stats returns the counts so far. Every request that has ended is in exactly one
// outcome.
func (m *Middleware) Stats() Stats {
	s := Stats{Outcomes: map[hapax.Outcome]uint64{}}
	for o := range m.tally.outcomes {
		if n := m.tally.outcomes[o].Load(); n > 0 {
			s.Outcomes[hapax.Outcome(o)] = n
		}
	}
	s.Requests = m.tally.requests.Load() // last: at least as many as have ended
	return s
}

// tell counts x by its outcome, once, and tells log and observer.
func (m *Middleware) tell(x *exchange) {
	m.tally.outcomes[x.outcome].Add(1)
	if l, ok := level(x.outcome, x.err); ok && m.o.Logger.Enabled(x.ctx, l) {
		at := []slog.Attr{slog.String("name", m.o.Name), slog.String("method", x.r.Method), slog.Int("status", x.status)}
		if x.tenant != "" {
			at = append(at, slog.String("key", hex.EncodeToString(x.shared[:8])))
		}
		if x.err != nil {
			at = append(at, slog.Any("error", x.err))
		}
		m.o.Logger.LogAttrs(x.ctx, l, "httpkey: "+x.outcome.String(), at...)
	}
	if end := m.o.Observer.End; end != nil {
		end(x.ctx, Exchange{
			Name: m.o.Name, Request: x.r, Key: x.shared, Outcome: x.outcome, Status: x.status, Err: x.err,
			Took: time.Since(x.began), Worked: x.worked, Replayed: x.replayed, Open: x.open,
		})
	}
}

// level is that of an outcome in the log. Copies are no errors.
func level(o hapax.Outcome, err error) (l slog.Level, logged bool) {
	switch o {
	case hapax.Replayed, hapax.Held, hapax.Nameless:
		if errors.Is(err, hapax.ErrCorrupt) {
			return slog.LevelError, true
		}
		return slog.LevelDebug, true
	case hapax.Executed: // beside its error, the receipt was too large for the ledger
		return slog.LevelWarn, err != nil
	case hapax.Passed:
		return slog.LevelWarn, err != nil
	case hapax.Conflicted, hapax.Lost, hapax.Unanswered:
		return slog.LevelWarn, true
	case hapax.Doubtful:
		return slog.LevelError, true
	}
	return 0, false
}
