// Package promledger shows what an embedded ledger counts to Prometheus: [New] makes a
// [prometheus.Collector] of it, to register where the program's others are. It reads
// [ledger.Ledger.Stats] when it is asked, and costs nothing else.
//
//	hapax_ledger_answers_total{ledger,verdict}           counter    since it was opened
//	hapax_ledger_duplicate_age_seconds{ledger}           histogram  from the first copy to the duplicate
//	hapax_ledger_ids{ledger}                             gauge      that are remembered
//	hapax_ledger_cold_ids{ledger}                        gauge      of these, on disk and not in memory
//	hapax_ledger_ids_forgotten_early_total{ledger}       counter    let go before their window ended ([ledger.Options].Evict)
//	hapax_ledger_claims{ledger}                          gauge      that are held
//	hapax_ledger_producers{ledger}                       gauge      whose numbers are remembered
//	hapax_ledger_memory_bytes{ledger}                    gauge
//	hapax_ledger_disk_bytes{ledger}                      gauge
//	hapax_ledger_reach_seconds{ledger}                   gauge      how far back every id is remembered
//	hapax_ledger_failed{ledger}                          gauge      1 if it refuses all work
//
// Names and bounds are those of the broker's windows, as hapax serve tells them
// (hapax_window_…).
package promledger
