package httpkey_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/httpkey"
)

var errCut = errors.New("connection reset by peer")

// said is what a network says to one try.
type said struct {
	status int
	header string // "Name: value"
	err    error
	cut    bool // inside of the body
	hang   bool // until the try's context ends
}

// network answers tries one after the other, the last answer for ever.
type network struct {
	t       *testing.T
	answers []said
	keys    []string
	bodies  []string
	open    int // bodies of responses that nobody closed
}

func (n *network) RoundTrip(r *http.Request) (*http.Response, error) {
	n.keys = append(n.keys, r.Header.Get(httpkey.Header))
	if r.Body != nil {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			n.t.Error(err)
		}
		n.bodies = append(n.bodies, string(body))
		_ = r.Body.Close()
	}
	answer := n.answers[min(len(n.keys), len(n.answers))-1]
	if answer.hang {
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
	if answer.err != nil {
		return nil, answer.err
	}
	w := &http.Response{StatusCode: answer.status, Header: http.Header{}, ContentLength: 4}
	if name, value, ok := strings.Cut(answer.header, ": "); ok {
		w.Header.Set(name, value)
	}
	var body io.Reader = strings.NewReader("done")
	if answer.cut {
		body = io.MultiReader(strings.NewReader("do"), iotest.ErrReader(errCut))
	}
	n.open++
	w.Body = &counted{body, n}
	return w, nil
}

type counted struct {
	io.Reader

	n *network
}

func (c *counted) Close() error {
	c.n.open--
	return nil
}

func newRequest(t *testing.T, body io.Reader) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://example.com/charges", body)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestTransport: a request is sent until it has an answer that no other try would
// change, always with one key and one body.
func TestTransport(t *testing.T) {
	after := func(s string) string { return "Retry-After: " + s }
	for name, test := range map[string]struct {
		answers []said
		tries   int
		status  int // 0: an error
		waited  [2]time.Duration
	}{
		"at once":               {[]said{{status: 201}}, 1, 201, [2]time.Duration{}},
		"a client's error":      {[]said{{status: 422}}, 1, 422, [2]time.Duration{}},
		"a connection that cut": {[]said{{err: errCut}, {status: 201}}, 2, 201, [2]time.Duration{100 * time.Millisecond, 200 * time.Millisecond}},
		"a body that is cut":    {[]said{{status: 201, cut: true}, {status: 201}}, 2, 201, [2]time.Duration{100 * time.Millisecond, 200 * time.Millisecond}},
		"in flight":             {[]said{{status: 409, header: after("3")}, {status: 201}}, 2, 201, [2]time.Duration{3 * time.Second, 3 * time.Second}},
		"a conflict":            {[]said{{status: 409}}, 1, 409, [2]time.Duration{}},
		"two of 5xx":            {[]said{{status: 500}, {status: 503, header: after("7")}, {status: 200}}, 3, 200, [2]time.Duration{7100 * time.Millisecond, 7200 * time.Millisecond}},
		"not implemented":       {[]said{{status: 501}}, 1, 501, [2]time.Duration{}},
		"a date":                {[]said{{status: 429, header: after("Sat, 01 Jan 2000 00:00:09 GMT")}, {status: 200}}, 2, 200, [2]time.Duration{9 * time.Second, 9 * time.Second}},
		"a date that is over":   {[]said{{status: 429, header: after("Fri, 31 Dec 1999 00:00:00 GMT")}, {status: 200}}, 2, 200, [2]time.Duration{100 * time.Millisecond, 200 * time.Millisecond}},
		"no date":               {[]said{{status: 429, header: after("soon")}, {status: 200}}, 2, 200, [2]time.Duration{100 * time.Millisecond, 200 * time.Millisecond}},
		"too long":              {[]said{{status: 503, header: after("61")}}, 1, 503, [2]time.Duration{}},
		"a replayed error":      {[]said{{status: 500, header: "Idempotency-Replayed: true"}}, 1, 500, [2]time.Duration{}},
		"always cut":            {[]said{{err: errCut}}, 5, 0, [2]time.Duration{1500 * time.Millisecond, 3 * time.Second}},
		"always 503":            {[]said{{status: 503}}, 5, 503, [2]time.Duration{1500 * time.Millisecond, 3 * time.Second}},
		"a wrong certificate":   {[]said{{err: fmt.Errorf("tls: %w", &tls.CertificateVerificationError{})}}, 1, 0, [2]time.Duration{}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := &network{t: t, answers: test.answers}
				began := time.Now()
				var tries []httpkey.Try
				client := &http.Client{Transport: &httpkey.Transport{Base: n, Tried: func(_ context.Context, try httpkey.Try) { tries = append(tries, try) }}}
				w, err := client.Do(newRequest(t, strings.NewReader("body")))
				if (err != nil) != (test.status == 0) || err == nil && w.StatusCode != test.status {
					t.Errorf("%v, %v; want %d", w, err, test.status)
				}
				if waited := time.Since(began); waited < test.waited[0] || waited > test.waited[1] {
					t.Errorf("waited for %v, want %v", waited, test.waited)
				}
				if err == nil {
					if body, err := io.ReadAll(w.Body); string(body) != "done" || err != nil {
						t.Errorf("read %q, %v", body, err)
					}
					_ = w.Body.Close()
				}
				if len(n.keys) != test.tries || len(tries) != test.tries || n.open != 0 {
					t.Fatalf("%d tries, of which %d were told, and %d open bodies; want %d tries", len(n.keys), len(tries), n.open, test.tries)
				}
				for i, key := range n.keys {
					if _, err := httpkey.ParseKey(key); err != nil || key != n.keys[0] || n.bodies[i] != "body" || key[0] != '"' {
						t.Errorf("try %d: key %s, body %q", i+1, key, n.bodies[i])
					}
					if tries[i].Number != i+1 || tries[i].Again != (i+1 < test.tries) {
						t.Errorf("told of %+v", tries[i])
					}
				}
			})
		})
	}
}

