// Package compact decides what is left of a partition's batches when only the last
// record of each key is kept, as Kafka's cleaner does it (KIP-98, KIP-534;
// org.apache.kafka.storage.internals.log.Cleaner).
//
//	dirty batches, in order        ── Latest.Add ────▶  the last offset of each key
//	all batches from the first on  ── Filter.Append ──▶  what stays of each
//
// Offsets never change. A batch that loses records keeps its offsets and sequence
// numbers; one that loses all is gone, or, if it is its producer's last, is kept
// as a header. What goes:
//
//   - a record, if a later committed one has its key, or if it has none;
//   - a record of an aborted transaction;
//   - a tombstone, and the marker of a transaction of which nothing is left, a while
//     after it was first met so: the batch then says until when it stays.
package compact
