// Package hookstream makes test streams of real messages with the duplicates
// that real systems make, and the truth about them.
//
// The messages are GitHub webhook payloads. Each is varied in the fields that
// vary in nature (ids, node ids, hashes, logins, times), so that what ought to
// be unique is, and stands in an envelope on a line of its own:
//
//	{"delivery":"<uuid>","event":"push","received_at":"…","payload":{…}}
//
// The gateway that received the webhook stamps delivery and received_at; its
// producer writes the line to a queue, and that is where copies come from. See
// [Class] for which. Lines are in order of arrival: a copy comes later than its
// first and carries the first one's received_at, as its bytes say.
//
// The same options make the same bytes, on every machine.
package hookstream
