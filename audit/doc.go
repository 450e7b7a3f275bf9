// Package audit finds out what duplicates a stream of messages holds, and what
// it would take to catch them. It decides nothing and changes nothing.
//
//	observation ──Add──▶ first sights ──▶ ages ──Report──▶ JSON or a terminal
//
// # Ages
//
// A duplicate's age is how far behind it the first sight of its identity lies,
// as a ledger with a window of kind first measures it; beside it stands the age
// since the last sight, for a window of kind renewed. It is measured three ways:
//
//	time    by the stream's own clock: the latest event time seen so far
//	count   messages between the two
//	bytes   from the start of the one message to the start of the other
//
// The window that an age asks for is the age and one more (a millisecond, a
// message, a byte). Messages between two copies are at least the identities
// between them, which a ledger counts, so a window of that count catches what
// the report says and perhaps more. What a window misses comes in as new and
// starts a window of its own, so copies of copies can be caught too: the report
// counts these as missed.
//
// The clock never goes back. One message from the future stops it until its time
// has come, and ages are too short meanwhile: the report names the clock's
// longest step for that reason, and how far first sights lag behind the clock,
// which a window by event time needs on top.
//
// # Exactness
//
// Counts, greatest ages, worst offenders and the identities inside a window that
// catches everything are exact. Quantiles of ages are exact below 256 and at
// most 1/128 too long above, never too short. Identities are told apart by all
// 128 bits. Of payload digests 32 bits are kept: one conflict in four thousand
// million counts as a duplicate.
package audit
