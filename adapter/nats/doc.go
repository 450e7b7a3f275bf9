// Package nats takes messages from NATS JetStream to an inbox, over nats.go.
//
//	stream ──▶ pull consumer ──▶ Consumer ──▶ Message ──▶ inbox ──▶ Settle ──▶ ack, nak or term
//	                                 └──── in progress, while it is not settled
//
// JetStream delivers again what was not acknowledged within the consumer's ack wait, and
// what is given back. To an inbox each of these is a copy of the first. [Consumer] runs
// the loop; [Message] and [Settle] are for a loop of your own. JetStream's own window of
// duplicates drops copies that a publisher sends again under one Nats-Msg-Id, for two
// minutes by default, and knows nothing of deliveries; the inbox drops both.
//
// # What becomes of a message
//
//   - While it is handled, held or waits for a handler, the server is told so, three times
//     in an ack wait.
//   - [inbox.Ack]: it is acknowledged.
//   - [inbox.Retry]: if it failed it goes back, to be delivered after the delay. If it did
//     not, such as when another process holds it, it is held for the delay and handed to
//     the inbox again: the server counts each delivery, and ends a message at the
//     consumer's MaxDeliver.
//   - [inbox.Stop]: the same, and no other message is taken meanwhile.
//   - [inbox.DeadLetter]: its delivery is ended with the reason, of which the server tells in
//     an advisory ($JS.EVENT.ADVISORY.CONSUMER.MSG_TERMINATED). It stays in the stream
//     as the stream's retention says: one of work queue or interest removes it.
//
// A message is kept away for a tenth of a second at least before it comes again. How often
// one that fails is tried is for MaxDeliver to say; there is no end by default.
//
// # Guarantee
//
// That of the inbox: a message is acknowledged after its outcome is known, never
// before. What voids it: a consumer that acknowledges by itself (AckNone) or others with
// it (AckAll), both of which [New] refuses; a stream that drops messages by its limits
// before they were handled; MaxDeliver, for what comes after.
//
// Several handlers keep no order, and what comes again is behind others. Identities that
// are numbers (a sequence, [inbox.ByPosition]) need their order: take one at a time, by a
// consumer whose MaxAckPending is 1.
package nats
