package httpkey

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/identity"
	"github.com/hapaxmq/hapax/internal/handling"
)

// exchange is one request, from its coming in until it is answered.
type exchange struct {
	m    *Middleware
	w    http.ResponseWriter
	r    *http.Request
	next http.Handler

	ctx   context.Context // as Observer.Begin returned it
	began time.Time

	key     string // empty: none, and none is required
	tenant  string
	body    []byte
	payload payload
	scope   hapax.Scope
	shared  [32]byte // of scope and key
	out     answer   // of a handler that runs or ran under a claim

	outcome  hapax.Outcome
	err      error
	status   int
	worked   time.Duration
	replayed bool
	open     bool
}

// begin begins an exchange. Until it ends, what would become of it is what becomes of
// one whose handler panics.
func (m *Middleware) begin(w http.ResponseWriter, r *http.Request, next http.Handler) *exchange {
	m.tally.requests.Add(1)
	x := &exchange{m: m, w: w, r: r, next: next, ctx: r.Context(), began: time.Now(), outcome: hapax.Failed}
	if begin := m.o.Observer.Begin; begin != nil {
		x.ctx = begin(x.ctx, m, r)
		x.r = r.WithContext(x.ctx)
	}
	return x
}

// end sets what became of x.
func (x *exchange) end(o hapax.Outcome, err error) { x.outcome, x.err = o, err }

func (x *exchange) serve() {
	code, err := x.name()
	switch {
	case err != nil:
		x.end(hapax.Nameless, err)
		x.refuse(x.m.problem(code), 0)
	case x.key == "":
		x.pass()
	default:
		x.settle(x.claim())
	}
}

// name reads all that tells what the request is: key, tenant and payload. The code
// says what is wrong.
func (x *exchange) name() (code Code, err error) {
	if x.key, err = keyOf(x.r.Header); errors.Is(err, hapax.ErrMissing) && !x.m.o.Required {
		return "", nil
	}
	switch {
	case errors.Is(err, hapax.ErrMissing):
		return KeyMissing, err
	case err != nil:
		return KeyMalformed, err
	}
	if x.tenant, err = x.m.o.Tenant(x.r); err == nil && x.tenant == "" {
		err = fmt.Errorf("tenant: %w", hapax.ErrMissing)
	}
	if err != nil {
		return TenantUnknown, err
	}
	if x.body, err = readBody(x.w, x.r, x.m.o.MaxBody); err != nil {
		if errors.Is(err, errBodyTooLarge) {
			return BodyTooLarge, err
		}
		return BodyUnreadable, err
	}
	x.payload = payloadOf(x.r, x.m.o.Headers, x.body)
	x.scope = scopeOf(x.m.o.Name, x.tenant, x.r.Method)
	x.shared = identity.SharedKey(x.scope, hapax.Identity(x.key))
	return "", nil
}

// scopeOf is where a key must be unique. Each part is behind its length.
func scopeOf(name, tenant, method string) hapax.Scope {
	scope := identity.AppendShared(nil, hapax.Scope("http "+name), hapax.Identity(tenant))
	return hapax.Scope(append(scope, method...))
}

// pass hands the request to the handler without a claim.
func (x *exchange) pass() {
	defer func(began time.Time) { x.worked = time.Since(began) }(time.Now())
	x.next.ServeHTTP(x.w, x.request(x.ctx))
	x.end(hapax.Passed, x.err)
}

// request is what the handler is given: the body is read again, from memory.
func (x *exchange) request(ctx context.Context) *http.Request {
	r := x.r.WithContext(ctx)
	if x.body != nil {
		r.Body, r.ContentLength, r.TransferEncoding = io.NopCloser(bytes.NewReader(x.body)), int64(len(x.body)), nil
	}
	return r
}

// How often a copy looks whether the request before it is done.
const (
	firstLook = 10 * time.Millisecond
	lastLook  = time.Second
)

// claim claims the key and runs the handler under it. A copy waits as the settings
// say.
func (x *exchange) claim() (hapax.Result, error) {
	ctx, o := x.ctx, &x.m.o
	if !o.EndWithClient {
		ctx = context.WithoutCancel(ctx)
	}
	asked := hapax.Request{Scope: x.scope, Identity: hapax.Identity(x.key), Digest: x.payload.digest(), Lease: o.Lease}
	for pause := firstLook; ; pause = min(2*pause, lastLook) {
		r, err := o.Limits.Do(ctx, x.m.ledger, asked, x.work)
		if r.Outcome != hapax.Held || !x.waits(pause) {
			return r, err
		}
	}
}

