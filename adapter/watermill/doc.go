// Package watermill puts inboxes into routers of Watermill.
//
// A [Deduplicator] is a middleware in the place of Watermill's own. That one notes a
// message before its handler runs: if the handler fails once, or the process
// dies in it, the message comes again, is taken for a copy and is gone. This one
// claims the message, runs the handler under a lease, and commits when it has returned
// without an error.
//
//	router ──▶ claim ──▶ handler ──▶ commit ──▶ publish what it produced ──▶ ack
//	             │                     with it as the receipt     ▲
//	             └── copy: what the first run produced ───────────┘
//
// The router publishes what a handler produced when the middleware has returned, which
// is after the commit. So it is kept as the receipt of the message, and a copy is
// answered with it: if publishing failed, or the process died before it, the same
// messages are published when the message comes again, with the UUIDs they had.
// Whoever receives them may see them twice, and knows them by their UUIDs.
//
// For a handler whose effects are rows in a database use an inbox with a
// transaction, and [Handler].
//
// What an inbox does not settle is an error to Watermill, which gives the message back;
// one that asks for time is held until then, so that it does not come again at
// once. Errors that another try will not help are [DeadLetterError], for
// Watermill's PoisonQueueWithFilter and [IsDeadLetter].
package watermill
