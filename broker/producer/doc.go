// Package producer decides for one partition which batches of idempotent and
// transactional producers are new, which are repeats of what was appended, and
// which are refused (KIP-98, KIP-360).
//
//	          Check ── Duplicate: answer with the first copy's offset, once the log is
//	        ╱   │                 synced to its position
//	batch ─┤    └───── refused: answer with the code
//	        ╲
//	          Append: write to the log ── Apply ── sync ── answer
//	                                        └─ the sync fails ── Fail
//
// Check changes nothing. Whoever is told to append writes the batch to the log
// and calls Apply before another batch of the partition is checked; so all calls
// for a partition are made under one lock. Replaying the log calls Apply and End
// alone, and ends in the same state: when a producer is forgotten depends on the
// times in the log and on nothing else.
//
// A batch is pending from Apply until the log is synced to its position. A repeat
// of a pending batch is a duplicate at once, with the position to wait for.
//
// What is kept of a producer outlives the records it wrote. It is forgotten when
// it has written nothing for [Rules].Expiry and has no open transaction; before
// that only if there are more than [Rules].Most, and then the one that has been
// silent longest, which [Stats].Evicted counts. Whoever comes back after being
// forgotten may begin with any sequence number, and a repeat of what it wrote
// before is appended again.
//
// Nothing here is safe for concurrent use. Times are Unix ms as the log has
// them, and are taken not to go back.
package producer
