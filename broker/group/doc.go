// Package group is the coordinator of consumer groups: who is a member, who of
// them reads what, and how far a group has read. It is pure: no clock, file,
// goroutine or lock. Time comes in as Unix milliseconds, randomness as an
// argument, and what has to last goes out as events.
//
//	Groups   all groups of a node; one lock of the caller's guards it
//	Step     what a request brought about: replies to parked requests, events
//	Event    what the log keeps: generations, offsets, deletions
//
// The rules are those of Kafka's classic protocol, as its GroupMetadataManager
// and OffsetMetadataManager have them, with KIP-211 (retention), KIP-345 and
// KIP-814 (static members), KIP-394 (MEMBER_ID_REQUIRED) and KIP-447
// (transactional commits).
//
// # What is logged
//
// Membership is not: after a restart every member is unknown (25) and joins
// anew. Three things are: offsets, deletions, and each new generation's number,
// before a member hears of it. So a number never comes back, not after a
// restart, and not after its group was deleted either: a group that is made
// begins behind the highest number that any deleted group had.
//
// Offsets change in two halves. A Decide method checks and changes nothing that
// lasts; the caller appends the event that it returns to its log and then hands
// it to [Groups.Apply], with its lock held all the while. A replay calls Apply
// alone. The events of a [Step] are applied already, and need only be logged: a
// generation that nobody heard of does no harm if the log fails. In both cases
// replies wait until the log has synced the events.
package group
