package otelinbox

import (
	"context"
	"encoding/hex"
	"strings"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/baggage"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/inbox"
)

// SchemaURL names the version of OpenTelemetry's conventions that spans follow.
const SchemaURL = semconv.SchemaURL

// The attributes of spans that are this package's own.
const (
	Inbox      = attribute.Key("hapax.inbox")        // the handler's name
	Guarantee  = attribute.Key("hapax.guarantee")    // an [inbox.Guarantee], such as "transaction"
	Outcome    = attribute.Key("hapax.outcome")      // a [hapax.Outcome], such as "replayed"
	MessageKey = attribute.Key("hapax.message.key")  // hash of name and identity, in hex
	Runs       = attribute.Key("hapax.handler.runs") // 0 of a copy, 2 where a transaction was run again
	Cached     = attribute.Key("hapax.cached")       // true: answered from memory
	Open       = attribute.Key("hapax.open")         // true: ran without a claim, for the ledger could not be asked
	Source     = attribute.Key("hapax.source")       // of the message's position
	Offset     = attribute.Key("hapax.offset")       // of the message's position
)

// Options says what an inbox does not know of its messages.
type Options struct {
	TracerProvider trace.TracerProvider          // nil: the global one
	Propagator     propagation.TextMapPropagator // reads the producer's context from headers; nil: the global one

	System      string // of messaging, such as "kafka", "rabbitmq", "nats"
	Destination string // the topic, queue or subject; it is in the name of spans
	Group       string // of consumers
	// MessageID is a message's id as the broker or its users have it. Nil: none, for ids
	// may be personal.
	MessageID  func(*hapax.Message) string
	Attributes []attribute.KeyValue // of every span, beside the others

	// Continue puts a span into the trace of its message's producer, below its span,
	// where the context that the inbox is given has none. The default is a link, for one
	// trace of all that a message caused may get long.
	Continue bool
}

// New makes what traces an inbox, or several with the same destination.
func New(o Options) inbox.Observer {
	if o.TracerProvider == nil {
		o.TracerProvider = otel.GetTracerProvider()
	}
	if o.Propagator == nil {
		o.Propagator = otel.GetTextMapPropagator()
	}
	t := &tracer{
		o:    o,
		name: strings.TrimSpace("process " + o.Destination),
		tracer: o.TracerProvider.Tracer("github.com/hapaxmq/hapax/adapter/otelinbox",
			trace.WithSchemaURL(SchemaURL)),
	}
	t.always = append(t.always, semconv.MessagingOperationName("process"), semconv.MessagingOperationTypeProcess)
	if o.System != "" {
		t.always = append(t.always, semconv.MessagingSystemKey.String(o.System))
	}
	if o.Destination != "" {
		t.always = append(t.always, semconv.MessagingDestinationName(o.Destination))
	}
	if o.Group != "" {
		t.always = append(t.always, semconv.MessagingConsumerGroupName(o.Group))
	}
	t.always = append(t.always, o.Attributes...)
	return inbox.Observer{Begin: t.begin, End: t.end}
}

type tracer struct {
	o      Options
	name   string // of spans
	always []attribute.KeyValue
	tracer trace.Tracer
}

type spanKey struct{} // of ours in a context, to which others may have added theirs

func (t *tracer) begin(ctx context.Context, in *inbox.Inbox, m *hapax.Message) context.Context {
	from := t.o.Propagator.Extract(context.Background(), headers(m.Headers))
	if b := baggage.FromContext(from); b.Len() > 0 {
		ctx = baggage.ContextWithBaggage(ctx, b)
	}
	options := append(make([]trace.SpanStartOption, 0, 4), trace.WithSpanKind(trace.SpanKindConsumer),
		trace.WithAttributes(t.always...),
		trace.WithAttributes(t.of(in, m)...))
	switch producer := trace.SpanContextFromContext(from); {
	case !producer.IsValid():
	case t.o.Continue && !trace.SpanContextFromContext(ctx).IsValid():
		ctx = trace.ContextWithRemoteSpanContext(ctx, producer)
	default:
		options = append(options, trace.WithLinks(trace.Link{SpanContext: producer}))
	}
	ctx, span := t.tracer.Start(ctx, t.name, options...)
	return context.WithValue(ctx, spanKey{}, span)
}

// of are the attributes of one message that samplers may want to know.
func (t *tracer) of(in *inbox.Inbox, m *hapax.Message) []attribute.KeyValue {
	at := append(make([]attribute.KeyValue, 0, 6), Inbox.String(in.Name()), Guarantee.String(in.Guarantee().String()),
		semconv.MessagingMessageBodySize(len(m.Value)))
	if p := m.Position; p.Source != "" {
		at = append(at, Source.String(p.Source), Offset.Int64(p.Offset))
	}
	if t.o.MessageID != nil {
		if id := t.o.MessageID(m); id != "" {
			at = append(at, semconv.MessagingMessageID(id))
		}
	}
	return at
}

func (t *tracer) end(ctx context.Context, d inbox.Delivery) {
	span, ok := ctx.Value(spanKey{}).(trace.Span)
	if !ok {
		return
	}
	defer span.End()
	if !span.IsRecording() {
		return
	}
	span.SetAttributes(Outcome.String(d.Outcome.String()), Runs.Int(d.Runs))
	if len(d.Identity) > 0 {
		span.SetAttributes(MessageKey.String(hex.EncodeToString(d.Key[:])))
	}
	if d.Cached {
		span.SetAttributes(Cached.Bool(true))
	}
	if d.Open {
		span.SetAttributes(Open.Bool(true))
	}
	if !isError(d) {
		return
	}
	text := "the handler panicked"
	if d.Err != nil {
		text = d.Err.Error()
	}
	span.SetAttributes(semconv.ErrorTypeKey.String(d.Outcome.String()))
	span.SetStatus(codes.Error, text)
}

// isError tells whether a delivery ended as somebody should look into.
func isError(d inbox.Delivery) bool {
	switch d.Outcome {
	case hapax.Executed, hapax.Passed, hapax.Held:
		return false
	case hapax.Replayed:
		return d.Err != nil
	case hapax.Failed:
		return inbox.Settle(hapax.Result{Outcome: d.Outcome}, d.Err).Failed
	}
	return true
}

// headers are read by propagators. Their names are compared without regard to case, as
// those of brokers over HTTP's and NATS's libraries may have changed it.
type headers []hapax.Header

// Get returns the first value, or "".
func (h headers) Get(name string) string {
	for i := range h {
		if strings.EqualFold(h[i].Name, name) {
			return string(h[i].Value)
		}
	}
	return ""
}

// Set does nothing: messages are never changed.
func (headers) Set(string, string) {}

// Keys lists the names.
func (h headers) Keys() []string {
	names := make([]string, len(h))
	for i := range h {
		names[i] = h[i].Name
	}
	return names
}
