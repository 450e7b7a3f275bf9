// Package kafka hands the records of a consumer group to an inbox, and commits
// offsets behind what is settled: for Apache Kafka and for hapax serve, over
// franz-go.
//
//	group ──▶ poll ──▶ partition's queue ──▶ inbox ──▶ Settle ──▶ mark the offset
//	                   one goroutine each,             │           │
//	                   in order                   dead letters,   committed now and
//	                                              as records      then, and when
//	                                                              partitions go
//
// # From a consumer loop
//
// What was a loop over polled records becomes the handler of an inbox, and the
// [Consumer] is the loop: see the example.
//
// # What is a message
//
// A record with its key, value and headers. Its time is the producer's; a topic
// whose broker stamps the time (LogAppendTime) gives none, since copies would
// differ in it. Its position has the topic's id and the partition as source, so that
// a topic that is deleted and made anew under its name is another source. Only
// committed records of transactions are read, unless an option of franz-go says
// otherwise.
//
// [inbox.ByPosition] keeps one row for a partition, and finds what the broker
// delivers again; an id in a header also finds what a producer sent twice.
//
// # Order
//
// The records of a partition are handled in their order, and one that has to come
// again holds back all behind it, while other partitions go on. With a Batch above
// 1 those of one batch are handed over together, and of these some may be handled
// before one that failed.
//
// # Redeliveries
//
// An offset is committed once its record and all before it are settled, so a record
// may come again, but none is skipped: after a crash, after a rebalance, and after
// the group went on without a consumer that was silent for too long. The inbox
// takes the copies. Of a partition that is revoked the handler's context ends with
// [ErrRevoked], what was settled is committed, and the rest comes to the next member.
// Of one that was lost nothing is committed. Each partition is worked on by one
// goroutine of a process at a time: a handler that does not return when its context
// ends keeps this member's part of the rebalance waiting, and the group goes on without it
// after its rebalance timeout.
//
// A handler that hangs holds up its partition, and nobody else: Kafka delivers
// nothing again while the member lives. Give the handler a time limit.
//
// # What voids it
//
// An unclean leader election gives offsets that were read to other records: marks by
// position take those for copies. So does a topic whose offsets begin anew under the
// same id, as some tools restore them. Name messages by an id of their own then.
package kafka