// waits waits for so long, unless that is longer than a copy should.
func (x *exchange) waits(pause time.Duration) bool {
	if time.Since(x.began)+pause > x.m.o.Wait {
		return false
	}
	select {
	case <-time.After(pause):
		return true
	case <-x.ctx.Done():
		return false
	}
}

var (
	errUnfinished = errors.New("the handler ended with its context, and answered nothing")
	errNotFinal   = errors.New("the handler's status is not final")
)

// work runs the handler. The error says why the key is free again.
func (x *exchange) work(ctx context.Context, c hapax.Claim) (hapax.Receipt, error) {
	defer func(began time.Time) { x.worked = time.Since(began) }(time.Now())
	if x.m.o.Responses == Streamed {
		x.out = &stream{w: x.w}
	} else {
		x.out = newRecorder(x.w, x.m.o.MaxResponse)
	}
	run := &Run{Key: x.key, Tenant: x.tenant, Token: c.Token, shared: x.shared, calls: &handling.Calls{}}
	x.next.ServeHTTP(x.out, x.request(context.WithValue(ctx, handling.Request{}, handled{run})))
	if x.out.code() == 0 && ctx.Err() != nil {
		x.out = nil
		return nil, fmt.Errorf("%w: %w", errUnfinished, context.Cause(ctx))
	}
	if err := x.out.ended(); err != nil {
		return nil, err
	}
	if status := x.out.code(); !x.m.o.Final(status) {
		return nil, fmt.Errorf("%w: %d", errNotFinal, status)
	}
	kept := x.out.kept(x.m.o.KeepHeader)
	kept.payload = x.payload
	receipt := kept.receipt()
	if len(receipt) > x.m.o.MaxResponse && kept.whole {
		kept.whole = false
		receipt = kept.receipt()
	}
	return receipt, nil
}

// settle answers by what became of the request.
func (x *exchange) settle(r hapax.Result, err error) {
	x.end(r.Outcome, err)
	switch r.Outcome {
	case hapax.Executed, hapax.Failed:
		x.respond()
	case hapax.Replayed:
		x.replay(r.Receipt)
	case hapax.Conflicted:
		x.refuse(x.m.problem(KeyReused), 0)
	case hapax.Held:
		after := x.m.o.RetryAfter
		if held := new(hapax.InFlightError); errors.As(err, &held) {
			after = min(after, held.RetryAfter)
		}
		x.refuse(x.m.problem(InFlight), max(after, time.Second))
	case hapax.Lost, hapax.Doubtful:
		x.doubt()
	default:
		if x.m.o.FailOpen && x.ctx.Err() == nil {
			x.open = true
			x.end(hapax.Failed, err)
			x.pass()
			return
		}
		x.refuse(x.m.problem(StoreUnavailable), x.m.o.RetryAfter)
	}
}

// respond lets the handler's own response leave.
func (x *exchange) respond() {
	if x.out == nil {
		x.refuse(x.m.problem(Unfinished), x.m.o.RetryAfter)
		return
	}
	x.status = x.out.code()
	x.out.send()
}

// doubt answers a request that may be done. What has left of its response can't be
// taken back; the connection is cut, so that its client does not take it for whole.
func (x *exchange) doubt() {
	if x.out != nil && x.out.gone() {
		x.status = x.out.code()
		panic(http.ErrAbortHandler)
	}
	x.refuse(x.m.problem(OutcomeUnknown), x.m.o.Lease)
}

// replay answers with the first response.
func (x *exchange) replay(receipt hapax.Receipt) {
	if receipt == nil {
		x.refuse(x.m.problem(ResponseNotKept), 0)
		return
	}
	first, err := parseResponse(receipt)
	if err != nil {
		x.err = err
		x.refuse(x.m.problem(ResponseDamaged), 0)
		return
	}
	switch {
	case first.payload != x.payload: // of a ledger that compares no digests
		x.end(hapax.Conflicted, fmt.Errorf("replay: %w", hapax.ErrConflict))
		x.refuse(x.m.problem(KeyReused), 0)
	case !first.whole:
		p := x.m.problem(ResponseNotKept)
		p.OriginalStatus = first.status
		x.refuse(p, 0)
	default:
		x.replayed, x.status = true, first.status
		first.writeTo(x.w)
	}
}
