// Package brokertest tortures a broker that speaks Kafka's protocol, and judges from
// what its clients were told and saw whether it keeps its promises.
//
//	writers ──▶ proxy ──▶ broker ◀── kill -9, pauses, stops, a full disk
//	readers ──▶   │ cuts, delays, replays
//	   │
//	   ▼
//	history ──▶ findings
//
// The broker is a process of its own and any program that a [Broker] can start: ours,
// one of ours with a planted fault, or Apache Kafka, which judges this package.
//
// # What must hold
//
//   - What was acknowledged is there, once, at the offset that was told.
//   - An offset holds the same for ever, for every reader; readers see all offsets, in
//     their order, and what one producer wrote in the order in which it did.
//   - Of a topic that is compacted, each key's last committed record stays.
//   - A transaction is read committed as a whole, with the offsets of its group, or not
//     at all; not before its end was asked for; never if it was aborted.
//   - Of a topic with a window, each id that was acknowledged is read committed once; that
//     of an aborted transaction is as if nobody had written it.
//   - A fenced producer's transaction ends before its successor's first write.
//   - What comes late or again (a write, an end, a commit of offsets) changes nothing.
//   - No transaction hangs, and in calm all that wait go on.
package brokertest
