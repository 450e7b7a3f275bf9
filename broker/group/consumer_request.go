package group

import "github.com/hapaxmq/hapax/broker/code"

// The epochs of a heartbeat that are none.
const (
	joinEpoch  int32 = 0  // the member joins, or joins again after it gave up all that it had
	leaveEpoch int32 = -1 // it leaves; left: a static one does for a while
)

// ConsumerHeartbeat is ConsumerGroupHeartbeat, version 0 and 1. What is nil or "",
// or a negative timeout, has not changed. The group keeps the strings and slices
// it is given.
type ConsumerHeartbeat struct {
	Version                       int16
	Group, Member, Instance, Rack string
	Epoch                         int32 // 0 to join, -1 to leave, -2 to leave for a while, else the member's

	Fresh string // text that was never used before: the member's id, if it has none (version 0)

	ClientID, ClientHost string

	RebalanceTimeout int32    // ms
	Topics           []string // names
	Pattern          *string  // in RE2's syntax; "" is none
	Assignor         string
	Owned            []Partition
}

// full reports whether the member says everything, as it does when it joins and
// when it missed a reply.
func (r *ConsumerHeartbeat) full() bool {
	return r.Epoch == joinEpoch || r.RebalanceTimeout >= 0 && (r.Topics != nil || r.Pattern != nil) && r.Owned != nil
}

// ConsumerReply answers a ConsumerGroupHeartbeat.
type ConsumerReply struct {
	Code    code.Error
	Message string // what is wrong, with an error
	Member  string
	Epoch   int32
	// Interval is how long the member shall wait before the next heartbeat, ms.
	Interval int32
	// Told: Assigned, in order, is what the member may read from now on. Else that
	// has not changed.
	Told     bool
	Assigned []Partition
}

func refuseConsumer(c code.Error, message string) ConsumerReply {
	return ConsumerReply{Code: c, Message: message}
}

// maxConsumer bounds what a member may say of itself, in bytes.
const maxConsumer = 4 << 20

func (r *ConsumerHeartbeat) size() int {
	p := Profile{Member: r.Member, Instance: r.Instance, Rack: r.Rack, ClientID: r.ClientID, ClientHost: r.ClientHost, Topics: r.Topics}
	if r.Pattern != nil {
		p.Pattern = *r.Pattern
	}
	return p.size()
}

// check is what is wrong with the request by itself.
func (r *ConsumerHeartbeat) check(set *Settings) (code.Error, string) {
	switch {
	case r.Group == "" || len(r.Group) > set.MaxGroupName:
		return code.InvalidGroupID, "the group's id is empty or too long"
	case r.Epoch < left:
		return code.InvalidRequest, "no member has that epoch"
	case r.Member == "" && (r.Epoch != joinEpoch || r.Version > 0):
		return code.InvalidRequest, "the member's id is missing"
	case r.Epoch == left && r.Instance == "":
		return code.InvalidRequest, "only a static member leaves for a while"
	}
	if r.Epoch == joinEpoch {
		switch {
		case r.RebalanceTimeout < 0:
			return code.InvalidRequest, "who joins must say a rebalance timeout"
		case r.Owned == nil || len(r.Owned) > 0:
			return code.InvalidRequest, "who joins has no partitions"
		case r.Topics == nil && r.Pattern == nil:
			return code.InvalidRequest, "who joins must say which topics it wants"
		}
	}
	if r.size() > maxConsumer {
		return code.InvalidRequest, "the member says too much of itself"
	}
	if r.Assignor != "" && !set.knows(r.Assignor) {
		return code.UnsupportedAssignor, "there is no such assignor"
	}
	if r.Pattern != nil && *r.Pattern != "" {
		if _, err := compile(*r.Pattern); err != nil {
			return code.InvalidRegularExpression, err.Error()
		}
	}
	return code.None, ""
}
