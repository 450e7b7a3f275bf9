// Package relay publishes what an outbox holds: it takes records from a [Source], such as
// sqldb.Outbox and pgxdb.Outbox, to a [Destination], such as that of package kafkarelay.
//
//	out, err := sqldb.NewOutbox(db, sqldb.Postgres, sqldb.OutboxOptions{})
//	to, err := kafkarelay.New(kafkarelay.Options{}, kgo.SeedBrokers("localhost:9092"))
//	r, err := relay.New(out.Records(), to, relay.Options{})
//	err = r.Run(ctx)
//
// # The protocol
//
// The records of an outbox stand in shards, by their order keys. Who holds a shard:
//
//  1. opens it at the destination, which from then on takes nothing of who held it before,
//     and tells the last batch that was published;
//  2. deletes that batch and those before it, and publishes the next one if there is one;
//  3. seals what is committed and in no batch into a batch, publishes it, deletes it, and
//     so on. Nothing is published for good before the seal is durable. A crash of the source may
//     take the deletion back, which is done again then.
//
// After anything that is unclear it begins at the first step again. A destination that
// commits the number of a batch together with its records, as Kafka can, so has each
// record once. One that can't may get a batch again, with the same ids in the same order.
//
// # Order
//
// The records of an order key are published in the order of their positions, and
// whatever commits is published: rows that come to light behind others are in a later
// batch. Between order keys there is no order.
//
// # Several relays
//
// As many work at once as there are shards, and the others stand by. They share the shards evenly, by
// leases and by asking each other. A lease that ends too soon does no harm: the destination stops who
// held it.
//
// # Records that can't be published
//
// A record that the destination refuses for good is set aside with the reason, once it is
// certain that its batch was not published. Those of its order key wait behind it, and
// nothing else does. It can be listed, tried again, and discarded at the outbox.
package relay
