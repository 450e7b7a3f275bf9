// Package prominbox counts what inboxes do, for Prometheus: a [Metrics] is a
// [prometheus.Collector] to register where the program's others are, and its Observer goes
// into the options of each inbox. One serves any number of inboxes.
//
//	hapax_inbox_deliveries_total{inbox,guarantee,outcome}       counter    one for each message that came in
//	hapax_inbox_deliveries_in_progress{inbox,guarantee}         gauge      that have no outcome yet
//	hapax_inbox_cached_deliveries_total{inbox}                  counter    of these, answered from memory
//	hapax_inbox_handler_reruns_total{inbox}                     counter    runs beyond the first of a delivery
//	hapax_inbox_store_errors_total{inbox,step,policy}           counter    of the store: when asked, and at the commit
//	hapax_inbox_handler_duration_seconds{inbox}                 histogram  in the handler
//	hapax_inbox_store_duration_seconds{inbox}                   histogram  beside the handler: the store, and waiting
//	hapax_inbox_duplicate_age_seconds{inbox}                    histogram  from the time that a copy carries until it came
//
// Every delivery that ended is in exactly one outcome, so the sum over outcomes is that of
// deliveries. All outcomes of an inbox are there, at zero, from its first message on.
// Messages' ids are in no label.
//
// # What to look at
//
//   - Leases that were lost: outcome="lost". The handler took longer than its limits
//     allow, or the ledger was away for a lease. Its effect may have happened twice.
//   - Commits of which nobody knows: outcome="doubtful". The messages come again.
//   - A store that can't be asked: hapax_inbox_store_errors_total. Under policy="open"
//     handlers ran all the same, and copies with them.
//   - Producers that give one id to two messages: outcome="conflicted".
//   - A window that is too short: hapax_inbox_duplicate_age_seconds comes near to
//     [inbox.Options].Window. It is known of messages that carry a time, and is right of
//     copies that all carry the time of the first.
//   - A handler that hangs: hapax_inbox_deliveries_in_progress stays up, while
//     deliveries stand still.
package prominbox
