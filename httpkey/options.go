package httpkey

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"github.com/hapaxmq/hapax"
)

const (
	defaultLease       = 30 * time.Second
	defaultMaxBody     = 1 << 20
	defaultMaxResponse = 64 << 10 // as ledgers take receipts
	defaultRetryAfter  = time.Second
)

// Options says how keys are taken. Name, Tenant and Window are required; of all
// others the zero value is good.
type Options struct {
	// Name names the API or the route, and is stored with every key: under another
	// name a key is another key, which was never seen. Give each route its own to let
	// one key be used once in each; under one name, a key that comes again on another
	// path is refused.
	Name string

	// Tenant tells whose request it is: the authenticated account or user, never what
	// anybody may write into the request. Two tenants with one key have two keys. An
	// error or an empty string is answered with 403. [OneTenant] is for an API that
	// tells nobody apart.
	Tenant func(*http.Request) (string, error)

	// Window is how long the ledger remembers a key, from its run's end. It is a
	// promise of the ledger; told here, it is published in the problems that clients
	// get, as the draft asks for.
	Window time.Duration

	// Methods are those that take keys (default POST and PATCH). Requests of others
	// go to the handler as they are.
	Methods []string
	// Required refuses a request without a key. Else it goes to the handler as it is.
	Required bool
	// Headers are fields of the request that count as payload beside path, query and
	// body, such as one that names a version of the API.
	Headers []string
	// MaxBody is how many bytes a request may have (default 1 MiB); one above it is
	// answered with 413. The body is in memory while the request is handled, because
	// it must be known whole before the handler runs.
	MaxBody int64

	// Responses is what is kept of them.
	Responses Responses
	// MaxResponse is how many bytes a response that is kept may have, with its headers
	// (default 64 KiB; the ledger has a limit of its own). It is in memory until the
	// ledger has it. One that turns out larger goes to the client as it comes, and
	// only its status is kept, as if the route were [Streamed].
	MaxResponse int
	// KeepHeader tells which headers of a response are kept (default all but
	// Set-Cookie). Those of one connection, of RFC 9110 section 7.6.1, and those that
	// stood there before the handler ran never are.
	KeepHeader func(name string) bool
	// Final tells whether a run that ended with this status is done for good (default
	// [Final]). [AnyStatus] keeps errors too.
	Final func(status int) bool

	// Wait is how long a copy waits for the request that is in flight, before it is
	// answered with 409. It looks again after 10 ms, and ever later, up to a second.
	Wait time.Duration
	// RetryAfter is when a copy of a request in flight is told to come again at the
	// latest (default 1 s): within it, when the lease ends. Whole seconds go out.
	RetryAfter time.Duration
	// EndWithClient ends the handler's context when its client goes. By default the
	// handler works on, and what it answers is kept for the copy that will come.
	EndWithClient bool

	// Lease is how long a key stays taken when the process dies, and so how long
	// copies are in flight then (default 30 s). Limits bounds the rest.
	Lease  time.Duration
	Limits hapax.Limits
	// FailOpen runs the handler while the ledger can't be asked, as if there were no
	// key: perhaps once for each copy. The default is to answer with 503.
	FailOpen bool

	// Documentation is the address of a page that tells clients about keys. It is the
	// type of problems, each with a fragment of its own, and their Link.
	Documentation string
	// WriteProblem writes what is answered instead of the handler's response (default
	// [WriteProblem]). Headers such as Retry-After are set already.
	WriteProblem func(w http.ResponseWriter, r *http.Request, p Problem)

	Logger   *slog.Logger // default: silent. Keys are logged as hashes
	Observer Observer
}

// Responses is what is kept of a response. A route declares it before any handler
// runs.
type Responses uint8

const (
	// Stored keeps status, headers and body, and gives them to copies. The handler
	// can neither flush nor hijack, and what [http.ResponseController] and type
	// assertions say tells so: the response leaves when the ledger has it.
	Stored Responses = iota
	// Streamed is for responses that leave as they are written: it keeps the status
	// alone. The handler may flush and hijack. If the ledger can't be told of the
	// run's end, the connection is cut, so that the client takes nothing for done.
	Streamed
)

func (r Responses) String() string {
	switch r {
	case Stored:
		return "stored"
	case Streamed:
		return "streamed"
	}
	return fmt.Sprintf("Responses(%d)", uint8(r))
}

// OneTenant is the [Options.Tenant] of an API that tells nobody apart: whoever sends
// a key that was used before, with the same payload, is given the response to it.
func OneTenant(*http.Request) (string, error) { return "everybody", nil }

// Final is true for all statuses but those that say that another try may help: 408,
// 425, 429, and 5xx.
func Final(status int) bool {
	switch status {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
		return false
	}
	return status < http.StatusInternalServerError
}

// AnyStatus is true: a response is kept whatever its status, as Stripe does. Only a
// panic frees the key then.
func AnyStatus(int) bool { return true }

func keepHeader(name string) bool { return name != "Set-Cookie" }

func (o Options) withDefaults() (Options, error) {
	fill(&o.Lease, defaultLease)
	fill(&o.MaxBody, defaultMaxBody)
	fill(&o.MaxResponse, defaultMaxResponse)
	fill(&o.RetryAfter, defaultRetryAfter)
	if o.Methods == nil {
		o.Methods = []string{http.MethodPost, http.MethodPatch}
	}
	if o.KeepHeader == nil {
		o.KeepHeader = keepHeader
	}
	if o.Final == nil {
		o.Final = Final
	}
	if o.WriteProblem == nil {
		o.WriteProblem = WriteProblem
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	err := o.validate()
	return o, err
}

func fill[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

func (o *Options) validate() error {
	safe := []string{http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace, http.MethodConnect}
	switch {
	case o.Name == "":
		return errors.New("name is empty: it is the scope of the keys")
	case o.Tenant == nil:
		return errors.New("tenant is nil: tell whose request it is, or that all are one by OneTenant")
	case o.Window <= 0:
		return fmt.Errorf("window %v: say how long the ledger remembers a key", o.Window)
	case o.MaxBody < 0 || o.MaxResponse < 0:
		return fmt.Errorf("limits of %d and %d bytes: want none below zero", o.MaxBody, o.MaxResponse)
	case o.Responses > Streamed:
		return fmt.Errorf("responses: %v is no choice", o.Responses)
	case o.Wait < 0 || o.RetryAfter < 0:
		return fmt.Errorf("wait %v, retry after %v: want none below zero", o.Wait, o.RetryAfter)
	}
	for _, method := range o.Methods {
		if slices.Contains(safe, method) {
			return fmt.Errorf("methods: %s changes nothing, and takes no key", method)
		}
	}
	return o.Limits.Validate(o.Lease)
}
