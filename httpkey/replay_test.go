package httpkey_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/httpkey"
	"github.com/hapaxmq/hapax/ledger"
)

func TestS50ReplayRestoresTheResponse(t *testing.T) {
	body := append([]byte("\x89PNG\r\n\x1a\n"), bytes.Repeat([]byte{0, 255, 'x'}, 100)...)
	n := 0
	inner := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		n++
		h := w.Header()
		h["X-List"] = []string{"a", "b"}
		h.Set("Location", "/charges/1")
		h.Set("Set-Cookie", "session=secret")
		h.Set("Connection", "close, X-Hop")
		h.Set("X-Hop", "1")
		h.Set("Keep-Alive", "timeout=5")
		h.Set("Server-Timing", fmt.Sprint(n))
		h.Del("X-Removed")
		h.Set("X-Outer-Changed", "by the handler")
		w.WriteHeader(http.StatusEarlyHints)
		w.WriteHeader(http.StatusCreated)
		h.Set("X-Late", "1")
		w.WriteHeader(http.StatusTeapot)
		_, _ = w.Write(body[:7])
		_, _ = w.Write(body[7:])
	})
	l := openLedger(t)
	around := func(o httpkey.Options, id string) *httptest.ResponseRecorder {
		h := wrap(t, l, o).Wrap(inner)
		w := httptest.NewRecorder()
		w.Header().Set("X-Request-Id", id) // of a middleware around it
		w.Header().Set("X-Removed", "1")
		w.Header().Set("X-Outer-Changed", "by the outer one")
		h.ServeHTTP(w, request("k", "{}"))
		return w
	}
	first := around(options(), "1")
	if first.Code != http.StatusCreated || first.Header().Get("Set-Cookie") == "" || first.Header().Get("X-Removed") != "" || first.Header().Get("X-Late") != "" {
		t.Errorf("the first response is %d, %v", first.Code, first.Header())
	}
	if kind := first.Header().Get("Content-Type"); kind != "image/png" {
		t.Errorf("content type %q", kind)
	}
	copied := around(options(), "2")
	wantSame(t, first, copied)
	h := copied.Header()
	for _, name := range []string{"Set-Cookie", "Connection", "X-Hop", "Keep-Alive", "X-Late"} {
		if h[name] != nil {
			t.Errorf("%s: %q was replayed", name, h[name])
		}
	}
	if !slices.Equal(h["X-List"], []string{"a", "b"}) || h.Get("Location") != "/charges/1" || h.Get("Content-Type") != "image/png" ||
		h.Get("Content-Length") != fmt.Sprint(len(body)) || h.Get("Server-Timing") != "1" ||
		h.Get("X-Outer-Changed") != "by the handler" || h.Get("X-Request-Id") != "2" {
		t.Errorf("replayed %v", h)
	}
	if n != 1 {
		t.Errorf("%d runs", n)
	}

	o := options()
	o.Name = "other"
	o.KeepHeader = func(name string) bool { return name != "Location" }
	around(o, "1")
	if h := around(o, "2").Header(); h.Get("Location") != "" || h.Get("Set-Cookie") == "" {
		t.Errorf("replayed %v, by a choice of headers", h)
	}
}

func TestS50EmptyResponses(t *testing.T) {
	for status, body := range map[int]string{http.StatusNoContent: "", http.StatusOK: "", http.StatusSeeOther: "", http.StatusNotFound: "no"} {
		runs := 0
		h := wrap(t, openLedger(t), options()).Wrap(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			runs++
			w.WriteHeader(status)
			if _, err := io.WriteString(w, body); status == http.StatusNoContent && !errors.Is(err, http.ErrBodyNotAllowed) {
				t.Errorf("a body with %d: %v", status, err)
			}
		}))
		wantSame(t, serve(h, request("k", "{}")), serve(h, request("k", "{}")))
		if runs != 1 {
			t.Errorf("%d: %d runs", status, runs)
		}
	}
}

