package otelinbox

import (
	"context"
	"log/slog"

	"go.opentelemetry.io/otel/trace"
)

// Logs is h with two more attributes of what is logged below a span: trace_id and
// span_id, as OpenTelemetry names them where logs are text. Inboxes log with the context
// of the message, so each line leads to its trace. A logger's group is theirs too.
func Logs(h slog.Handler) slog.Handler { return logs{h} }

type logs struct{ slog.Handler }

// Handle adds the ids.
func (l logs) Handle(ctx context.Context, r slog.Record) error {
	if s := trace.SpanContextFromContext(ctx); s.IsValid() {
		r = r.Clone()
		r.AddAttrs(slog.String("trace_id", s.TraceID().String()), slog.String("span_id", s.SpanID().String()))
	}
	return l.Handler.Handle(ctx, r)
}

// WithAttrs keeps the ids.
func (l logs) WithAttrs(attrs []slog.Attr) slog.Handler { return logs{l.Handler.WithAttrs(attrs)} }

// WithGroup keeps the ids.
func (l logs) WithGroup(name string) slog.Handler { return logs{l.Handler.WithGroup(name)} }
