// Package mqtt takes messages from an MQTT 5 broker to an inbox, over Eclipse
// paho.golang.
//
//	session ──▶ Consumer ──▶ Message ──▶ inbox ──▶ PUBACK or PUBREC, in order; or a dead letter first
//	                             └── again and again, here: MQTT takes nothing back
//
// A broker keeps a session for a client that says so, and in it the messages of QoS 1 and
// 2 that the client has not acknowledged. It delivers them again, with the flag DUP, when
// the client connects anew: after its process died, a connection was cut or silent for
// longer than its keep-alive, another client took the session over, or the broker came
// up again. To an inbox each of these is a copy of the first. [Consumer] runs the loop;
// [Message] and [DeadLetter] are for a loop of your own.
//
// # What names a message
//
// MQTT does not: a packet identifier is of one delivery to one client, and is used for
// another message after it; DUP says that a packet was sent before, and nothing of what
// a publisher sends again. The identity has to be the publisher's: a user property
// ("header:id"), correlation-data, or something in the payload ("json:id",
// "cloudevents", "content"). This holds for QoS 2 too, which is exactly once between a
// client's memory and its broker, and ends where a process does.
//
// # What becomes of a message
//
//   - [inbox.Ack]: it is acknowledged, by PUBACK or PUBREC. MQTT demands that this is
//     done in the order of arrival: the acknowledgement of what is done waits for those
//     before it, and if the process dies meanwhile it comes again, as a copy.
//   - [inbox.Retry]: MQTT gives nothing back while a connection lasts. The message is
//     held, and handed to the inbox again after the delay, after a tenth of a second at
//     least, and if it fails after twice as long each time, up to half a minute.
//     [Options].Attempts bounds how often; the count begins anew with each connection.
//   - [inbox.Stop]: the same, and no other message is taken meanwhile.
//   - [inbox.DeadLetter]: it is published to the topic of dead letters with its payload
//     and properties, where it came from and the reason, and acknowledged once the broker
//     has that. It may be there twice, if the process dies in between. If it is larger
//     than the broker's maximum packet, Run ends, and the message stays in the session.
//
// The broker sends no more than Prefetch messages that are not acknowledged. So one
// that is held for long stops the session once so many have come behind it: bound
// Attempts where messages may fail for ever.
//
// # Guarantee
//
// That of the inbox: a message is acknowledged after its outcome is known, never before.
// What voids it:
//
//   - QoS 0. A subscription to it is refused, but what is published with it arrives with
//     it: it is handled, and lost with its process, or when too many of it wait.
//   - A session that ends: after the expiry interval, by a client that asks for a clean
//     start, or because the broker keeps none on disk, or not yet, when it dies. What was
//     not acknowledged then, and what is published until the next connection, is lost. The
//     log tells of a session that was lost while the consumer runs.
//   - A broker that drops what waits in a session, by its own limits or by the message's
//     expiry. Acknowledgements it loses are only copies more.
//   - A topic of dead letters that nobody subscribes to, unless the broker says so: then
//     Run ends.
//
// Several handlers keep no order. Identities that are numbers (a sequence) need it: set
// Prefetch to 1.
package mqtt