// TestS52NotStored: what another try may help is not kept, and the key is free.
func TestS52NotStored(t *testing.T) {
	for _, status := range []int{429, 408, 425, 500, 502, 503, 504, 599} {
		for _, final := range []func(int) bool{nil, httpkey.AnyStatus} {
			runs := 0
			var seen watched
			o := options()
			o.Final, o.Observer = final, seen.observer()
			h := wrap(t, openLedger(t), o).Wrap(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				runs++
				w.Header().Set("Retry-After", "7")
				w.WriteHeader(status)
				_, _ = io.WriteString(w, "not now")
			}))
			first, second := serve(h, request("k", "{}")), serve(h, request("k", "{}"))
			if first.Code != status || first.Body.String() != "not now" || first.Header().Get("Retry-After") != "7" {
				t.Errorf("%d became %d %q", status, first.Code, first.Body)
			}
			if final != nil {
				wantSame(t, first, second)
				if seen.want(t, hapax.Replayed, status); runs != 1 {
					t.Errorf("%d, stored: %d runs", status, runs)
				}
			} else if seen.want(t, hapax.Failed, status); runs != 2 {
				t.Errorf("%d: %d runs", status, runs)
			}
		}
	}
}

func TestS52ErrorsOfClientsAreStored(t *testing.T) {
	for _, status := range []int{400, 402, 403, 404, 409, 410, 422} {
		runs := 0
		h := wrap(t, openLedger(t), options()).Wrap(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			runs++
			http.Error(w, "card declined", status)
		}))
		if wantSame(t, serve(h, request("k", "{}")), serve(h, request("k", "{}"))); runs != 1 {
			t.Errorf("%d: %d runs", status, runs)
		}
	}
}

// TestS52Panic: nothing of a response before a panic leaves, and the key is free.
func TestS52Panic(t *testing.T) {
	var c charges
	var seen watched
	o := options()
	o.Observer = seen.observer()
	fail := true
	h := wrap(t, openLedger(t), o).Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.ServeHTTP(w, r)
		if fail {
			panic("out of ink")
		}
	}))
	w := httptest.NewRecorder()
	func() {
		defer func() {
			if p := recover(); p != "out of ink" {
				t.Errorf("the panic became %v", p)
			}
		}()
		h.ServeHTTP(w, request("k", "{}"))
	}()
	if w.Body.Len() > 0 || len(w.Header()) > 0 {
		t.Errorf("%v %q left before the panic", w.Header(), w.Body)
	}
	seen.want(t, hapax.Failed, 0)
	fail = false
	if w := serve(h, request("k", "{}")); w.Code != http.StatusCreated {
		t.Errorf("after a panic: %d", w.Code)
	}
	c.want(t, 2)
	serve(h, request("k", "{}"))
	c.want(t, 2)
}

// TestShortBody: a handler that wrote less than it declared has not ended well.
func TestShortBody(t *testing.T) {
	runs := 0
	h := wrap(t, openLedger(t), options()).Wrap(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		runs++
		w.Header().Set("Content-Length", "10")
		_, _ = io.WriteString(w, "short")
	}))
	serve(h, request("k", "{}"))
	if w := serve(h, request("k", "{}")); w.Header().Get(httpkey.ReplayedHeader) != "" || runs != 2 {
		t.Errorf("a short body was kept; %d runs", runs)
	}
}

// TestDoubt: when nobody knows whether the run is kept, nobody is told that it is.
func TestDoubt(t *testing.T) {
	for name, broken := range map[string]failing{
		"commit":         {commit: hapax.ErrUnknown},
		"answer":         {after: hapax.ErrUnknown},
		"lost by commit": {commit: hapax.ErrLeaseLost},
	} {
		t.Run(name, func(t *testing.T) {
			var c charges
			var seen watched
			o := options()
			o.Observer = seen.observer()
			broken.Ledger = openLedger(t)
			h := wrap(t, &broken, o).Wrap(&c)
			w := serve(h, request("k", "{}"))
			wantProblem(t, w, http.StatusServiceUnavailable, httpkey.OutcomeUnknown)
			if w.Header().Get("Retry-After") != "600" || w.Header().Get("Location") != "" {
				t.Errorf("headers %v", w.Header())
			}
			if o := seen.ends[0].Outcome; o != hapax.Doubtful && o != hapax.Lost {
				t.Errorf("outcome %v", o)
			}
			committed := broken.after != nil
			broken.commit, broken.after = nil, nil
			if w := serve(h, request("k", "{}")); committed && w.Code != http.StatusCreated || !committed && w.Code != http.StatusConflict {
				t.Errorf("the next one: %d", w.Code)
			}
			c.want(t, 1)
		})
	}
}

