// Package kafkarelay publishes what an outbox holds into Kafka, Apache's and hapax serve,
// each record exactly once for who reads committed: see package relay.
//
//	to, err := kafkarelay.New(kafkarelay.Options{}, kgo.SeedBrokers("localhost:9092"))
//	r, err := relay.New(out.Records(), to, relay.Options{})
//
// # Exactly once
//
// A batch is one transaction, and so is that its number was published: it is a record of
// a compacted topic, under the name of the outbox's shard. A relay that takes a shard over
// first fences the one before by the shard's transactional id, which ends what that had
// begun, and then reads the number. So a batch is published if its number is there, and else
// it is not, whatever was killed and whichever answers were lost.
//
// What voids it: the topic of the numbers is deleted, or restored to what it was before, or
// the table of the relays is.
//
// # A record
//
// Its key is the order key, so that the records of one are in one partition, its headers
// those of the outbox's record and, before them, its id.
package kafkarelay
