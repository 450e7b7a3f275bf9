package httpkey_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/httpkey"
)

type tracedKey struct{}

// TestObserver: each request is begun and ended once, and the handler works in the
// context that Begin gave.
func TestObserver(t *testing.T) {
	var began int
	var ends []httpkey.Exchange
	o := options()
	o.Observer = httpkey.Observer{
		Begin: func(ctx context.Context, m *httpkey.Middleware, r *http.Request) context.Context {
			began++
			if m.Name() != "charges" || r.URL.Path != "/charges" {
				t.Errorf("%s, %s", m.Name(), r.URL)
			}
			return context.WithValue(ctx, tracedKey{}, "trace")
		},
		End: func(ctx context.Context, e httpkey.Exchange) {
			if ctx.Value(tracedKey{}) != "trace" {
				t.Error("another context at the end")
			}
			ends = append(ends, e)
		},
	}
	m := wrap(t, openLedger(t), o)
	h := m.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Context().Value(tracedKey{}) != "trace" {
			t.Error("another context in the handler")
		}
		if r.URL.RawQuery == "panic" {
			panic(http.ErrAbortHandler)
		}
		w.WriteHeader(http.StatusAccepted)
	}))
	for _, key := range []string{"a", "", "a"} {
		serve(h, request(key, "{}"))
	}
	serve(h, request(strings.Repeat("k", 256), "{}"))
	func() {
		defer func() { _ = recover() }()
		r := request("p", "{}")
		r.URL.RawQuery = "panic"
		serve(h, r)
	}()
	var got []string
	for _, e := range ends {
		got = append(got, fmt.Sprintf("%v %d %t %t", e.Outcome, e.Status, e.Replayed, e.Key != [32]byte{}))
	}
	want := "executed 202 false true, passed 0 false false, replayed 202 true true, nameless 400 false false, failed 0 false true"
	if strings.Join(got, ", ") != want || began != len(ends) {
		t.Errorf("%d begun, ends %s; want %s", began, strings.Join(got, ", "), want)
	}
	if s := m.Stats(); s.Requests != 5 || s.Outcomes[hapax.Executed] != 1 || s.Outcomes[hapax.Failed] != 1 || len(s.Outcomes) != 5 {
		t.Errorf("%+v", s)
	}
}

// TestObservers: the contexts are one inside of the other, and the ends the other way
// round.
func TestObservers(t *testing.T) {
	var seen []string
	note := func(name string) httpkey.Observer {
		return httpkey.Observer{
			Begin: func(ctx context.Context, _ *httpkey.Middleware, _ *http.Request) context.Context {
				within, _ := ctx.Value(tracedKey{}).(string)
				seen = append(seen, "begin "+name+" in "+within)
				return context.WithValue(ctx, tracedKey{}, name)
			},
			End: func(context.Context, httpkey.Exchange) { seen = append(seen, "end "+name) },
		}
	}
	o := options()
	o.Observer = httpkey.Observers(note("a"), httpkey.Observer{}, note("b"))
	serve(wrap(t, openLedger(t), o).Wrap(new(charges)), request("k", "{}"))
	if got := strings.Join(seen, ", "); got != "begin a in , begin b in a, end b, end a" {
		t.Error(got)
	}
}

// TestLog: what operators must know is told, copies are no errors, and keys are hashes.
func TestLog(t *testing.T) {
	var log bytes.Buffer
	broken := &failing{Ledger: openLedger(t)}
	o := options()
	o.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	h := wrap(t, broken, o).Wrap(new(charges))
	said := func(what string) {
		t.Helper()
		if got := log.String(); what == "" && got != "" || !strings.Contains(got, what) {
			t.Errorf("logged %q, want %q", got, what)
		}
		if strings.Contains(log.String(), "secret-key") {
			t.Errorf("a key is in the log: %s", &log)
		}
		log.Reset()
	}
	said(`level=INFO msg="httpkey: ready" name=charges methods="[POST PATCH]" required=false window=24h0m0s`)
	serve(h, request("secret-key", "{}"))
	said("")
	serve(h, request("secret-key", "{}"))
	said(`level=DEBUG msg="httpkey: replayed" name=charges method=POST status=201 key=`)
	serve(h, request("secret-key", "[]"))
	said(`level=WARN msg="httpkey: conflicted"`)
	broken.commit = errors.Join(hapax.ErrUnknown, errDown)
	serve(h, request("secret-key 2", "{}"))
	said(`level=ERROR msg="httpkey: doubtful"`)
	broken.claim = errDown
	serve(h, request("secret-key 3", "{}"))
	said(`level=WARN msg="httpkey: unanswered"`)
}
