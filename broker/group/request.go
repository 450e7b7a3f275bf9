package group

import "github.com/hapaxmq/hapax/broker/code"

// Ticket stands for a request that may be parked. The caller chooses it, and
// finds it again in the [Reply] that answers the request. Each is answered once.
type Ticket uint64

// Step is what a request, or the passing of time, brought about. The replies go
// out once the log has synced the events; the events are applied already.
type Step struct {
	Replies []Reply
	Events  []Event
}

// Reply answers the request that came with a ticket. One of Join and Sync is set.
type Reply struct {
	Ticket Ticket
	Join   *JoinReply
	Sync   *SyncReply
}

// Protocol is a way to assign partitions that a member knows, and what it says
// to whoever leads the group, in that protocol.
type Protocol struct {
	Name     string
	Metadata []byte
}

// JoinRequest is JoinGroup, version 0 to 9. The group copies the bytes it keeps.
type JoinRequest struct {
	Version  int16
	Group    string
	Member   string // "" if it has no id yet
	Instance string // group.instance.id, "" if it is not static

	// Fresh is text that was never used before, such as a random UUID. A member
	// that needs an id gets it behind its instance's or client's name.
	Fresh string

	ClientID, ClientHost string

	SessionTimeout   int32 // ms
	RebalanceTimeout int32 // ms; negative (version 0 has none): the session timeout
	ProtocolType     string
	Protocols        []Protocol // the one it likes best first
}

// JoinReply answers a JoinGroup.
type JoinReply struct {
	Code         code.Error
	Generation   int32 // -1 with an error
	ProtocolType string
	Protocol     string // "" with an error
	Leader       string
	Member       string
	// SkipAssignment: the member leads, but everybody keeps what they have.
	SkipAssignment bool
	Members        []JoinedMember // for the leader alone; not to be changed
}

// JoinedMember is what a leader hears of a member.
type JoinedMember struct {
	ID, Instance string
	Metadata     []byte
}

// SyncRequest is SyncGroup, version 0 to 5. The group copies the assignments.
type SyncRequest struct {
	Group, Member, Instance string
	Generation              int32
	ProtocolType, Protocol  string // "" if not said (before version 5)
	Assignments             []Assignment
}

// Assignment is what a leader gives to a member.
type Assignment struct {
	Member string
	Bytes  []byte
}

// SyncReply answers a SyncGroup.
type SyncReply struct {
	Code                   code.Error
	ProtocolType, Protocol string
	Assignment             []byte // not to be changed
}

// HeartbeatRequest is Heartbeat, version 0 to 4.
type HeartbeatRequest struct {
	Group, Member, Instance string
	Generation              int32
}

// LeaveRequest is LeaveGroup, version 0 to 5; before version 3 it names one
// member, whose code is the reply's.
type LeaveRequest struct {
	Group   string
	Members []Identity
}

// Identity names a member. A static one may go by its instance alone.
type Identity struct {
	Member, Instance string
}

func refusedJoin(ticket Ticket, member string, c code.Error) Reply {
	return Reply{Ticket: ticket, Join: &JoinReply{Code: c, Generation: -1, Member: member}}
}

func refusedSync(ticket Ticket, c code.Error) Reply {
	return Reply{Ticket: ticket, Sync: &SyncReply{Code: c}}
}
