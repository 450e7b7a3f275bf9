// Package rabbitmq takes messages from RabbitMQ's queues to an inbox, over amqp091-go.
//
//	queue ──▶ Consumer ──▶ Message ──▶ inbox ──▶ Settle ──▶ ack, requeue or reject
//
// RabbitMQ delivers again what was not acknowledged when a channel or a connection is
// closed, when the acknowledgement is late (consumer_timeout), and when a message is
// given back. To an inbox each of these is a copy of the first. [Consumer] runs the
// loop; [Message] and [Settle] are for a loop of your own.
//
// # What becomes of a message
//
//   - [inbox.Ack]: it is acknowledged.
//   - [inbox.Retry]: if it failed it goes back to its queue, after the delay. If it did
//     not, such as when another process holds it, it is kept unacknowledged for the delay
//     and handed to the inbox again: a quorum queue counts each return, and would end
//     the message at its delivery-limit, which is 20 by default from RabbitMQ 4.0.
//   - [inbox.Stop]: the same, and no other message is taken meanwhile.
//   - [inbox.DeadLetter]: it is rejected, to the dead letter exchange of its queue. A queue
//     without one drops it: set one by a policy or x-dead-letter-exchange.
//
// A message is kept away for a tenth of a second at least before it comes again. How often
// one that fails is tried is for the queue to say: a quorum queue has its delivery-limit, a
// classic queue has no end.
//
// # Guarantee
//
// That of the inbox: a message is acknowledged after its outcome is known, never
// before. What voids it: a queue or an exchange that loses messages, such as one that
// is not durable; a publisher without confirms; a queue without a dead letter exchange.
// A publisher that sends again must keep the message-id.
//
// Several handlers keep no order, and what comes again is behind others. Identities
// that are numbers (a sequence) need their order: take one at a time, with a Prefetch
// of 1 and one consumer on the queue.
package rabbitmq
