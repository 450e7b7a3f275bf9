package otelhttpkey_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/adapter/otelhttpkey"
	"github.com/hapaxmq/hapax/httpkey"
	"github.com/hapaxmq/hapax/ledger"
)

// away is a ledger that can't be asked if the error is set.
type away struct {
	hapax.Ledger

	asked error
}

func (a *away) Claim(ctx context.Context, r hapax.Request) (hapax.Claim, error) {
	if a.asked != nil {
		return hapax.Claim{}, a.asked
	}
	return a.Ledger.Claim(ctx, r)
}

// request is one, and what its span should say.
type request struct {
	name, key, query   string
	down               error
	outcome            hapax.Outcome
	replayed, open     bool
	isError, unhandled bool
}

func cases() []request {
	return []request{
		{name: "first", key: "1", outcome: hapax.Executed},
		{name: "copy", key: "1", outcome: hapax.Replayed, replayed: true, unhandled: true},
		{name: "conflict", key: "1", query: "other", outcome: hapax.Conflicted, unhandled: true},
		{name: "no key", outcome: hapax.Passed},
		{name: "wrong key", key: "é", outcome: hapax.Nameless, unhandled: true},
		{name: "failure", key: "2", query: "fail", outcome: hapax.Failed, isError: true},
		{name: "client's failure", key: "3", query: "busy", outcome: hapax.Failed},
		{name: "panic", key: "4", query: "panic", outcome: hapax.Failed, isError: true},
		{name: "down", key: "5", down: errors.New("refused"), outcome: hapax.Unanswered, isError: true, unhandled: true},
		{name: "down, open", key: "5", down: errors.New("refused"), open: true, outcome: hapax.Passed},
	}
}

func (test *request) check(t *testing.T, s tracetest.SpanStub) {
	has := attribute.NewSet(s.Attributes...)
	value := func(k attribute.Key) attribute.Value { v, _ := has.Value(k); return v }
	if s.Name != "idempotency charges" || value(otelhttpkey.Name).AsString() != "charges" || value("region").AsString() != "eu" ||
		value(otelhttpkey.Outcome).AsString() != test.outcome.String() || value(otelhttpkey.Replayed).AsBool() != test.replayed ||
		value(otelhttpkey.Open).AsBool() != test.open {
		t.Errorf("%s: span %q with %v", test.name, s.Name, s.Attributes)
	}
	named := test.outcome != hapax.Nameless && test.key != ""
	if key := value(otelhttpkey.RequestKey).AsString(); (len(key) == 64) != named {
		t.Errorf("%s: key %q", test.name, key)
	}
	if (s.Status.Code == codes.Error) != test.isError || (value("error.type").AsString() != "") != test.isError {
		t.Errorf("%s: %v, %v", test.name, s.Status, s.Attributes)
	}
}

// TestSpans: each request is a span below its server's, with the handler's below it, and
// it is an error where somebody of the server's should look.
func TestSpans(t *testing.T) {
	spans := tracetest.NewInMemoryExporter()
	provider := sdk.NewTracerProvider(sdk.WithSyncer(spans))
	tracer := provider.Tracer("test")
	l, err := ledger.Open("", ledger.Options{Window: hapax.Window{Time: time.Hour}, Digests: true})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	store := &away{Ledger: l}
	o := httpkey.Options{Name: "charges", Tenant: httpkey.OneTenant, Window: time.Hour, Observer: otelhttpkey.New(otelhttpkey.Options{
		TracerProvider: provider, Attributes: []attribute.KeyValue{attribute.String("region", "eu")},
	})}
	closed, err := httpkey.New(store, o)
	if err != nil {
		t.Fatal(err)
	}
	o.FailOpen = true
	open, err := httpkey.New(store, o)
	if err != nil {
		t.Fatal(err)
	}
	var worked trace.SpanContext
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		worked = trace.SpanContextFromContext(r.Context())
		switch r.URL.RawQuery {
		case "fail":
			w.WriteHeader(http.StatusBadGateway)
		case "busy":
			w.WriteHeader(http.StatusTooManyRequests)
		case "panic":
			panic(http.ErrAbortHandler)
		}
	})
	for _, test := range cases() {
		spans.Reset()
		store.asked = test.down
		by := closed
		if test.open {
			by = open
		}
		ctx, server := tracer.Start(t.Context(), "POST /charges")
		r := httptest.NewRequestWithContext(ctx, http.MethodPost, "/charges?"+test.query, http.NoBody)
		if test.key != "" {
			r.Header.Set(httpkey.Header, test.key)
		}
		worked = trace.SpanContext{}
		func() {
			defer func() { _ = recover() }()
			by.Wrap(handler).ServeHTTP(httptest.NewRecorder(), r)
		}()
		all := spans.GetSpans()
		if len(all) != 1 {
			t.Errorf("%s: %d spans", test.name, len(all))
			continue
		}
		s := all[0]
		if s.Parent.SpanID() != server.SpanContext().SpanID() {
			t.Errorf("%s: it is below %v", test.name, s.Parent.SpanID())
		}
		test.check(t, s)
		if worked.IsValid() == test.unhandled || worked.IsValid() && worked.SpanID() != s.SpanContext.SpanID() {
			t.Errorf("%s: the handler's span is %v", test.name, worked.SpanID())
		}
	}
}
