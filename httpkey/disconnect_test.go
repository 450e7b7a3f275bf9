package httpkey_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/httpkey"
)

// patience is how long a test waits for what must happen.
const patience = time.Minute

// over is a server, and the contexts of its clients' requests as it sees them.
type over struct {
	*httptest.Server

	clients chan context.Context
}

func listen(t *testing.T, l hapax.Ledger, o httpkey.Options, next http.Handler) *over {
	t.Helper()
	s := &over{clients: make(chan context.Context, 100)}
	o.Observer.Begin = func(ctx context.Context, _ *httpkey.Middleware, _ *http.Request) context.Context {
		select {
		case s.clients <- ctx:
		default: // await asks as often as it takes, and nobody reads so many
		}
		return ctx
	}
	s.Server = httptest.NewServer(wrap(t, l, o).Wrap(next))
	t.Cleanup(s.Close)
	return s
}

// answered is a response that was read.
type answered struct {
	status int
	header http.Header
	body   string
}

// post sends a request of the tenant "ann" with the key "k".
func (s *over) post(ctx context.Context) (answered, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.URL+"/charges", strings.NewReader("{}"))
	if err != nil {
		return answered{}, err
	}
	r.Header.Set(tenantHeader, "ann")
	r.Header.Set(httpkey.Header, "k")
	w, err := s.Client().Do(r)
	if err != nil {
		return answered{}, err
	}
	body, err := io.ReadAll(w.Body)
	return answered{w.StatusCode, w.Header, string(body)}, errors.Join(err, w.Body.Close())
}

// await posts until the request is no longer in flight.
func (s *over) await(t *testing.T) answered {
	t.Helper()
	for until := time.Now().Add(patience); time.Now().Before(until); {
		a, err := s.post(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(a.body, string(httpkey.InFlight)) {
			return a
		}
	}
	t.Fatal("the request stays in flight")
	return answered{}
}

// TestS51ClientDisconnects: the handler works on, and its answer is there for the copy.
func TestS51ClientDisconnects(t *testing.T) {
	c := newHeld()
	s := listen(t, openLedger(t), options(), c)
	ctx, leave := context.WithCancel(t.Context())
	left := make(chan error)
	go func() {
		_, err := s.post(ctx)
		left <- err
	}()
	r := <-c.began
	leave()
	if err := <-left; !errors.Is(err, context.Canceled) {
		t.Errorf("the client: %v", err)
	}
	<-(<-s.clients).Done() // the server knows
	if err := r.Context().Err(); err != nil {
		t.Errorf("the handler's context has ended with its client: %v", err)
	}
	close(c.goOn)
	if a := s.await(t); a.status != http.StatusCreated || a.body != `{"charge":1}` || a.header.Get(httpkey.ReplayedHeader) != "true" {
		t.Errorf("the copy was given %+v", a)
	}
	c.want(t, 1)
}

// TestS51EndWithClient: a handler that returns because its client has gone is not
// taken for one that is done.
func TestS51EndWithClient(t *testing.T) {
	var c charges
	o := options()
	o.EndWithClient = true
	began, first := make(chan struct{}), true
	s := listen(t, openLedger(t), o, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if first {
			first = false
			close(began)
			<-r.Context().Done()
			return
		}
		c.ServeHTTP(w, r)
	}))
	ctx, leave := context.WithCancel(t.Context())
	left := make(chan struct{})
	go func() {
		defer close(left)
		_, _ = s.post(ctx)
	}()
	<-began
	leave()
	<-left
	if a := s.await(t); a.status != http.StatusCreated || a.header.Get(httpkey.ReplayedHeader) != "" {
		t.Errorf("the copy was given %+v", a)
	}
	c.want(t, 1)
}

