// Package batch reads, checks and writes record batches of Kafka's format 2,
// which is what producers send, what the log keeps and what consumers get, byte
// for byte (KIP-98, KIP-32; org.apache.kafka.common.record.DefaultRecordBatch).
// Numbers are big endian.
//
//	 0   8  base offset: of the first record
//	 8   4  length of all that follows
//	12   4  leader epoch
//	16   1  magic, 2
//	17   4  CRC-32C of all that follows
//	21   2  attributes: codec (3 bits) · append time · transactional · control · delete horizon
//	23   4  last offset delta: of the last record, kept or not
//	27   8  base timestamp, Unix ms
//	35   8  maximal timestamp, Unix ms
//	43   8  producer id, -1 for none
//	51   2  producer epoch
//	53   4  base sequence: of the first record
//	57   4  number of records
//	61   …  records, compressed as a whole
//
// Base offset and leader epoch are not under the checksum, so that a broker can
// set them in place; the rest it leaves as it came.
//
// A record is a row of zigzag varints and bytes: length, attributes (one byte),
// timestamp delta, offset delta, key, value, number of headers, headers. Keys
// and values have their length before them, and -1 if they are null.
//
// Errors wrap a [code.Error], which says how the protocol puts it.
// Functions keep no slice that they are given.
package batch
