// Package kafkaproducer publishes records into Kafka, Apache's and hapax serve, each with an
// id that stays its own however often it is sent. A topic whose window reads the id (of hapax
// serve, by hapax.identity=header:id), or a consumer with an inbox, then drops the copies.
//
//	p, err := kafkaproducer.New(client, kafkaproducer.Options{})
//	err = p.Publish(ctx, &kgo.Record{Topic: "payments", Value: payment})
//
// # Where an id comes from
//
// The first of these that a record has:
//
//   - the header it carries already: of a try before, or stored with the record's cause
//   - its natural id ([Options].ID), such as the number of a trade
//   - inside of a handler of an inbox or of package httpkey, [inbox.ChildID] or
//     [httpkey.ChildID] of what that handles: a handler that runs again sends the same ids
//     again. It needs a name of the record among those of one run: see [Producer.Identify]
//   - a new UUIDv7
//
// # What an id outlives
//
// Every try of the client and of Publish, whichever answers were lost: the id is written
// into the record's headers before it is first sent. A restart of the program only if it is
// found again then: natural ids and those of handlers are, and a UUIDv7 is if
// [Producer.Identify] made it and the program stored it, with the record's cause and in one
// transaction with it, before Publish. A UUIDv7 that Publish minted dies with its process:
// whoever publishes the same thing again afterwards publishes it under another id. A
// producer that has a database has less to think of with an outbox (package outbox).
//
// What voids it: a natural id that two records share, of which the second is dropped; a
// handler that is told nothing of its message, as under [inbox.AtLeastOnce] and of several
// at once, where a record without an id is given a new one each time; a window, or a
// memory of the consumer's, that is shorter than the time until the record is sent again.
//
// # Whether it is published
//
// Publish returns nil only when the brokers have answered that they hold the record. A
// timeout, or a connection that ended, tells nothing: Publish sends the record again, and
// gives up with [hapax.ErrUnknown]. So what marks a record as sent stands behind Publish,
// and is left out after any error; [Once] does so with a ledger. Other errors are refusals,
// of the last try: only if there was no other is it certain that the record is not there.
package kafkaproducer
