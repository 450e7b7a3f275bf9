// Package promhttpkey counts what becomes of HTTP requests with an Idempotency-Key, for
// Prometheus: a [Metrics] is a [prometheus.Collector] to register where the program's others
// are, and its Observer goes into the options of each [httpkey.Middleware]. One serves any
// number of middlewares.
//
//	hapax_httpkey_requests_total{name,outcome}             counter    one for each request of the methods that take keys
//	hapax_httpkey_requests_in_progress{name}               gauge      that have no outcome yet
//	hapax_httpkey_replayed_responses_total{name}           counter    first responses that were given to copies
//	hapax_httpkey_store_errors_total{name,step,policy}     counter    of the ledger: when asked, and at the commit
//	hapax_httpkey_handler_duration_seconds{name}           histogram  in the handler
//	hapax_httpkey_store_duration_seconds{name}             histogram  beside the handler, of requests with a key: the ledger, and waiting
//
// Every request that ended is in exactly one outcome, so the sum over outcomes is that of
// requests. All outcomes of a middleware are there, at zero, from its first request on. Keys
// and tenants are in no label.
//
// # What to look at
//
//   - Clients that use a key for two requests: outcome="conflicted".
//   - Leases that were lost: outcome="lost". The handler took longer than its limits
//     allow, or the ledger was away for a lease. Its effect may happen twice.
//   - Commits of which nobody knows: outcome="doubtful". Clients were told to ask again.
//   - A ledger that can't be asked: hapax_httpkey_store_errors_total. Under policy="open"
//     handlers ran all the same, and copies with them.
//   - Clients that send no key where they could: outcome="passed", beside the others.
//   - Copies whose response was not kept: outcome="replayed" beyond
//     hapax_httpkey_replayed_responses_total.
package promhttpkey