// TestS51StoredIsDeclared: before it has an effect, a handler of a stored response can
// see that it can't stream.
func TestS51StoredIsDeclared(t *testing.T) {
	s := listen(t, openLedger(t), options(), http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if _, ok := w.(http.Flusher); ok {
			t.Error("a Flusher")
		}
		if _, ok := w.(http.Hijacker); ok {
			t.Error("a Hijacker")
		}
		rc := http.NewResponseController(w)
		if err := rc.Flush(); !errors.Is(err, http.ErrNotSupported) {
			t.Errorf("flush: %v", err)
		}
		if _, _, err := rc.Hijack(); !errors.Is(err, http.ErrNotSupported) {
			t.Errorf("hijack: %v", err)
		}
		soon := time.Now().Add(patience)
		if err := errors.Join(rc.SetReadDeadline(soon), rc.SetWriteDeadline(soon), rc.EnableFullDuplex()); err != nil {
			t.Error(err)
		}
	}))
	if _, err := s.post(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// TestS51Streamed: what a handler flushes is read before it ends, and its copies are
// told that nothing of it was kept.
func TestS51Streamed(t *testing.T) {
	o := options()
	o.Responses = httpkey.Streamed
	read, runs := make(chan struct{}), 0
	s := listen(t, openLedger(t), o, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		runs++
		w.WriteHeader(http.StatusAccepted)
		_, _ = io.WriteString(w, "one\n")
		w.(http.Flusher).Flush()
		if err := http.NewResponseController(w).Flush(); err != nil {
			t.Error(err)
		}
		<-read
		_, _ = io.WriteString(w, "two\n")
	}))
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL+"/charges", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set(tenantHeader, "ann")
	r.Header.Set(httpkey.Header, "k")
	w, err := s.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Body.Close()
	lines := bufio.NewReader(w.Body)
	if line, err := lines.ReadString('\n'); line != "one\n" || err != nil {
		t.Errorf("read %q, %v", line, err)
	}
	close(read)
	if rest, err := io.ReadAll(lines); string(rest) != "two\n" || err != nil {
		t.Errorf("read %q, %v", rest, err)
	}
	if a := s.await(t); a.status != http.StatusConflict || runs != 1 ||
		!strings.Contains(a.body, string(httpkey.ResponseNotKept)) || !strings.Contains(a.body, `"original_status":202`) {
		t.Errorf("the copy was given %+v after %d runs", a, runs)
	}
}

// TestS51Hijacked: a route that is declared so may take the connection over.
func TestS51Hijacked(t *testing.T) {
	o := options()
	o.Responses = httpkey.Streamed
	s := listen(t, openLedger(t), o, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nmine\n")
		_ = conn.Close()
	}))
	if a, err := s.post(t.Context()); a.body != "mine\n" || err != nil {
		t.Errorf("read %+v, %v", a, err)
	}
	if a := s.await(t); !strings.Contains(a.body, `"original_status":101`) {
		t.Errorf("the copy was given %+v", a)
	}
}

// TestStreamedDoubt: a response that has left is cut, if the run could not be kept.
func TestStreamedDoubt(t *testing.T) {
	for name, responses := range map[string]httpkey.Responses{"streamed": httpkey.Streamed, "over the limit": httpkey.Stored} {
		t.Run(name, func(t *testing.T) {
			o := options()
			o.Responses, o.MaxResponse = responses, 10
			s := listen(t, &failing{Ledger: openLedger(t), commit: hapax.ErrUnknown}, o, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				_, _ = io.WriteString(w, strings.Repeat("x", 64<<10))
			}))
			if a, err := s.post(t.Context()); err == nil {
				t.Errorf("%d bytes were read to a good end", len(a.body))
			}
		})
	}
}

// TestLeaseIsLost: the handler is told before its lease ends, and its answer goes to
// nobody.
func TestLeaseIsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var seen watched
		o := options()
		o.Observer = seen.observer()
		l := &failing{Ledger: openLedger(t), extend: errDown}
		began := time.Now()
		h := wrap(t, l, o).Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			<-r.Context().Done()
			if cause := context.Cause(r.Context()); !errors.Is(cause, hapax.ErrLeaseLost) || time.Since(began) >= lease {
				t.Errorf("after %v: %v", time.Since(began), cause)
			}
			w.WriteHeader(http.StatusCreated)
		}))
		wantProblem(t, serve(h, request("k", "{}")), http.StatusServiceUnavailable, httpkey.OutcomeUnknown)
		seen.want(t, hapax.Lost, http.StatusServiceUnavailable)
	})
}

// TestHangingStore: a store that never answers is not waited for.
func TestHangingStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := wrap(t, hanging{}, options()).Wrap(http.NotFoundHandler())
		began := time.Now()
		wantProblem(t, serve(h, request("k", "{}")), http.StatusServiceUnavailable, httpkey.StoreUnavailable)
		if waited := time.Since(began); waited > lease {
			t.Errorf("it was waited for %v", waited)
		}
	})
}

type hanging struct{ hapax.Ledger }

func (hanging) Claim(ctx context.Context, _ hapax.Request) (hapax.Claim, error) {
	<-ctx.Done()
	return hapax.Claim{}, ctx.Err()
}

// TestSilentClient: one that sends only a part of its body takes no key.
func TestSilentClient(t *testing.T) {
	var c charges
	s := listen(t, openLedger(t), options(), &c)
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, err = io.WriteString(conn, "POST /charges HTTP/1.1\r\nHost: x\r\nX-Tenant: ann\r\nIdempotency-Key: \"k\"\r\nContent-Length: 2\r\n\r\n{")
	if err != nil {
		t.Fatal(err)
	}
	<-s.clients // it is being read
	if a, err := s.post(t.Context()); err != nil || a.status != http.StatusCreated {
		t.Errorf("beside it: %+v, %v", a, err)
	}
	c.want(t, 1)
}
