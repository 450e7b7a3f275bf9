package httpkey_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/httpkey"
	"github.com/hapaxmq/hapax/ledger"
)

func TestS47KeyOfARequest(t *testing.T) {
	var c charges
	var seen watched
	o := options()
	o.Required, o.Observer, o.Documentation = true, seen.observer(), "https://example.com/keys"
	h := wrap(t, openLedger(t), o).Wrap(&c)

	w := serve(h, request("", "{}"))
	p := wantProblem(t, w, http.StatusBadRequest, httpkey.KeyMissing)
	if p.Type != "https://example.com/keys#key-missing" || w.Header().Get("Link") != `<https://example.com/keys>; rel="describedby"; type="text/html"` {
		t.Errorf("no documentation in %+v, %v", p, w.Header())
	}
	if !strings.Contains(p.Detail, "24h") {
		t.Errorf("%q says nothing of how long a key is remembered", p.Detail)
	}
	seen.want(t, hapax.Nameless, http.StatusBadRequest)

	for _, value := range []string{`"`, "", strings.Repeat("k", 256), "a b", "\xff"} {
		r := request("", "{}")
		r.Header.Set(httpkey.Header, value)
		wantProblem(t, serve(h, r), http.StatusBadRequest, httpkey.KeyMalformed)
	}
	r := request("a", "{}")
	r.Header.Add(httpkey.Header, `"b"`)
	wantProblem(t, serve(h, r), http.StatusBadRequest, httpkey.KeyMalformed)
	c.want(t, 0)

	first := serve(h, request("k", "{}"))
	r = request("", "{}")
	r.Header.Set(httpkey.Header, "k") // the same key without quotes
	wantSame(t, first, serve(h, r))
	c.want(t, 1)
}

func TestS47KeyIsOptional(t *testing.T) {
	var c charges
	var seen watched
	o := options()
	o.Observer = seen.observer()
	h := wrap(t, openLedger(t), o).Wrap(&c)
	for n := range int64(2) {
		if w := serve(h, request("", "{}")); w.Code != http.StatusCreated {
			t.Errorf("status %d", w.Code)
		}
		seen.want(t, hapax.Passed, 0)
		c.want(t, n+1)
	}
	for range 2 { // not of a method that takes keys
		r := request("k", "{}")
		r.Method = http.MethodGet
		serve(h, r)
	}
	c.want(t, 4)
	if len(seen.ends) != 2 {
		t.Errorf("%d ends were seen, want 2", len(seen.ends))
	}
}

// TestS48OthersNeverReceiveIt uses one key in all ways that are not the same request.
func TestS48OthersNeverReceiveIt(t *testing.T) {
	for _, digests := range []bool{true, false} { // a ledger that compares none does no harm
		var c charges
		l := openLedgerWith(t, ledger.Options{Digests: digests})
		o := options()
		o.Methods = []string{http.MethodPost, http.MethodPatch}
		o.Headers = []string{"X-Version"}
		h := wrap(t, l, o).Wrap(&c)
		serve(h, request("k", `{"amount":1,"to":"bob"}`))
		c.want(t, 1)

		change := func(f func(*http.Request)) *httptest.ResponseRecorder {
			r := request("k", `{"amount":1,"to":"bob"}`)
			f(r)
			return serve(h, r)
		}
		for n, other := range []func(*http.Request){
			func(r *http.Request) { r.Header.Set(tenantHeader, "eve") },
			func(r *http.Request) { r.Method = http.MethodPatch },
		} {
			if w := change(other); w.Code != http.StatusCreated || w.Header().Get(httpkey.ReplayedHeader) != "" {
				t.Errorf("%d: %d, %v", n, w.Code, w.Header())
			}
			c.want(t, int64(n)+2)
		}
		o.Name = "refunds"
		if w := serve(wrap(t, l, o).Wrap(&c), request("k", `{"amount":1,"to":"bob"}`)); w.Code != http.StatusCreated {
			t.Errorf("under another name: %d", w.Code)
		}
		c.want(t, 4)

		body := func(s string) func(*http.Request) {
			return func(r *http.Request) { r.Body, r.ContentLength = io.NopCloser(strings.NewReader(s)), int64(len(s)) }
		}
		for _, other := range []func(*http.Request){
			body(`{"amount":2,"to":"bob"}`), body(``), body(`{"amount":1,"to":"bob"`),
			func(r *http.Request) { r.URL.Path = "/refunds" },
			func(r *http.Request) { r.URL.RawQuery = "amount=2" },
			func(r *http.Request) { r.Header.Set("X-Version", "2") },
			func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") },
		} {
			wantProblem(t, change(other), http.StatusUnprocessableEntity, httpkey.KeyReused)
		}
		if w := change(body(` { "to" : "bob", "amount":1.0 } `)); w.Header().Get(httpkey.ReplayedHeader) != "true" {
			t.Errorf("the same JSON in another order: %d", w.Code)
		}
		c.want(t, 4)
	}
}

