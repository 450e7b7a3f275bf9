package group

import (
	"bytes"

	"github.com/hapaxmq/hapax/broker/code"
)

// Sync asks for a member's assignment; the leader brings everybody's. The reply
// comes at once, or when the leader's does, at the latest after the longest
// rebalance timeout of the members.
func (s *Groups) Sync(ticket Ticket, r SyncRequest, now int64) Step {
	refuse := func(c code.Error) Step {
		return Step{Replies: []Reply{refusedSync(ticket, c)}}
	}
	if r.Group == "" {
		return refuse(code.InvalidGroupID)
	}
	g := s.byName[r.Group]
	if g == nil {
		return refuse(code.UnknownMemberID)
	}
	m, c := g.identify(r.Member, r.Instance)
	if c != code.None {
		return refuse(c)
	}
	switch {
	case r.Generation != g.generation:
		return refuse(code.IllegalGeneration)
	case g.state == PreparingRebalance:
		return refuse(code.RebalanceInProgress)
	case differs(r.ProtocolType, g.protocolType) || differs(r.Protocol, g.protocol):
		return refuse(code.InconsistentGroupProtocol)
	}
	t := newTurn(g, now, &s.set)
	t.sync(m, ticket, r)
	return s.end(t)
}

func differs(said, is string) bool { return said != "" && said != is }

func (t *turn) sync(m *member, ticket Ticket, r SyncRequest) {
	g := t.g
	leads := g.state == CompletingRebalance && g.leader == m
	if leads && !t.hasRoomFor(r.Assignments) {
		t.step.Replies = append(t.step.Replies, refusedSync(ticket, code.PolicyViolation))
		return
	}
	m.unsynced = false
	t.parkSync(m, ticket)
	if leads {
		g.assign(r.Assignments)
		g.state = Stable
	}
	if g.state == Stable {
		t.giveAssignments()
	}
}

// assign gives each member what the leader says, which is nothing if it says
// nothing.
func (g *group) assign(assignments []Assignment) {
	for _, m := range g.members.order {
		g.members.assign(m, nil)
	}
	for _, a := range assignments {
		if to := g.members.byID[a.Member]; to != nil {
			g.members.assign(to, bytes.Clone(a.Bytes))
		}
	}
}

func (t *turn) hasRoomFor(assignments []Assignment) bool {
	total := t.g.members.bytes
	for _, a := range assignments {
		total += len(a.Bytes)
	}
	return total <= t.set.MaxGroupBytes
}

func (t *turn) giveAssignments() {
	for _, m := range t.g.members.order {
		t.answerSync(m, &SyncReply{ProtocolType: t.g.protocolType, Protocol: t.g.protocol, Assignment: m.assignment})
	}
}
