// Package httpkey lets each request with an Idempotency-Key take effect once, and
// answers its copies with the first response. It has both sides of the header field
// of draft-ietf-httpapi-idempotency-key-header-07: [Middleware] for servers, over any
// [hapax.Ledger], and [Transport] for clients.
//
//	request ──▶ key, tenant, payload ──▶ claim ──▶ handler ──▶ commit ──▶ response
//	              │                       │         lease is extended
//	              400, 403, 413           ├─ in flight: 409, Retry-After
//	                                      ├─ another payload: 422
//	                                      └─ done: the first response, Idempotency-Replayed: true
//
// # What is promised
//
// No two runs of one key overlap while the lease holds, and once a run has ended with
// a final status there is no other while the ledger remembers the key. The response
// leaves only when the ledger has it: whoever was told of a success finds the same
// one again. If the process dies, or is cut off for longer than its lease, after the
// effect and before the commit, the next copy runs again; give the resource behind
// the handler a key too ([Transport], [ChildID]), or the fencing token ([Run]), to close that gap.
//
// What voids it: a ledger that forgets inside its window; [Options.FailOpen]; a
// handler that works on after its context has ended with [hapax.ErrLeaseLost].
//
// # Whose key
//
// A key belongs to a tenant, as [Options.Tenant] tells, to the middleware's
// [Options.Name] and to the method: no request ever gets the response of another
// one's. A key that comes again with another path, query, body or chosen header is
// refused with 422. Middlewares of several names let one key be used once in each.
//
// # What is kept
//
// A run with a final status is kept: every one but 408, 425, 429 and 5xx, if
// [Options.Final] says nothing else. All others free the key, as a panic does, and
// the next copy runs at once. Of a response are kept status, headers and body, and in
// a route that is declared [Streamed], or of a response above [Options.MaxResponse],
// the status alone: its copies are told so by a problem, and do not run.
//
// Responses may hold personal data. They are in the ledger as long as the key is.
package httpkey
