package httpkey

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/hapaxmq/hapax/internal/handling"
)

const (
	defaultTries   = 5
	defaultPause   = 200 * time.Millisecond
	defaultLongest = time.Minute
	defaultWhole   = 1 << 20
)

// Transport sends each request until its outcome is known, always with the same key.
// It is for servers that take an Idempotency-Key: with others, what is sent again may
// take effect again. The zero value is good; it may be used from several goroutines at
// once, and must not be changed then.
//
//	client := &http.Client{Transport: &httpkey.Transport{}}
//
// A POST or PATCH without a key is given one for all of its tries. The key is not
// known to who calls [http.Client.Do] a second time, nor after a restart: to keep one
// over these, store it with what the request is about, and set it by [SetKey]. A redirect
// that the client follows is another request, with a key of its own.
//
// If the request's context is that of a handler, of a request behind [Middleware] or of
// one message of an inbox, the key derives from what that handles, from the method, host
// and path, and from how many requests to these the run has sent before: so a run that
// comes again sends the same keys. Several requests to one path must then be sent in the
// same order by every run, one after the other; where they may not be (a map's order,
// goroutines, one that is left out) give each its name by [ChildID] and [SetKey].
//
// A request is sent again after errors of the network, and the statuses 408, 409 with
// Retry-After (the first try is in flight), 425, 429, 500, 502, 503 and 504, but not
// if the response is replayed, as no try would change it. Requests of other methods
// and without a key go to Base as they are.
//
// When it gives up it returns what the last try returned. That tells nothing of an
// earlier one: the request may have taken effect, and can be sent again with its key.
type Transport struct {
	Base http.RoundTripper // default http.DefaultTransport

	// Mint names a request that has no key (default: by what its context's handler
	// handles, else by [NewKey]). Its error ends the request.
	Mint func(*http.Request) (string, error)
	// Bare writes keys that are minted without quotes, for servers that are older
	// than the draft and take them for a part of the key.
	Bare bool

	// Tries is how often a request is sent at most (default 5).
	Tries int
	// Pause is how long it waits after the first try, and twice as long after each
	// (default 200 ms, and at random up to half less). Longest bounds it (default 1
	// min). A server's Retry-After is obeyed; one above Longest ends the tries, as
	// does a deadline of the request's context that would come first.
	Pause, Longest time.Duration
	// Timeout bounds each try, with its response's body (default: none).
	Timeout time.Duration

	// MaxBody is how many bytes of a request's body without GetBody are kept to be
	// sent again (default 1 MiB). A larger one is an error, and nothing is sent.
	MaxBody int64
	// Whole is how many bytes a response may have to be read before it is returned,
	// if its length is known (default 1 MiB): a connection that is cut inside of it is
	// a try that failed. A larger one is returned as it comes. Negative: all are.
	Whole int64

	// Tried sees each try's end, before the pause or the return. The response's body
	// is not to be read.
	Tried func(ctx context.Context, t Try)
}

// Try is one try of a request.
type Try struct {
	Request  *http.Request // as it was sent
	Number   int           // from 1
	Response *http.Response
	Err      error
	Again    bool          // the request will be sent again
	Pause    time.Duration // until then
}

// ErrBody is that of a request whose body is too large to be kept, and can't be made
// again.
var ErrBody = errors.New("httpkey: the body can't be sent again: set GetBody")

// SetKey gives a request its key. The error is [hapax.ErrMalformed]: see [ParseKey].
func SetKey(h http.Header, key string) error {
	value, err := FormatKey(key)
	if err == nil {
		h.Set(Header, value)
	}
	return err
}

// RoundTrip is [http.RoundTripper].
func (t *Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Header.Get(Header) == "" && r.Method != http.MethodPost && r.Method != http.MethodPatch {
		return t.base().RoundTrip(r)
	}
	keyed, err := t.prepare(r)
	if err != nil {
		if r.Body != nil {
			_ = r.Body.Close()
		}
		return nil, fmt.Errorf("prepare the request: %w", err)
	}
	for n := 1; ; n++ {
		response, err := t.try(keyed)
		again, pause := t.again(r.Context(), n, response, err)
		if t.Tried != nil {
			t.Tried(r.Context(), Try{keyed, n, response, err, again, pause})
		}
		if !again || !sleep(r.Context(), pause) {
			return response, err
		}
		next, broken := renewed(keyed)
		if broken != nil {
			return response, err
		}
		discard(response)
		keyed = next
	}
}