func TestStoreIsDown(t *testing.T) {
	var c charges
	var seen watched
	o := options()
	o.Observer = seen.observer()
	down := &failing{Ledger: openLedger(t), claim: errDown}
	w := serve(wrap(t, down, o).Wrap(&c), request("k", "{}"))
	wantProblem(t, w, http.StatusServiceUnavailable, httpkey.StoreUnavailable)
	if w.Header().Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	if e := seen.want(t, hapax.Unanswered, http.StatusServiceUnavailable); !errors.Is(e.Err, errDown) || e.Open {
		t.Errorf("%+v", e)
	}
	c.want(t, 0)

	o.FailOpen = true
	h := wrap(t, down, o).Wrap(&c)
	if w := serve(h, request("k", "{}")); w.Code != http.StatusCreated {
		t.Errorf("failing open: %d", w.Code)
	}
	if e := seen.want(t, hapax.Passed, 0); !e.Open || !errors.Is(e.Err, errDown) {
		t.Errorf("%+v", e)
	}
	c.want(t, 1)
	down.claim = nil
	serve(h, request("k", "{}"))
	serve(h, request("k", "{}"))
	c.want(t, 2)
}

// TestReceiptIsGone: a ledger that has let the response go still knows the key.
func TestReceiptIsGone(t *testing.T) {
	var c charges
	l := openLedgerWith(t, ledger.Options{Digests: true, MaxReceipts: 1})
	h := wrap(t, l, options()).Wrap(&c)
	serve(h, request("k", "{}"))
	if p := wantProblem(t, serve(h, request("k", "{}")), http.StatusConflict, httpkey.ResponseNotKept); p.OriginalStatus != 0 {
		t.Errorf("%+v", p)
	}
	c.want(t, 1)
}

// TestReceiptIsDamaged: what cannot be read is not run again.
func TestReceiptIsDamaged(t *testing.T) {
	var c charges
	h := wrap(t, &damaging{openLedger(t)}, options()).Wrap(&c)
	serve(h, request("k", "{}"))
	wantProblem(t, serve(h, request("k", "{}")), http.StatusInternalServerError, httpkey.ResponseDamaged)
	c.want(t, 1)
}

type damaging struct{ hapax.Ledger }

func (d *damaging) Commit(ctx context.Context, c hapax.Claim, _ hapax.Receipt) error {
	return d.Ledger.Commit(ctx, c, hapax.Receipt("what is this"))
}

// TestS51OverLimit: a response that is too large to keep reaches the first client
// whole, and its copies are told what it was.
func TestS51OverLimit(t *testing.T) {
	for name, limits := range map[string][2]int{ // of the middleware, of the ledger
		"the middleware's":             {600, 64 << 10},
		"the middleware's, by headers": {1000 + 100, 64 << 10},
		"the ledger's":                 {64 << 10, 600},
	} {
		t.Run(name, func(t *testing.T) {
			runs := 0
			body := strings.Repeat("0123456789", 100)
			l := openLedgerWith(t, ledger.Options{Digests: true, MaxReceipt: limits[1]})
			o := options()
			o.MaxResponse = limits[0]
			h := wrap(t, l, o).Wrap(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				runs++
				w.Header().Set("X-Long", strings.Repeat("x", 100))
				w.WriteHeader(http.StatusAccepted)
				for n := 0; n < len(body); n += 100 {
					_, _ = io.WriteString(w, body[n:n+100])
				}
			}))
			first := serve(h, request("k", "{}"))
			if first.Code != http.StatusAccepted || first.Body.String() != body || first.Header().Get("X-Long") == "" {
				t.Errorf("the first response: %d, %d bytes", first.Code, first.Body.Len())
			}
			p := wantProblem(t, serve(h, request("k", "{}")), http.StatusConflict, httpkey.ResponseNotKept)
			if p.OriginalStatus != http.StatusAccepted || runs != 1 {
				t.Errorf("%+v after %d runs", p, runs)
			}
			wantProblem(t, serve(h, request("k", "[]")), http.StatusUnprocessableEntity, httpkey.KeyReused)
		})
	}
}
