// Package group is the coordinator of consumer groups: who is a member, who of
// them reads what, and how far a group has read. It is pure: no clock, file,
// goroutine or lock. Time comes in as Unix milliseconds, randomness as an
// argument, and what has to last goes out as events.
//
//	Groups   all groups of a node; one lock of the caller's guards it
//	Step     what a request brought about: replies to parked requests, events
//	Event    what the log keeps: generations, offsets, deletions
//
// The rules are those of Kafka's two protocols, as its GroupMetadataManager and
// OffsetMetadataManager have them. In the classic one a member leads and assigns,
// with KIP-211 (retention), KIP-345 and KIP-814 (static members), KIP-394
// (MEMBER_ID_REQUIRED) and KIP-447 (transactional commits). In the consumer
// protocol (KIP-848) the group itself assigns, and leads its members one by one to
// what they shall have; a commit may be an epoch behind, if its partitions are the
// member's since then (KIP-1251). A group changes its protocol only while it has no
// members: who comes with the other one meanwhile is refused, with
// INCONSISTENT_GROUP_PROTOCOL (23) or GROUP_ID_NOT_FOUND (69).
//
// # What is logged
//
// Of classic groups membership is not: after a restart every member is unknown (25)
// and joins anew. Three things are: offsets, deletions, and each new generation's
// number, before a member hears of it. Of consumers everything is, before they
// hear of it: after a restart they go on where they were. A number never comes
// back, neither a generation's nor an epoch's, which are one count: not after a
// restart, and not after its group was deleted either: a group that is made begins
// behind the highest number that any deleted group had.
//
// Offsets change in two halves. A Decide method checks and changes nothing that
// lasts; the caller appends the event that it returns to its log and then hands
// it to [Groups.Apply], with its lock held all the while. A replay calls Apply
// alone. The events of a [Step] are applied already, and need only be logged: a
// generation that nobody heard of does no harm if the log fails, and a consumer
// that was removed is there again once the log is opened anew. In both cases
// replies wait until the log has synced the events.
package group
