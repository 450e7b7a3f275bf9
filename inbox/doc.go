// Package inbox is the consumer's door: it takes in messages that may arrive twice,
// and runs a handler for each of them as its guarantee says.
//
//	broker ──▶ Handle ──▶ identity ──▶ mark ──▶ handler ──▶ Outcome ──▶ Settle ──▶ broker
//	                                    │
//	  Transaction   begin ─▶ mark ─▶ handler's rows ─▶ receipt ─▶ commit    once
//	  Lease         claim ─▶ handler, lease extended ─▶ commit              once, but for a crash
//	                                                                        between effect and commit
//	  AtMostOnce    claim ─▶ commit ─▶ handler                              never twice
//	  AtLeastOnce   handler                                                 never lost
//
// A duplicate must be caught where the effect happens. So the first question is
// where that is, and the constructor is the answer to it:
//
//   - in a database: [Transaction], whose marks are rows beside the handler's own;
//   - outside, such as an e-mail: [Lease], over any [hapax.Ledger];
//   - nowhere that may be reached twice: [AtMostOnce];
//   - anywhere, but a second time changes nothing: [AtLeastOnce].
//
// There is no default, and the guarantee is logged when the inbox is made. What each
// promises, what voids it and what a crash leaves is said by its constructor.
//
// # Outcomes
//
// Every message that is given to [Inbox.Handle] or [Inbox.HandleBatch] comes to
// exactly one [hapax.Outcome], which is counted once ([Inbox.Stats], [Observer]).
// [Settle] tells what to do with its delivery, so that adapters to brokers have no
// policy of their own: acknowledge, give back, put to the dead letters, or stop for a
// while. Never acknowledge by another rule: a message that is acknowledged before its
// outcome is known is lost with the process.
//
// # Copies and others
//
// A copy is a message with the same identity, under the same Name, within the window.
// A message with the same identity and another payload is no copy: it is
// [hapax.Conflicted], and neither runs nor changes what is stored. Payloads are
// compared by a digest of 64 bits, of their canonical JSON if they are JSON.
//
// Only success is remembered. A handler that returns an error leaves nothing behind,
// and the next copy runs at once; [Later] and [Permanent] say more of an error.
//
// # Logs
//
// Copies are logged at Debug; conflicts, lost leases and messages without a name at
// Warn; unknown commits at Error. Identities may be personal, and are logged as the
// first eight bytes of a hash.
package inbox
