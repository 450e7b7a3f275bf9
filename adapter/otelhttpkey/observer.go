package otelhttpkey

import (
	"context"
	"encoding/hex"
	"net/http"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/httpkey"
)

// SchemaURL names the version of OpenTelemetry's conventions that spans follow.
const SchemaURL = semconv.SchemaURL

// The attributes of spans that are this package's own.
const (
	Name       = attribute.Key("hapax.httpkey")     // the middleware's name
	Outcome    = attribute.Key("hapax.outcome")     // a [hapax.Outcome], such as "replayed"
	RequestKey = attribute.Key("hapax.request.key") // hash of tenant, method and key, in hex
	Replayed   = attribute.Key("hapax.replayed")    // true: the first response was given
	Open       = attribute.Key("hapax.open")        // true: ran without a claim, for the ledger could not be asked
)

// Options of which the zero value is good.
type Options struct {
	TracerProvider trace.TracerProvider // nil: the global one
	Attributes     []attribute.KeyValue // of every span, beside the others
}

// New makes what traces any number of middlewares.
func New(o Options) httpkey.Observer {
	if o.TracerProvider == nil {
		o.TracerProvider = otel.GetTracerProvider()
	}
	t := &tracer{
		always: o.Attributes,
		tracer: o.TracerProvider.Tracer("github.com/hapaxmq/hapax/adapter/otelhttpkey", trace.WithSchemaURL(SchemaURL)),
	}
	return httpkey.Observer{Begin: t.begin, End: t.end}
}

type tracer struct {
	always []attribute.KeyValue
	tracer trace.Tracer
}

type spanKey struct{} // of ours in a context, to which others may have added theirs

func (t *tracer) begin(ctx context.Context, m *httpkey.Middleware, _ *http.Request) context.Context {
	ctx, span := t.tracer.Start(ctx, "idempotency "+m.Name(), trace.WithAttributes(t.always...), trace.WithAttributes(Name.String(m.Name())))
	return context.WithValue(ctx, spanKey{}, span)
}

func (t *tracer) end(ctx context.Context, e httpkey.Exchange) {
	span, ok := ctx.Value(spanKey{}).(trace.Span)
	if !ok {
		return
	}
	defer span.End()
	if !span.IsRecording() {
		return
	}
	span.SetAttributes(Outcome.String(e.Outcome.String()))
	if e.Key != [32]byte{} {
		span.SetAttributes(RequestKey.String(hex.EncodeToString(e.Key[:])))
	}
	if e.Replayed {
		span.SetAttributes(Replayed.Bool(true))
	}
	if e.Open {
		span.SetAttributes(Open.Bool(true))
	}
	if !isError(e) {
		return
	}
	text := "the handler panicked"
	if e.Err != nil {
		text = e.Err.Error()
	}
	span.SetAttributes(semconv.ErrorTypeKey.String(e.Outcome.String()))
	span.SetStatus(codes.Error, text)
}

// isError tells whether a request ended as somebody of the server's should look into. Of a
// handler that wrote its response itself the status is not known, but its server is told.
func isError(e httpkey.Exchange) bool {
	switch e.Outcome {
	case hapax.Lost, hapax.Doubtful, hapax.Unanswered:
		return true
	case hapax.Failed:
		return e.Status == 0 || e.Status >= http.StatusInternalServerError
	}
	return false
}
