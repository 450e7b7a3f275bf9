package otelinbox_test

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/baggage"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/adapter/otelinbox"
	"github.com/hapaxmq/hapax/identity"
	"github.com/hapaxmq/hapax/inbox"
	"github.com/hapaxmq/hapax/ledger"
)

const (
	producerTrace = "4bf92f3577b34da6a3ce929d0e0e4736"
	producerSpan  = "00f067aa0ba902b7"
)

var errDown = errors.New("connection refused")

// rig is an inbox whose spans are kept.
type rig struct {
	*inbox.Inbox

	spans    *tracetest.InMemoryExporter
	provider *sdk.TracerProvider
	seen     context.Context // of the last run of the handler
	down     error           // the ledger's
}

// rigLedger is the ledger of a rig, which can be asked unless it is down.
type rigLedger struct {
	hapax.Ledger

	r *rig
}

func (l rigLedger) Claim(ctx context.Context, q hapax.Request) (hapax.Claim, error) {
	if l.r.down != nil {
		return hapax.Claim{}, l.r.down
	}
	return l.Ledger.Claim(ctx, q)
}

func newRig(t *testing.T, o otelinbox.Options, change func(*inbox.Options)) *rig {
	t.Helper()
	r := &rig{spans: tracetest.NewInMemoryExporter()}
	r.provider = sdk.NewTracerProvider(sdk.WithSyncer(r.spans))
	o.TracerProvider = r.provider
	o.Propagator = propagation.NewCompositeTextMapPropagator(propagation.TraceContext{}, propagation.Baggage{})
	l, err := ledger.Open("", ledger.Options{Window: hapax.Window{Time: time.Hour}, Digests: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	settings := inbox.Options{Name: "billing", Identity: "header:id", Window: time.Hour, Observer: otelinbox.New(o)}
	if change != nil {
		change(&settings)
	}
	r.Inbox, err = inbox.Lease(rigLedger{l, r}, settings, func(ctx context.Context, _ hapax.Claim, m *hapax.Message) (hapax.Receipt, error) {
		r.seen = ctx
		switch string(m.Value) {
		case "fail":
			return nil, errors.New("declined")
		case "later":
			return nil, inbox.Later(time.Minute, errors.New("closed"))
		case "panic":
			panic("declined")
		}
		return nil, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func message(id, value string, more ...string) *hapax.Message {
	m := &hapax.Message{Headers: []hapax.Header{{Name: "id", Value: []byte(id)}}, Value: []byte(value)}
	for i := 0; i+1 < len(more); i += 2 {
		m.Headers = append(m.Headers, hapax.Header{Name: more[i], Value: []byte(more[i+1])})
	}
	return m
}

// handle takes in a message, and returns its span.
func (r *rig) handle(ctx context.Context, t *testing.T, m *hapax.Message) tracetest.SpanStub {
	t.Helper()
	r.spans.Reset()
	func() {
		defer func() { _ = recover() }()
		_, _ = r.Handle(ctx, m)
	}()
	spans := r.spans.GetSpans()
	if len(spans) != 1 {
		t.Fatalf("%d spans, want one", len(spans))
	}
	return spans[0]
}

func attributes(s tracetest.SpanStub) map[string]string {
	all := map[string]string{}
	for _, a := range s.Attributes {
		all[string(a.Key)] = a.Value.String()
	}
	return all
}

func TestSpan(t *testing.T) {
	r := newRig(t, otelinbox.Options{
		System: "kafka", Destination: "orders", Group: "billing-1",
		MessageID:  func(m *hapax.Message) string { id, _ := m.Header("id"); return string(id) },
		Attributes: []attribute.KeyValue{attribute.String("server.address", "kafka.example.org")},
	}, nil)
	m := message("o-1", "paid")
	m.Position = hapax.Position{Source: "orders/3", Offset: 17}
	s := r.handle(t.Context(), t, m)
	if s.Name != "process orders" || s.SpanKind != trace.SpanKindConsumer || s.Status.Code != codes.Unset || len(s.Links) != 0 {
		t.Errorf("span %+v", s)
	}
	if s.InstrumentationScope.SchemaURL != otelinbox.SchemaURL {
		t.Errorf("schema %q", s.InstrumentationScope.SchemaURL)
	}
	id, err := r.Identity(m)
	if err != nil {
		t.Fatal(err)
	}
	key := identity.SharedKey("billing", id)
	got := attributes(s)
	for name, want := range map[string]string{
		"messaging.system": "kafka", "messaging.operation.name": "process", "messaging.operation.type": "process",
		"messaging.destination.name": "orders", "messaging.consumer.group.name": "billing-1", "messaging.message.id": "o-1",
		"messaging.message.body.size": "4", "server.address": "kafka.example.org",
		"hapax.inbox": "billing", "hapax.guarantee": "lease", "hapax.outcome": "executed", "hapax.handler.runs": "1",
		"hapax.message.key": hex.EncodeToString(key[:]), "hapax.source": "orders/3", "hapax.offset": "17",
	} {
		if got[name] != want {
			t.Errorf("%s: %q, want %q", name, got[name], want)
		}
	}
	if len(got) != 15 {
		t.Errorf("%d attributes, want 15: %v", len(got), got)
	}
	if in := trace.SpanContextFromContext(r.seen); in.SpanID() != s.SpanContext.SpanID() {
		t.Errorf("the handler is in span %v, want %v", in.SpanID(), s.SpanContext.SpanID())
	}
}

// Which outcomes are errors.
func TestStatus(t *testing.T) {
	r := newRig(t, otelinbox.Options{}, func(o *inbox.Options) { o.Committed = 8 })
	check := func(m *hapax.Message, outcome, failure string) map[string]string {
		t.Helper()
		s := r.handle(t.Context(), t, m)
		got := attributes(s)
		if s.Name != "process" || got["hapax.outcome"] != outcome || s.Status.Description != failure ||
			(s.Status.Code == codes.Error) != (failure != "") {
			t.Errorf("span %q, %v, want an outcome %q and an error %q", s.Name, s.Status, outcome, failure)
		}
		if want := map[bool]string{true: outcome}[failure != ""]; got["error.type"] != want {
			t.Errorf("error.type is %q, want %q", got["error.type"], want)
		}
		return got
	}
	check(message("1", "a"), "executed", "")
	if got := check(message("1", "a"), "replayed", ""); got["hapax.cached"] != "true" || got["hapax.handler.runs"] != "0" {
		t.Errorf("a copy has %v", got)
	}
	check(message("1", "b"), "conflicted", "claim: hapax: identity reused with another payload")
	check(message("2", "fail"), "failed", "declined")
	check(message("2", "later"), "failed", "")
	check(message("2", "panic"), "failed", "the handler panicked")
	if got := check(&hapax.Message{}, "nameless", `name the message: hapax: message has no identity: it has no header "id"`); got["hapax.message.key"] != "" {
		t.Errorf("one without a name has %v", got)
	}
	r.down = errDown
	check(message("3", "a"), "unanswered", "claim: connection refused")
}

func TestOpen(t *testing.T) {
	r := newRig(t, otelinbox.Options{}, func(o *inbox.Options) { o.StoreDown = inbox.FailOpen })
	r.down = errDown
	if got := attributes(r.handle(t.Context(), t, message("1", "a"))); got["hapax.outcome"] != "passed" || got["hapax.open"] != "true" {
		t.Errorf("a message that ran without a claim has %v", got)
	}
}

// The producer's span is linked, or gone on with, and never taken for what it is not.
func TestProducer(t *testing.T) {
	sent := "00-" + producerTrace + "-" + producerSpan + "-01"
	for _, test := range []struct {
		name, header, value string
		goOn, below         bool // the caller has a span
		linked, parent      bool
	}{
		{name: "link", header: "traceparent", value: sent, linked: true},
		{name: "other case", header: "Traceparent", value: sent, linked: true},
		{name: "link below the caller's", header: "traceparent", value: sent, below: true, linked: true},
		{name: "go on", header: "traceparent", value: sent, goOn: true, parent: true},
		{name: "go on below the caller's", header: "traceparent", value: sent, goOn: true, below: true, linked: true},
		{name: "broken", header: "traceparent", value: sent[:20]},
		{name: "none", header: "other", value: sent, goOn: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := newRig(t, otelinbox.Options{Continue: test.goOn}, nil)
			ctx := t.Context()
			var caller trace.SpanContext
			if test.below {
				caller = trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}, TraceFlags: trace.FlagsSampled})
				ctx = trace.ContextWithSpanContext(ctx, caller)
			}
			s := r.handle(ctx, t, message("1", "a", test.header, test.value))
			if linked := len(s.Links) == 1 && s.Links[0].SpanContext.TraceID().String() == producerTrace &&
				s.Links[0].SpanContext.SpanID().String() == producerSpan; linked != test.linked || !linked && len(s.Links) > 0 {
				t.Errorf("links %v", s.Links)
			}
			parent := s.Parent.SpanID().String()
			switch {
			case test.parent && (parent != producerSpan || s.SpanContext.TraceID().String() != producerTrace):
				t.Errorf("in trace %v below %v, want the producer's", s.SpanContext.TraceID(), parent)
			case test.below && s.Parent.SpanID() != caller.SpanID():
				t.Errorf("below %v, want the caller's", parent)
			case !test.parent && !test.below && s.Parent.IsValid():
				t.Errorf("below %v, want nobody's", parent)
			}
		})
	}
}

func TestBaggage(t *testing.T) {
	r := newRig(t, otelinbox.Options{}, nil)
	r.handle(t.Context(), t, message("1", "a", "baggage", "tenant=north"))
	if tenant := baggage.FromContext(r.seen).Member("tenant").Value(); tenant != "north" {
		t.Errorf("the handler sees tenant %q", tenant)
	}
}

// What an inbox logs of a message leads to its trace.
func TestLogs(t *testing.T) {
	var text strings.Builder
	logger := slog.New(otelinbox.Logs(slog.NewJSONHandler(&text, nil))).With("service", "billing")
	r := newRig(t, otelinbox.Options{}, func(o *inbox.Options) { o.Logger = logger })
	r.handle(t.Context(), t, message("1", "a"))
	text.Reset()
	s := r.handle(t.Context(), t, message("1", "b"))
	var line map[string]any
	if err := json.Unmarshal([]byte(text.String()), &line); err != nil {
		t.Fatalf("%v in %q", err, text.String())
	}
	key, _ := line["key"].(string)
	if line["trace_id"] != s.SpanContext.TraceID().String() || line["span_id"] != s.SpanContext.SpanID().String() ||
		line["service"] != "billing" || key == "" || !strings.HasPrefix(attributes(s)["hapax.message.key"], key) {
		t.Errorf("logged %v", line)
	}
	text.Reset()
	logger.WithGroup("job").Info("begun", "n", 1)
	if strings.Contains(text.String(), "trace_id") {
		t.Errorf("logged outside of a span: %s", text.String())
	}
}

// Without a provider there is nothing to see, and nothing breaks.
func TestGlobalsThatNobodySet(t *testing.T) {
	in, err := inbox.AtLeastOnce(inbox.Options{Name: "addresses", Observer: otelinbox.New(otelinbox.Options{})},
		func(context.Context, *hapax.Message) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	if r, err := in.Handle(t.Context(), message("1", "a")); r.Outcome != hapax.Executed || err != nil {
		t.Errorf("%v, %v", r.Outcome, err)
	}
}