func (t *Transport) base() http.RoundTripper {
	if t.Base != nil {
		return t.Base
	}
	return http.DefaultTransport
}

// prepare is r with a key, and a body that can be sent again.
func (t *Transport) prepare(r *http.Request) (*http.Request, error) {
	keyed := r.Clone(r.Context())
	if keyed.Header == nil {
		keyed.Header = http.Header{}
	}
	if keyed.Header.Get(Header) == "" {
		if err := t.mint(keyed); err != nil {
			return nil, err
		}
	}
	if r.Body == nil || r.Body == http.NoBody || r.GetBody != nil {
		return keyed, nil
	}
	limit := orElse(t.MaxBody, defaultWhole)
	body, err := io.ReadAll(io.LimitReader(r.Body, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(body)) > limit {
		return nil, fmt.Errorf("%w: it has more than %d bytes", ErrBody, limit)
	}
	if err := r.Body.Close(); err != nil {
		return nil, err
	}
	keyed.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
	keyed.ContentLength = int64(len(body))
	return renewed(keyed)
}

func (t *Transport) mint(r *http.Request) error {
	mint := t.Mint
	if mint == nil {
		mint = newKeyOf
	}
	key, err := mint(r)
	if err == nil {
		err = SetKey(r.Header, key)
	}
	if err == nil && t.Bare {
		r.Header.Set(Header, key)
		_, err = ParseKey(key)
	}
	return err
}

// newKeyOf is a key for a request that a handler sends, or anybody.
func newKeyOf(r *http.Request) (string, error) {
	if h, ok := handling.Of(r.Context()); ok {
		to := fmt.Sprintf("%s %s%s", r.Method, r.URL.Host, r.URL.EscapedPath())
		if key := h.ChildID(fmt.Sprintf("request %d: %s", h.Next(to), to)); key != "" {
			return key, nil
		}
	}
	return NewKey(), nil
}

// renewed is r to be sent once more.
func renewed(r *http.Request) (*http.Request, error) {
	next := r.Clone(r.Context())
	if r.GetBody == nil {
		return next, nil
	}
	var err error
	next.Body, err = r.GetBody()
	return next, err
}

// try sends the request once.
func (t *Transport) try(r *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancel(r.Context())
	if t.Timeout > 0 {
		ctx, cancel = context.WithTimeout(r.Context(), t.Timeout)
	}
	response, err := t.base().RoundTrip(r.WithContext(ctx))
	if err != nil {
		cancel()
		return nil, err
	}
	response.Request = r
	if n := response.ContentLength; n < 0 || n > orElse(t.Whole, defaultWhole) {
		response.Body = &cancelled{response.Body, cancel}
		return response, nil
	}
	defer cancel()
	body, err := io.ReadAll(response.Body)
	if err = errors.Join(err, response.Body.Close()); err != nil {
		return nil, fmt.Errorf("read the response: %w", err)
	}
	response.Body = io.NopCloser(bytes.NewReader(body))
	return response, nil
}

// cancelled is a body whose try ends with it.
type cancelled struct {
	io.ReadCloser

	cancel context.CancelFunc
}

func (c *cancelled) Close() error {
	defer c.cancel()
	return c.ReadCloser.Close()
}

// discard ends a response that nobody wants, and lets its connection be used again if
// there is little left of it.
func discard(r *http.Response) {
	if r == nil {
		return
	}
	_, _ = io.CopyN(io.Discard, r.Body, 64<<10)
	_ = r.Body.Close()
}

func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

func orElse[T comparable](value, other T) T {
	var zero T
	if value == zero {
		return other
	}
	return value
}
