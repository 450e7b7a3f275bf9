package httpkey

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/hapaxmq/hapax"
)

// Middleware lets the requests of handlers take effect once for each key. All methods
// may be called from several goroutines at once. It starts none of its own but those
// that extend a lease while its handler runs, so that there is nothing to close.
type Middleware struct {
	o      Options
	ledger hapax.Ledger
	tally  tally
}

// New makes a middleware over a ledger, which servers share if they answer for each
// other: [github.com/hapaxmq/hapax/adapter/redisdb], say. A ledger inside the process
// ([github.com/hapaxmq/hapax/ledger]) is for one server; open it with Digests, or a
// key that comes again with another payload while the first one is in flight is told
// to wait instead of being refused.
func New(l hapax.Ledger, o Options) (*Middleware, error) {
	if l == nil {
		return nil, errors.New("httpkey: want a ledger")
	}
	o, err := o.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("httpkey %q: %w", o.Name, err)
	}
	o.Logger.Info("httpkey: ready", "name", o.Name, "methods", o.Methods, "required", o.Required, "window", o.Window.String(),
		"store", fmt.Sprintf("%T", l), "responses", o.Responses.String(), "fail open", o.FailOpen)
	return &Middleware{o: o, ledger: &shrinking{l, o.Lease / 3}}, nil
}

// Name is [Options.Name].
func (m *Middleware) Name() string { return m.o.Name }

// Wrap is next, once for each key. What tells a request's tenant stands before it, and
// so does what compresses responses, so that they are kept as they are. Nothing that
// stands before it may read the body, such as by ParseForm: what others have read does
// not count as payload.
//
// The body of a request with a key is read whole before next runs, and next finds the
// [Run] in its context. That goes on when the client goes, unless
// [Options.EndWithClient] is set, and ends with the cause [hapax.ErrLeaseLost] when
// the lease can't be kept: see [hapax.Handler]. Of a response that is [Stored],
// informational ones before it and trailers are left out.
func (m *Middleware) Wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !slices.Contains(m.o.Methods, r.Method) {
			next.ServeHTTP(w, r)
			return
		}
		x := m.begin(w, r, next)
		defer m.tell(x)
		x.serve()
	})
}

// shrinking is a ledger that is given a receipt without headers and body where the
// whole one is too large, and is asked for a claim no longer than ask.
type shrinking struct {
	hapax.Ledger

	ask time.Duration
}

func (l *shrinking) Claim(ctx context.Context, r hapax.Request) (hapax.Claim, error) {
	ctx, cancel := context.WithTimeout(ctx, l.ask)
	defer cancel()
	return l.Ledger.Claim(ctx, r)
}

func (l *shrinking) Commit(ctx context.Context, c hapax.Claim, receipt hapax.Receipt) error {
	err := l.Ledger.Commit(ctx, c, receipt)
	if !errors.Is(err, hapax.ErrReceiptSize) {
		return err
	}
	r, parsed := parseResponse(receipt)
	if parsed != nil || !r.whole {
		return err
	}
	r.whole = false
	return l.Ledger.Commit(ctx, c, r.receipt())
}
