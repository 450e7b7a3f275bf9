// Package otelhttpkey traces what becomes of HTTP requests with an Idempotency-Key, for
// OpenTelemetry: its Observer makes a span for each, below that of the server where its
// context has one (as package otelhttp makes them).
//
//	idempotency charges   kind internal; from the request's coming in until it is answered
//	├── attributes        hapax.httpkey, hapax.outcome, hapax.request.key, hapax.replayed, hapax.open
//	└── status            an error, with error.type, where the outcome is one
//
// The handler's context has the span, so what the handler calls is below it, and what the
// middleware adds is what the span takes beside them.
//
// hapax.request.key is the hash of tenant, method and key, as shared stores have it as key,
// and of which the log shows the first eight bytes: keys are secrets of their tenants.
//
// Errors are the outcomes failed with a status of 500 and above, lost, doubtful and unanswered,
// and a panic; they are the values of error.type. What is wrong with a request is its client's.
//
// For logs that lead to traces see Logs of package adapter/otelinbox.
package otelhttpkey
