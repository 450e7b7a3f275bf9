package group

import (
	"math"

	"github.com/hapaxmq/hapax/broker/code"
)

// State is what a group is doing.
type State uint8

// The states.
const (
	Empty               State = iota // no members; it may have offsets
	PreparingRebalance               // waits for its members to join
	CompletingRebalance              // waits for the leader to assign
	Stable                           // everybody has an assignment
	Dead                             // no such group
	Assigning                        // consumers: it changed, and nobody shared the partitions out yet
	Reconciling                      // consumers: not everybody has what it shall have
)

// String is the state's name in Kafka.
func (s State) String() string {
	return [...]string{"Empty", "PreparingRebalance", "CompletingRebalance", "Stable", "Dead", "Assigning", "Reconciling"}[min(s, Reconciling)]
}

// consumerType is the protocol type of consumers, the only one whose metadata this
// package reads.
const consumerType = "consumer"

// never is a deadline that does not come.
const never = math.MaxInt64

// group is one group: its members, its state and its offsets.
type group struct {
	name  string
	place int   // in the queue of deadlines
	next  int64 // nothing is due before

	state        State
	generation   int32
	logged       bool   // the log knows of it
	protocolType string // "": no member ever joined; it is offsets alone
	protocol     string // of this generation
	leader       *member
	members      roster
	pending      map[string]int64 // ids given out with MEMBER_ID_REQUIRED, and when they lapse
	pendingBytes int
	emptySince   int64 // -1 while there are members

	consumers *consumers // of the consumer protocol; nil: the group is a classic one

	// The state's own deadline: the end of the wait for joins or for syncs.
	timer     int64
	initial   bool  // the first rebalance of an empty group, which waits for more to come
	extended  bool  // somebody came since that wait began
	remaining int64 // how much longer that wait may become

	cells map[Partition]*cell
}

func newGroup(name string, generation int32) *group {
	return &group{
		name: name, next: never, generation: generation, members: newRoster(),
		pending: map[string]int64{}, emptySince: -1, timer: never, cells: map[Partition]*cell{},
	}
}

// blank reports that forgetting g would lose nothing.
func (g *group) blank() bool {
	return g.state == Empty && !g.logged && len(g.pending) == 0 && len(g.cells) == 0
}

// identify finds a member. An instance that another member has taken over since
// is fenced, whatever else is right.
func (g *group) identify(id, instance string) (*member, code.Error) {
	if instance != "" {
		switch m := g.members.static[instance]; {
		case m == nil:
			return nil, code.UnknownMemberID
		case m.id != id:
			return nil, code.FencedInstanceID
		}
	}
	if m := g.members.byID[id]; m != nil {
		return m, code.None
	}
	return nil, code.UnknownMemberID
}

// supports reports whether someone with these protocols can be a member.
func (g *group) supports(protocolType string, protocols []Protocol) bool {
	if g.state == Empty {
		return protocolType != "" && len(protocols) > 0
	}
	if g.protocolType != protocolType {
		return false
	}
	for _, p := range protocols {
		if g.members.common(p.Name) {
			return true
		}
	}
	return false
}

func (g *group) allJoined() bool {
	return g.members.joining == len(g.members.order) && len(g.pending) == 0
}

// drop removes a member, and hands the lead to who came next.
func (g *group) drop(m *member) {
	g.members.remove(m)
	if g.leader == m {
		g.leader = nil
		if len(g.members.order) > 0 {
			g.leader = g.members.order[0]
		}
	}
}

// elect sees to it that a member that joined leads. It fails if none did.
func (g *group) elect() bool {
	if g.leader != nil && g.leader.join.waits {
		return true
	}
	for _, m := range g.members.order {
		if m.join.waits {
			g.leader = m
			return true
		}
	}
	return false
}

func (g *group) leaderID() string {
	if g.leader == nil {
		return ""
	}
	return g.leader.id
}

// joined tells a member of the generation as it is.
func (g *group) joined(m *member) *JoinReply {
	reply := &JoinReply{
		Generation: g.generation, ProtocolType: g.protocolType, Protocol: g.protocol,
		Leader: g.leaderID(), Member: m.id,
	}
	if g.leader == m {
		reply.Members = make([]JoinedMember, 0, len(g.members.order))
		for _, other := range g.members.order {
			reply.Members = append(reply.Members, JoinedMember{ID: other.id, Instance: other.instance, Metadata: other.metadata(g.protocol)})
		}
	}
	return reply
}

// wakeBy makes sure that the group is looked at when a deadline comes.
func (g *group) wakeBy(deadline int64) {
	g.next = min(g.next, deadline)
}

// expect sets a pending id's deadline.
func (g *group) expect(id string, deadline int64) {
	g.pending[id] = deadline
	g.pendingBytes += len(id)
	g.wakeBy(deadline)
}

// forget takes a pending id off, if it is one.
func (g *group) forget(id string) bool {
	if _, ok := g.pending[id]; !ok {
		return false
	}
	delete(g.pending, id)
	g.pendingBytes -= len(id)
	return true
}

// deadline is the earliest moment at which something is due.
func (g *group) deadline() int64 {
	if g.consumers != nil {
		return g.consumers.deadline()
	}
	next := g.timer
	for _, at := range g.pending {
		next = min(next, at)
	}
	for _, m := range g.members.order {
		if !m.excused() {
			next = min(next, m.expires)
		}
	}
	return next
}
