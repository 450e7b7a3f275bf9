// Package broker is one durable node that speaks Kafka's protocol.
//
//	listener ──▶ connection ──▶ one file per API ──▶ partitions, groups, transactions
//	                                                      │ frames
//	                                                      ▼
//	                                              one log, synced before an answer
//
// A connection reads its requests one after the other and answers in their order,
// as clients expect. What must wait, for a sync of the log or for records to come,
// waits in the connection's answers and not in its requests: those behind it are
// read meanwhile.
//
// # What holds
//
// Nothing is acknowledged, and nothing is shown to a consumer, before it is durable.
// What decides (sequence numbers, transactions, groups) is pure and lies below:
// [github.com/hapaxmq/hapax/broker/producer], broker/txn and broker/group. Their
// state is what the frames of the log say, in order, so a restart knows what was
// known.
package broker
