// Package redisstreams takes messages from a stream of Redis 7 or newer, or of Valkey, to
// an inbox, as a consumer of a group, over go-redis.
//
//	stream ──▶ group ──▶ Consumer ──▶ Message ──▶ inbox ──▶ Settle ──▶ XACK, idle again, or dead letters
//	                        └──── not idle, while it is not settled
//
// An entry that was delivered and not acknowledged is pending. Redis delivers it again
// only when somebody takes it, as each consumer does with what has been idle for
// [Options].MinIdle: its consumer has died, or was silent for too long, or the answer to
// it was lost on its way. To an inbox each of these is a copy of the first. [Consumer] runs
// the loop; [Message] and [Settle] are for a loop of your own.
//
// # What becomes of a message
//
//   - While it is handled, held or waits for a handler, it is kept from being idle, three
//     times in MinIdle.
//   - [inbox.Ack]: it is acknowledged. It stays in the stream: how long is for XTRIM, or
//     the MAXLEN of whoever adds.
//   - [inbox.Retry]: if it failed it is left pending and made idle, so that whichever
//     consumer looks first takes it after the delay. If it did not, such as when another
//     process holds it, it is held for the delay and handed to the inbox again.
//   - [inbox.Stop]: the same, and no other message is taken meanwhile.
//   - [inbox.DeadLetter]: it is added to the stream of dead letters with all its fields
//     (of more than 3,000, none), its id and the reason, and acknowledged, both or neither.
//
// A message is kept away for a tenth of a second at least before it comes again.
//
// # Deliveries are counted by the server
//
// XPENDING tells how often an entry was delivered. A delivery that did not fail and is
// given back is taken off that count, so what is left are attempts that failed, and
// consumers that died or were silent for too long: [Options].Attempts bounds those. It
// also ends a message that kills each process it comes to, unlike any limit that is
// counted in memory. The price: one that was handled each time, by a process that was
// killed each time before it could acknowledge it, ends among the dead letters too.
//
// # Guarantee
//
// That of the inbox: a message is acknowledged after its outcome is known, never before,
// and what was acknowledged but for a lost answer is found to be a copy. What voids it:
//
//   - Entries that are trimmed or deleted before they were handled. One that is in the
//     hands of a consumer is handled all the same, and put to the dead letters if it has
//     to come again. One that waits in the stream, or for a consumer that died, is lost:
//     of the latter the log tells, as an error.
//   - A server that evicts keys: a stream is one. [New] refuses one whose
//     maxmemory-policy lets it take streams, unless [Options].BestEffort says that this
//     is known.
//   - A server that dies forgets what it has not synced, entries as well as
//     acknowledgements, of which only the first are lost: with appendonly yes and
//     appendfsync always nothing that was answered, with everysec about a second, without a
//     file the stream and its group. [Options].Durable demands the first. Replication is
//     asynchronous: a replica that becomes primary lacks what had not reached it.
//   - XGROUP DELCONSUMER for a consumer with entries that are pending, XGROUP SETID, and
//     XACK by others.
//
// In a Redis Cluster a stream is one key in one slot. To use several nodes take several
// streams, and a consumer for each.
//
// Several handlers keep no order, and what comes again is behind others. Identities that
// are numbers (a sequence, [inbox.ByPosition]) need their order: take one at a time, by
// one consumer with a Prefetch of 1.
package redisstreams
