// Package txn is the transaction coordinator of a Kafka-protocol node, as a pure
// state machine: who holds a transactional id, which partitions and groups an
// open transaction has, and how it ends. No clock, no lock, no disk: time comes
// in with each call, in milliseconds of Unix time, and callers guard a
// Coordinator as a whole.
//
// # Decide, append, apply
//
// Each request is a Decide call, which changes nothing. It returns the reply
// and, if something is to change, one [Event]. The shell appends the event to
// its log, then applies it, then answers:
//
//	reply, event := c.DecideEnd(request, now)
//	if event != nil {
//		… lock the partitions, fill in the markers' offsets, append to the log …
//		err := c.Apply(event)
//	}
//	… wait until the log is synced up to its end, then send the reply
//
// A replay only applies, so running and recovering are one path. If the append
// fails nothing is applied, and nothing has happened.
//
// # Nobody is told to come back
//
// Kafka answers CONCURRENT_TRANSACTIONS while a transaction is between its
// decision and its markers, and the client backs off: that is why a Kafka
// producer makes some fifty transactions a second. Here the lock is held from
// Decide to Apply, which is an append in memory and takes microseconds; a
// request for the same id waits for that lock and is then decided by what is
// now true. It does not wait for the disk: what waits is its reply, for the end
// of the log as it was when it was decided. One log has one order, so a crash
// that takes the end of a transaction takes all that was decided after it too,
// and none of that was ever told to anybody.
//
// For the same reason an InitProducerId that finds a transaction open ends it
// and answers with the new epoch at once. The abort and the new epoch are one
// event: a zombie is fenced before its successor can write.
//
// # One end, one frame
//
// There is no Prepare state. An end holds the decision, the producer that the
// markers name, every partition with its marker's offset, and the groups with
// their offsets, in one event. The shell writes it as one frame, so it is there
// whole or not at all, and no half-ended transaction is ever found at a start.
// Open transactions are resumed with their timers.
//
// # What the shell owes
//
//   - Between the Decide call of a Produce and the append of its batches no end
//     of the same id may be applied. Else a late batch opens what no marker will
//     close (KIP-890 calls that a hanging transaction). A lock for each id, or a
//     few for all, held for reading by a Produce and for writing by what ends
//     transactions, does it.
//   - Partitions that do not exist are refused before AddPartitionsToTxn gets
//     here: those with UNKNOWN_TOPIC_OR_PARTITION, the others of the request with
//     OPERATION_NOT_ATTEMPTED.
//   - A partition whose topic was deleted meanwhile gets no marker; its offset in
//     the end stays −1.
//   - The offsets of a TxnOffsetCommit, and the group's own checks, are the group
//     coordinator's. This package knows which groups take part.
//   - now never goes back while running.
//
// # Two protocols
//
// TV1 clients (before KIP-890: librdkafka, Sarama, Java up to 3.9) add
// partitions and groups by requests of their own, and keep their epoch from one
// transaction to the next. So a delayed EndTxn of an earlier transaction ends
// the one that is open when it arrives (KAFKA-17754). The protocol cannot tell
// them apart; Init after a request timed out is what avoids it.
//
// TV2 clients (Produce 12, TxnOffsetCommit 5, EndTxn 5) add by writing, and
// every end raises the epoch: what comes late is refused. A client shows what it
// is by the versions that it uses.
//
// Where this differs from Apache Kafka 4: Init over an open transaction needs no
// second request; a late copy of an answered Init is refused while the next
// transaction runs, and does not abort it; a client that names a producer for an
// id that was forgotten is refused, and does not get a new one; there are limits,
// and names are at most [MaxName] bytes.
package txn