func TestS48TenantIsRequired(t *testing.T) {
	o := options()
	o.Tenant = nil
	if _, err := httpkey.New(openLedger(t), o); err == nil {
		t.Error("a middleware without a choice of tenants")
	}
	var c charges
	h := wrap(t, openLedger(t), options()).Wrap(&c)
	r := request("k", "{}")
	r.Header.Del(tenantHeader)
	wantProblem(t, serve(h, r), http.StatusForbidden, httpkey.TenantUnknown)
	o.Tenant = func(*http.Request) (string, error) { return "ann", errors.New("signature has expired") }
	wantProblem(t, serve(wrap(t, openLedger(t), o).Wrap(&c), request("k", "{}")), http.StatusForbidden, httpkey.TenantUnknown)
	c.want(t, 0)

	o.Tenant = httpkey.OneTenant
	h = wrap(t, openLedger(t), o).Wrap(&c)
	first := serve(h, request("k", "{}"))
	r = request("k", "{}")
	r.Header.Set(tenantHeader, "eve")
	wantSame(t, first, serve(h, r))
}

func TestBody(t *testing.T) {
	o := options()
	o.MaxBody = 10
	var read string
	h := wrap(t, openLedger(t), o).Wrap(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if read = string(b); err != nil || r.ContentLength != int64(len(b)) {
			t.Errorf("read %q of %d: %v", b, r.ContentLength, err)
		}
	}))
	if serve(h, request("fits", "0123456789")); read != "0123456789" {
		t.Errorf("the handler read %q", read)
	}
	wantProblem(t, serve(h, request("long", "0123456789a")), http.StatusRequestEntityTooLarge, httpkey.BodyTooLarge)
	r := request("chunked", "0123456789a")
	r.ContentLength = -1
	wantProblem(t, serve(h, r), http.StatusRequestEntityTooLarge, httpkey.BodyTooLarge)
	r = request("declared", "")
	r.Body, r.ContentLength = io.NopCloser(iotest.ErrReader(io.ErrUnexpectedEOF)), 11 // is not even read
	wantProblem(t, serve(h, r), http.StatusRequestEntityTooLarge, httpkey.BodyTooLarge)
	r = request("cut", "")
	r.Body = io.NopCloser(io.MultiReader(strings.NewReader("01"), iotest.ErrReader(io.ErrUnexpectedEOF)))
	r.ContentLength = 5
	wantProblem(t, serve(h, r), http.StatusBadRequest, httpkey.BodyUnreadable)
	if w := serve(h, request("cut", "01234")); w.Code != http.StatusOK {
		t.Errorf("after a body that was cut: %d", w.Code)
	}
}

func TestOptions(t *testing.T) {
	for name, change := range map[string]func(*httpkey.Options){
		"name":      func(o *httpkey.Options) { o.Name = "" },
		"window":    func(o *httpkey.Options) { o.Window = 0 },
		"body":      func(o *httpkey.Options) { o.MaxBody = -1 },
		"response":  func(o *httpkey.Options) { o.MaxResponse = -1 },
		"responses": func(o *httpkey.Options) { o.Responses = 2 },
		"wait":      func(o *httpkey.Options) { o.Wait = -1 },
		"retry":     func(o *httpkey.Options) { o.RetryAfter = -1 },
		"methods":   func(o *httpkey.Options) { o.Methods = []string{http.MethodGet} },
		"lease":     func(o *httpkey.Options) { o.Lease = -1 },
	} {
		o := options()
		change(&o)
		if _, err := httpkey.New(openLedger(t), o); err == nil {
			t.Errorf("%s: was accepted", name)
		}
	}
	if _, err := httpkey.New(nil, options()); err == nil {
		t.Error("a middleware without a ledger")
	}
}
