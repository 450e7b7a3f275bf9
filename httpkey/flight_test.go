package httpkey_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/httpkey"
)

// held is a handler that says when it began and waits until it may go on.
type held struct {
	charges

	began chan *http.Request
	goOn  chan struct{}
}

func newHeld() *held { return &held{began: make(chan *http.Request), goOn: make(chan struct{})} }

func (h *held) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.began <- r
	<-h.goOn
	h.charges.ServeHTTP(w, r)
}

func TestS49InFlight(t *testing.T) {
	c := newHeld()
	var seen watched
	o := options()
	o.Observer = seen.observer()
	h := wrap(t, openLedger(t), o).Wrap(c)
	var first *httptest.ResponseRecorder
	done := make(chan struct{})
	go func() {
		defer close(done)
		first = serve(h, request("k", `{"amount":1}`))
	}()
	<-c.began

	w := serve(h, request("k", `{"amount":1}`))
	wantProblem(t, w, http.StatusConflict, httpkey.InFlight)
	if after, err := strconv.Atoi(w.Header().Get("Retry-After")); err != nil || after != 1 {
		t.Errorf("Retry-After: %q", w.Header().Get("Retry-After"))
	}
	seen.want(t, hapax.Held, http.StatusConflict)
	w = serve(h, request("k", `{"amount":2}`)) // another payload is told before that
	wantProblem(t, w, http.StatusUnprocessableEntity, httpkey.KeyReused)
	seen.want(t, hapax.Conflicted, http.StatusUnprocessableEntity)

	close(c.goOn)
	<-done
	wantSame(t, first, serve(h, request("k", `{"amount":1}`)))
	seen.want(t, hapax.Replayed, http.StatusCreated)
	c.want(t, 1)
}

func TestS49Wait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newHeld()
		o := options()
		o.Wait = 20 * time.Second
		l := openLedger(t)
		h := wrap(t, l, o).Wrap(c)
		var first *httptest.ResponseRecorder
		var all sync.WaitGroup
		all.Go(func() { first = serve(h, request("k", "{}")) })
		<-c.began

		began := time.Now()
		wantProblem(t, serve(h, request("k", "{}")), http.StatusConflict, httpkey.InFlight)
		if waited := time.Since(began); waited < o.Wait-time.Second || waited > o.Wait {
			t.Errorf("a copy waited for %v", waited)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		serve(h, request("k", "{}").WithContext(ctx)) // one whose client is gone does not wait
		if waited := time.Since(began); waited > o.Wait {
			t.Errorf("a copy without a client waited for %v", waited-o.Wait)
		}
		var copied *httptest.ResponseRecorder
		all.Go(func() { copied = serve(h, request("k", "{}")) })
		<-time.After(5 * time.Second)
		close(c.goOn)
		all.Wait()
		wantSame(t, first, copied)
		c.want(t, 1)
	})
}

// TestSlowHandler: the lease is kept for as long as the handler works.
func TestSlowHandler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newHeld()
		o := options()
		o.Limits.Run = 20 * lease
		h := wrap(t, openLedger(t), o).Wrap(c)
		var all sync.WaitGroup
		var first *httptest.ResponseRecorder
		all.Go(func() { first = serve(h, request("k", "{}")) })
		<-c.began
		for range 10 {
			<-time.After(lease)
			wantProblem(t, serve(h, request("k", "{}")), http.StatusConflict, httpkey.InFlight)
		}
		close(c.goOn)
		all.Wait()
		wantSame(t, first, serve(h, request("k", "{}")))
		c.want(t, 1)
	})
}

// TestCrowd sends copies of some requests at once, whose handlers fail at times.
func TestCrowd(t *testing.T) {
	const keys, copies = 20, 16
	var made [keys]int
	var tried [keys]int
	var mu sync.Mutex
	o := options()
	m := wrap(t, openLedger(t), o)
	h := m.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		run, _ := httpkey.FromContext(r.Context())
		n, _ := strconv.Atoi(run.Key)
		mu.Lock()
		defer mu.Unlock()
		if tried[n]++; tried[n] <= n%3 {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		made[n]++
		_, _ = fmt.Fprintf(w, "charge %d", n)
	}))
	var all sync.WaitGroup
	for range copies {
		all.Go(func() {
			for n := range keys {
				w := serve(h, request(strconv.Itoa(n), "{}"))
				for w.Code != http.StatusOK {
					if w.Code != http.StatusConflict && w.Code != http.StatusBadGateway {
						t.Errorf("status %d", w.Code)
						return
					}
					w = serve(h, request(strconv.Itoa(n), "{}"))
				}
				if got := w.Body.String(); got != fmt.Sprintf("charge %d", n) {
					t.Errorf("of key %d: %q", n, got)
				}
			}
		})
	}
	all.Wait()
	for n, times := range made {
		if times != 1 {
			t.Errorf("key %d was charged %d times", n, times)
		}
	}
	stats := m.Stats()
	var sum uint64
	for _, n := range stats.Outcomes {
		sum += n
	}
	if sum != stats.Requests || stats.Outcomes[hapax.Executed] != keys {
		t.Errorf("%+v: the outcomes' sum is %d", stats, sum)
	}
}

func TestFence(t *testing.T) {
	var runs []httpkey.Run
	var ids []string
	h := wrap(t, openLedger(t), options()).Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		run, ok := httpkey.FromContext(r.Context())
		if !ok {
			t.Error("no run in the context")
		}
		runs = append(runs, run)
		ids = append(ids, httpkey.ChildID(r.Context(), "settle"), httpkey.ChildID(r.Context(), "mail"))
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	serve(h, request("k", "{}"))
	serve(h, request("k", "{}"))
	eve := request("k", "{}")
	eve.Header.Set(tenantHeader, "eve")
	serve(h, eve)
	if len(runs) != 3 || runs[1].Token <= runs[0].Token || runs[0].Key != "k" || runs[0].Tenant != "ann" || runs[2].Tenant != "eve" {
		t.Errorf("runs %+v", runs)
	}
	if ids[0] != ids[2] || ids[1] != ids[3] || ids[0] == ids[1] || ids[0] == ids[4] {
		t.Errorf("ids %q: a run that comes again sends the same, and nothing else does", ids)
	}
	if _, ok := httpkey.FromContext(t.Context()); ok || httpkey.ChildID(t.Context(), "settle") != "" {
		t.Error("a run in a context of none")
	}
}
