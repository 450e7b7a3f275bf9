// Package unique knows how a topic keeps each message once: what its settings say,
// which ids the records of a batch have, what is left of a batch without its copies,
// and what goes into another topic instead. It remembers no ids, which is a ledger's
// work, and it has no clock, no locks and no files.
//
//	topic settings ──Parse──▶ Rules ──Namer──▶ what names records in one ledger
//	                                             │
//	batch ──────────────────Reader.Read──────────┴─▶ ledger entries, records without id
//	                                 ledger's verdicts ──▶ what becomes of each record
//	                        Reader.Rewrite ─▶ the batch without copies, or with marks
//	                        Reader.Copies  ─▶ a batch of them for another topic
//
// # Settings
//
// A topic has a window if it has hapax.identity, which says what of a record is its
// id, in the words of package identity, but for those of lines and sequences; "value"
// is the whole value. All else that may be set is in [Names]. A null value has neither
// fields nor content.
//
// # Scopes
//
// Ids are unique in their scope: the topic, the partition, or all records that have
// the same header or field. A record without that has no id. A scope of several says
// what an identity of several does: header:tenant+key in the topic.
//
// # Contents
//
// Two records with one id and other values are in conflict. A fingerprint of a
// record goes with a digest of its value's bytes; only when a digest differs are
// values compared as JSON, by [SameContent], so that a retry with its fields in
// another order is no conflict.
package unique
