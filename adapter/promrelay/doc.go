// Package promrelay shows a relay and what its outbox holds to Prometheus: register what [New]
// returns where the program's other metrics are.
//
//	hapax_outbox_published_records_total{outbox}       counter    published by this relay
//	hapax_outbox_published_batches_total{outbox}       counter    in so many steps
//	hapax_outbox_set_aside_records_total{outbox}       counter    that the destination refused
//	hapax_outbox_takeovers_total{outbox}               counter    shards taken from relays that died
//	hapax_outbox_relay_errors_total{outbox}            counter    after each of which it tries again
//	hapax_outbox_publish_lag_seconds{outbox}           histogram  from when a record was put until it was published
//	hapax_outbox_relay_shards{outbox}                  gauge      that this relay works on, of four
//	hapax_outbox_pending_records{outbox}               gauge      in the outbox, whoever publishes them
//	hapax_outbox_faulty_records{outbox}                gauge      of them, set aside
//	hapax_outbox_oldest_pending_seconds{outbox}        gauge      age of the oldest of them
//
// What the outbox holds is counted by reading it: every 5 s at most, and for no more than a
// twentieth of the time. While it can't be read, those three are not there.
//
// # What to look at
//
//   - Nothing publishes, or too slowly: hapax_outbox_oldest_pending_seconds rises.
//   - Records that wait for an operator: hapax_outbox_faulty_records is above zero. Those of
//     their order keys wait too, and keep the oldest's age up.
//   - Relays that die: hapax_outbox_takeovers_total rises.
package promrelay