func TestTransportKeepsTheCallersKey(t *testing.T) {
	n := &network{t: t, answers: []said{{status: 200}}}
	tr := &httpkey.Transport{Base: n, Mint: func(*http.Request) (string, error) { return "minted", nil }}
	send := func(change func(*http.Request)) (*http.Request, error) {
		r := newRequest(t, http.NoBody)
		change(r)
		w, err := tr.RoundTrip(r)
		if err == nil {
			_ = w.Body.Close()
		}
		return r, err
	}
	if r, err := send(func(*http.Request) {}); err != nil || r.Header.Get(httpkey.Header) != "" {
		t.Errorf("%v; the caller's request was changed to %v", err, r.Header)
	}
	if _, err := send(func(r *http.Request) { _ = httpkey.SetKey(r.Header, "natural") }); err != nil {
		t.Error(err)
	}
	if _, err := send(func(r *http.Request) { r.Method = http.MethodGet }); err != nil {
		t.Error(err)
	}
	tr.Bare = true
	if _, err := send(func(*http.Request) {}); err != nil {
		t.Error(err)
	}
	if got, want := fmt.Sprint(n.keys), `["minted" "natural"  minted]`; got != want {
		t.Errorf("keys %s, want %s", got, want)
	}
	tr.Mint = func(*http.Request) (string, error) { return "two words", nil }
	if _, err := send(func(*http.Request) {}); !errors.Is(err, hapax.ErrMalformed) {
		t.Errorf("a bare key of two words: %v", err)
	}
	tr.Mint = func(*http.Request) (string, error) { return "", errDown }
	if _, err := send(func(*http.Request) {}); !errors.Is(err, errDown) || len(n.keys) != 4 {
		t.Errorf("an error of Mint: %v, %d tries", err, len(n.keys))
	}
}

// TestTransportKeepsBodies: one that can't be made again is kept, up to a limit.
func TestTransportKeepsBodies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &network{t: t, answers: []said{{err: errCut}, {status: 200}}}
		tr := &httpkey.Transport{Base: n, MaxBody: 4}
		closed := 0
		once := func(s string) *http.Request {
			return newRequest(t, &closing{strings.NewReader(s), &closed})
		}
		w, err := tr.RoundTrip(once("four"))
		if err != nil {
			t.Fatal(err)
		}
		_ = w.Body.Close()
		if fmt.Sprint(n.bodies) != "[four four]" || closed != 1 {
			t.Errorf("sent %q, and closed %d bodies", n.bodies, closed)
		}
		w, err = tr.RoundTrip(once("fives"))
		if err == nil {
			_ = w.Body.Close()
		}
		if !errors.Is(err, httpkey.ErrBody) || len(n.bodies) != 2 || closed != 2 {
			t.Errorf("a body that is too large: %v; sent %q, closed %d", err, n.bodies, closed)
		}
	})
}

type closing struct {
	io.Reader

	closed *int
}

func (c *closing) Close() error {
	*c.closed++
	return nil
}

// TestTransportEnds: no try is made that would come too late.
func TestTransportEnds(t *testing.T) {
	for name, test := range map[string]struct {
		answers []said
		timeout time.Duration // of each try
		tries   int
		waited  time.Duration
	}{
		"the deadline is before the pause's end": {[]said{{status: 503, header: "Retry-After: 30"}}, 0, 1, 0},
		"a try hangs":                            {[]said{{hang: true}, {status: 200}}, 3 * time.Second, 2, 3 * time.Second},
		"all hang":                               {[]said{{hang: true}}, 0, 1, 20 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
				defer cancel()
				n := &network{t: t, answers: test.answers}
				began := time.Now()
				w, err := (&httpkey.Transport{Base: n, Timeout: test.timeout}).RoundTrip(newRequest(t, http.NoBody).WithContext(ctx))
				if err == nil {
					_ = w.Body.Close()
				}
				if waited := time.Since(began); len(n.keys) != test.tries || waited < test.waited || waited > test.waited+time.Second {
					t.Errorf("%d tries in %v, want %d in %v", len(n.keys), waited, test.tries, test.waited)
				}
			})
		})
	}
}

// TestTransportStreams: a response of unknown or great length is not read ahead, and
// its try lasts until it is closed.
func TestTransportStreams(t *testing.T) {
	n := &network{t: t, answers: []said{{status: 503}, {status: 200, cut: true}}}
	w, err := (&httpkey.Transport{Base: n, Whole: -1, Timeout: patience, Pause: 1}).RoundTrip(newRequest(t, http.NoBody))
	if err != nil {
		t.Fatal(err)
	}
	if body, err := io.ReadAll(w.Body); string(body) != "do" || !errors.Is(err, errCut) {
		t.Errorf("read %q, %v", body, err)
	}
	if err := w.Body.Close(); err != nil || n.open != 0 || len(n.keys) != 2 {
		t.Errorf("%v, %d open bodies, %d tries", err, n.open, len(n.keys))
	}
}
