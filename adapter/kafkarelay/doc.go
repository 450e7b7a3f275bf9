// Package kafkarelay publishes what an outbox holds into Kafka, Apache's and hapax serve,
// each record exactly once for who reads committed, or into topics with a window: see
// package relay.
//
//	to, err := kafkarelay.New(kafkarelay.Options{}, kgo.SeedBrokers("localhost:9092"))
//	r, err := relay.New(out.Records(), to, relay.Options{})
//
// # Exactly once
//
// A batch is one transaction, and so is that its number was published: it is a record of
// a compacted topic, under the name of the outbox's shard. A relay that takes a shard over
// first fences the one before by the shard's transactional ids, two of which take turns,
// which ends what that had begun, and then reads the number. So a batch is published if
// its number is there, and else it is not, whatever was killed and whichever answers were lost.
//
// What voids it: the topic of the numbers is deleted, or restored to what it was before, or
// the table of the relays is.
//
// # Topics with a window
//
// [NewWindowed] publishes into topics of hapax serve that drop copies by their ids, without
// transactions, so that plain readers have each record once, and sooner:
//
//	to, err := kafkarelay.NewWindowed(kafkarelay.WindowedOptions{}, kgo.SeedBrokers("localhost:9092"))
//
// What is not acknowledged is unknown, and is sent again with the same ids in the same order; the
// window drops what it has. Before it publishes to a topic it looks at the topic's settings, as
// long as a line lasts, and refuses the records of topics whose window would not drop copies:
// those want hapax.identity=header: and [WindowedOptions.IDHeader], and the defaults of
// hapax.mode, hapax.duplicates and hapax.scope. A window that is still warming is waited for.
//
// A record is sent when the one before it of its order key is acknowledged. So the first
// copies of a key are in its order, and one key has one record on its way: as many a second as
// there are round trips, where a transaction takes a whole batch.
//
// What voids it: a window that is shorter than relays are down for, that lets ids go
// (hapax.window.full=evict), or that is changed or taken away while a line is open.
//
// # A record
//
// Its key is the order key, so that the records of one are in one partition, its headers
// those of the outbox's record and, before them, its id.
package kafkarelay
