package group

import (
	"maps"
	"slices"
	"strings"

	"github.com/hapaxmq/hapax/broker/code"
)

// A group of the consumer protocol (KIP-848) has no leader: its members say in
// heartbeats what they want to read and what they have, and hear in the replies
// what to read. Three epochs lead from a change to everybody reading:
//
//	group    counts the changes of members, subscriptions and topics
//	target   the group's epoch for which partitions were last shared out
//	member   how far a member has come towards the target
//
// A member reaches the target's epoch once it has given back all that it must
// not have any more. What it shall have and another still has comes later, as
// soon as that one has given it back. So nothing is ever read by two.
type consumers struct {
	targetEpoch int32
	basis       uint64 // of the topics that the target shares out: see Topics.basis
	byID        map[string]*consumer
	static      map[string]*consumer // by instance
	owners      map[Partition]*consumer
	bytes       int

	seen *Topics // those whose basis was last looked at
}

func newConsumers() *consumers {
	return &consumers{byID: map[string]*consumer{}, static: map[string]*consumer{}, owners: map[Partition]*consumer{}}
}

// consumer is a member of such a group.
type consumer struct {
	Profile
	Holding
	target []Partition // what it shall have, in order

	expires  int64 // without a heartbeat by then it is removed
	revokeBy int64 // and if by then it has not given back what it must
}

// Profile is what a consumer says of itself.
type Profile struct {
	Member, Instance, Rack string // Instance "" is not static
	ClientID, ClientHost   string
	RebalanceTimeout       int32    // ms
	Topics                 []string // that it subscribes to, in order
	Pattern                string   // and those whose whole name it matches, in RE2's syntax; "": none
	Assignor               string   // the one that it prefers, "" if none
}

func (p Profile) same(other Profile) bool {
	return p.Member == other.Member && p.Instance == other.Instance && p.Rack == other.Rack &&
		p.ClientID == other.ClientID && p.ClientHost == other.ClientHost && p.RebalanceTimeout == other.RebalanceTimeout &&
		p.Assignor == other.Assignor && p.wants(other)
}

// wants reports whether both subscribe to the same.
func (p Profile) wants(other Profile) bool {
	return p.Pattern == other.Pattern && slices.Equal(p.Topics, other.Topics)
}

func (p Profile) size() int {
	n := len(p.Member) + len(p.Instance) + len(p.Rack) + len(p.ClientID) + len(p.ClientHost) + len(p.Pattern) + len(p.Assignor)
	for _, topic := range p.Topics {
		n += len(topic)
	}
	return n
}

// Stage is how a consumer stands to the target.
type Stage uint8

// The stages.
const (
	Settled  Stage = iota // it has what its epoch's target gives it
	Revoking              // it must give something back before it gets on
	Waiting               // it is at the target's epoch, and others still have some of its partitions
)

// Holding is what a consumer has.
type Holding struct {
	Epoch, Previous int32 // Epoch is [left] while a static member's process is away
	Stage           Stage
	Assigned        []Held // what it may read, in order
	Revoking        []Held // what it must give back, in order
}

// left is the epoch of a static member that has left and is to come back.
const left int32 = -2

// Held is a partition that a consumer has, and the epoch at which it got it.
type Held struct {
	Partition Partition
	Since     int32
}

func compareHeld(a, b Held) int { return a.Partition.compare(b.Partition) }

// find is the entry of a partition.
func find(all []Held, p Partition) (Held, bool) {
	i, ok := slices.BinarySearchFunc(all, p, func(h Held, p Partition) int { return h.Partition.compare(p) })
	if !ok {
		return Held{}, false
	}
	return all[i], true
}

// has reports whether p is among partitions that are in order.
func has(all []Partition, p Partition) bool {
	_, ok := slices.BinarySearchFunc(all, p, Partition.compare)
	return ok
}

// holds reports whether h has had all partitions since an epoch, or before.
func (h Holding) holds(partitions []Partition, epoch int32) bool {
	for _, p := range partitions {
		held, ok := find(h.Assigned, p)
		if !ok {
			held, ok = find(h.Revoking, p)
		}
		if !ok || held.Since > epoch {
			return false
		}
	}
	return true
}

// vouch checks what a member says of partitions at an epoch. The epoch may lie
// behind the member's, if all of them are the member's since then (KIP-1251):
// nobody else can have had them.
func (c *consumers) vouch(member string, epoch int32, partitions []Partition) code.Error {
	m := c.byID[member]
	switch {
	case m == nil:
		return code.UnknownMemberID
	case epoch < 0 || epoch > m.Epoch:
		return code.StaleMemberEpoch
	case epoch == m.Epoch || len(partitions) > 0 && m.holds(partitions, epoch):
		return code.None
	}
	return code.StaleMemberEpoch
}

// inOrder are the members by id.
func (c *consumers) inOrder() []*consumer {
	return slices.SortedFunc(maps.Values(c.byID), func(a, b *consumer) int { return strings.Compare(a.Member, b.Member) })
}

// state is the group's, if its epoch is the one given.
func (c *consumers) state(epoch int32) State {
	if len(c.byID) == 0 {
		return Empty
	}
	if epoch > c.targetEpoch {
		return Assigning
	}
	for _, m := range c.byID {
		if !m.settled(c.targetEpoch) {
			return Reconciling
		}
	}
	return Stable
}

func (h Holding) settled(target int32) bool { return h.Stage == Settled && h.Epoch == target }

// put adds a member, or takes over what it says now.
func (c *consumers) put(p Profile) *consumer {
	m := c.byID[p.Member]
	if m == nil {
		m = &consumer{expires: never, revokeBy: never}
		c.byID[p.Member] = m
	} else {
		c.bytes -= m.size()
		if c.static[m.Instance] == m {
			delete(c.static, m.Instance)
		}
	}
	m.Profile = p
	c.bytes += m.size()
	if p.Instance != "" {
		c.static[p.Instance] = m
	}
	return m
}

func (c *consumers) remove(m *consumer) {
	c.release(m)
	c.bytes -= m.size()
	delete(c.byID, m.Member)
	if c.static[m.Instance] == m {
		delete(c.static, m.Instance)
	}
}

// hold takes over what a member has now.
func (c *consumers) hold(m *consumer, h Holding) {
	c.release(m)
	m.Holding = h
	for _, all := range [][]Held{h.Assigned, h.Revoking} {
		for _, held := range all {
			c.owners[held.Partition] = m
		}
	}
}

func (c *consumers) release(m *consumer) {
	for _, all := range [][]Held{m.Assigned, m.Revoking} {
		for _, held := range all {
			if c.owners[held.Partition] == m {
				delete(c.owners, held.Partition)
			}
		}
	}
}
