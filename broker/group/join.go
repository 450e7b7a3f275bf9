package group

import "github.com/hapaxmq/hapax/broker/code"

// From these versions on JoinGroup has a round in which a member gets its id,
// and a leader can be told that nothing is to be assigned.
const (
	knownMembers   = 4
	skipAssignment = 9
)

// Join lets a member in, or in again. The reply comes at once, or with a later
// step: when everybody joined, at the latest after the longest rebalance timeout
// of the members.
func (s *Groups) Join(ticket Ticket, r JoinRequest, now int64) Step {
	if r.RebalanceTimeout < 0 {
		r.RebalanceTimeout = r.SessionTimeout
	}
	refuse := func(c code.Error) Step {
		return Step{Replies: []Reply{refusedJoin(ticket, r.Member, c)}}
	}
	switch {
	case r.Group == "" || len(r.Group) > s.set.MaxGroupName:
		return refuse(code.InvalidGroupID)
	case r.SessionTimeout < s.set.MinSession || r.SessionTimeout > s.set.MaxSession:
		return refuse(code.InvalidSessionTimeout)
	case r.Member != "" && s.byName[r.Group] == nil:
		return refuse(code.UnknownMemberID)
	}
	g, c := s.find(r.Group)
	if c != code.None {
		return refuse(c)
	}
	if g.consumers != nil {
		if g.state != Empty {
			return refuse(code.InconsistentGroupProtocol)
		}
		g.consumers = nil // with its first classic generation the log knows too
	}
	t := newTurn(g, now, &s.set)
	r.Protocols = distinct(r.Protocols)
	(&joining{turn: t, ticket: ticket, JoinRequest: r}).do()
	return s.end(t)
}

// joining is the handling of one join.
type joining struct {
	*turn
	ticket Ticket
	JoinRequest
}

func (j *joining) do() {
	g := j.g
	_, pending := g.pending[j.Member]
	switch {
	case !j.hasPlace():
		if m := g.members.byID[j.Member]; m != nil {
			j.expel(m)
		}
		g.forget(j.Member)
		j.refuse("", code.GroupMaxSizeReached)
		j.tryComplete()
	case !j.hasRoom():
		j.refuse(j.Member, code.PolicyViolation)
	case !g.supports(j.ProtocolType, j.Protocols):
		j.refuse(j.Member, code.InconsistentGroupProtocol)
	case j.Member == "" && j.Instance != "":
		j.static()
	case j.Member == "" && j.Version >= knownMembers:
		j.giveID()
	case j.Member == "":
		j.admit(j.ClientID + "-" + j.Fresh)
	case pending && j.Instance == "":
		g.forget(j.Member)
		j.admit(j.Member)
	default:
		j.rejoin()
	}
}

func (j *joining) refuse(member string, c code.Error) {
	j.step.Replies = append(j.step.Replies, refusedJoin(j.ticket, member, c))
}

// seat is the member whose place the join takes, if there is one.
func (j *joining) seat() *member {
	if j.Member == "" && j.Instance != "" {
		return j.g.members.static[j.Instance]
	}
	return j.g.members.byID[j.Member]
}

// hasPlace reports whether the group has not too many members. While it waits for
// joins, those count that came, so that the last to come are too many; those that
// may still come are no more than as many again.
func (j *joining) hasPlace() bool {
	members, m := &j.g.members, j.seat()
	switch j.g.state {
	case Empty:
		return true
	case PreparingRebalance:
		return m != nil && m.join.waits ||
			members.joining < j.set.MaxMembers && (m != nil || len(members.order) < 2*j.set.MaxMembers)
	default:
		return m != nil || len(members.order) < j.set.MaxMembers
	}
}

// hasRoom reports whether the group may keep what the request says.
func (j *joining) hasRoom() bool {
	total := j.g.members.bytes + j.g.pendingBytes + size(j.Protocols) +
		len(j.Member) + len(j.Instance) + len(j.Fresh) + 2*len(j.ClientID) + len(j.ClientHost)
	if m := j.seat(); m != nil {
		total -= m.size()
	}
	return total <= j.set.MaxGroupBytes
}

// giveID is the round that keeps a client that lost its reply from becoming a
// member twice.
func (j *joining) giveID() {
	if len(j.g.pending) >= j.set.MaxMembers {
		j.refuse("", code.GroupMaxSizeReached)
		return
	}
	id := j.ClientID + "-" + j.Fresh
	j.g.expect(id, j.after(j.SessionTimeout))
	j.refuse(id, code.MemberIDRequired)
}

// admit makes a new member and rebalances.
func (j *joining) admit(id string) {
	g := j.g
	m := &member{
		id: id, instance: j.Instance, clientID: j.ClientID, clientHost: j.ClientHost,
		session: j.SessionTimeout, rebalance: j.RebalanceTimeout, protocols: j.Protocols,
		expires: j.after(j.set.NewMemberTimeout), fresh: true,
	}
	if len(g.members.order) == 0 {
		g.protocolType = j.ProtocolType
	}
	g.members.add(m)
	g.wakeBy(m.expires)
	if g.leader == nil {
		g.leader = m
	}
	g.extended = true
	j.parkJoin(m, j.ticket)
	j.rebalance()
}

// revise takes over what a member says now.
func (j *joining) revise(m *member) {
	j.g.members.revise(m, j.JoinRequest)
	j.parkJoin(m, j.ticket)
}

// rejoin handles the join of a member.
func (j *joining) rejoin() {
	g := j.g
	m, c := g.identify(j.Member, j.Instance)
	if c != code.None {
		j.refuse(j.Member, c)
		return
	}
	m.fresh = false // it knows its id
	// A leader joins again if something changed of which its metadata says
	// nothing, such as the number of partitions.
	wants := g.state == Stable && g.leader == m
	if g.state == PreparingRebalance || wants || !m.says(j.Protocols) {
		j.revise(m)
		j.rebalance()
		return
	}
	j.parkJoin(m, j.ticket) // it missed its reply: here it is
	j.answerJoin(m, g.joined(m))
}

// static handles a static member that is new, or whose process is.
func (j *joining) static() {
	g := j.g
	id := j.Instance + "-" + j.Fresh
	m := g.members.static[j.Instance]
	if m == nil {
		j.admit(id)
		return
	}
	former := g.leaderID()
	j.dismiss(m, code.FencedInstanceID)
	g.members.rename(m, id)
	m.fresh = false
	j.revise(m)
	switch {
	case g.state == CompletingRebalance || g.state == Stable && g.members.vote() != g.protocol:
		// In the first case the leader may be assigning to the old id.
		j.prepare()
	case g.state == PreparingRebalance:
		j.tryComplete()
	default:
		j.answerJoin(m, j.replaced(m, former))
	}
}

// replaced tells a static member that it goes on where its last process was. If
// that one led, the new one does, but must not assign: who cannot be told so
// hears that another leads.
func (j *joining) replaced(m *member, former string) *JoinReply {
	reply := j.g.joined(m)
	if j.g.leader != m {
		return reply
	}
	if j.Version >= skipAssignment {
		reply.SkipAssignment = true
		return reply
	}
	reply.Leader, reply.Members = former, nil
	return reply
}
