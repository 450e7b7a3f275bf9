// Package otelinbox traces what inboxes do, for OpenTelemetry: its Observer makes a span
// for each message that comes in, by OpenTelemetry's conventions for messaging, which are
// still in development: those of the version in [SchemaURL].
//
//	process orders      kind consumer; from the message's coming in to its outcome
//	├── link            to the span of the producer, out of the message's headers
//	├── attributes      messaging.system, .operation.name, .operation.type, .destination.name,
//	│                   .consumer.group.name, .message.id, .message.body.size
//	│                   hapax.inbox, hapax.guarantee, hapax.outcome, hapax.message.key,
//	│                   hapax.handler.runs, hapax.cached, hapax.open, hapax.source, hapax.offset
//	└── status          an error, with error.type, where the outcome is one
//
// The handler's context has the span, so what the handler calls is below it; a handler of
// several at once has the context of their batch instead.
//
// hapax.message.key is the hash of the inbox's name and the message's identity, as shared
// stores have it as key, and of which the log shows the first eight bytes: ids
// may be personal, and [Options].MessageID is for those that are not.
//
// Errors are the outcomes failed, conflicted, lost, doubtful, unanswered, nameless,
// outdated and forfeited, which are the values of error.type, and a replayed copy that
// could not be given on. Held is none, and neither is a handler that asks for its message
// later.
//
// [Logs] puts the ids of traces into what is logged, by slog.
package otelinbox
