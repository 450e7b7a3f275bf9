package group

import (
	"slices"

	"github.com/hapaxmq/hapax/broker/code"
)

// turn is the handling of one request, or of the passing of time, in one group.
type turn struct {
	g    *group
	now  int64
	set  *Settings
	step Step
}

func newTurn(g *group, now int64, set *Settings) *turn {
	return &turn{g: g, now: now, set: set}
}

// after is a deadline that is later than now whatever the timeout, so that time
// has to pass before it comes.
func (t *turn) after(timeout int32) int64 {
	return t.now + max(int64(timeout), 1)
}

// touch notes a sign of life.
func (t *turn) touch(m *member) {
	m.expires = t.after(m.session)
	t.g.wakeBy(m.expires)
}

// wait sets the state's deadline.
func (t *turn) wait(timeout int32) {
	t.g.timer = t.after(timeout)
	t.g.wakeBy(t.g.timer)
}

// parkJoin lets a join wait. One that waited before, on another connection, is
// told to try again.
func (t *turn) parkJoin(m *member, ticket Ticket) {
	t.answerJoin(m, &JoinReply{Code: code.RebalanceInProgress, Generation: -1, Member: m.id})
	m.join = parked{ticket, true}
	t.g.members.joining++
}

// answerJoin ends a wait. While it waited a member was excused; it has its whole
// session from here on.
func (t *turn) answerJoin(m *member, reply *JoinReply) {
	if m.join.waits {
		t.step.Replies = append(t.step.Replies, Reply{Ticket: m.join.ticket, Join: reply})
		m.join = parked{}
		t.g.members.joining--
		t.touch(m)
	}
}

func (t *turn) parkSync(m *member, ticket Ticket) {
	t.answerSync(m, &SyncReply{Code: code.RebalanceInProgress})
	m.sync = parked{ticket, true}
}

func (t *turn) answerSync(m *member, reply *SyncReply) {
	if m.sync.waits {
		t.step.Replies = append(t.step.Replies, Reply{Ticket: m.sync.ticket, Sync: reply})
		m.sync = parked{}
		t.touch(m)
	}
}

// dismiss tells a member's waiting requests why they end.
func (t *turn) dismiss(m *member, c code.Error) {
	member := ""
	if c == code.FencedInstanceID {
		member = m.id
	}
	t.answerJoin(m, &JoinReply{Code: c, Generation: -1, Member: member})
	t.answerSync(m, &SyncReply{Code: c})
}

// expel removes a member; the caller rebalances.
func (t *turn) expel(m *member) {
	t.dismiss(m, code.UnknownMemberID)
	t.g.drop(m)
}

// rebalance begins a rebalance, or goes on with the one that is under way.
func (t *turn) rebalance() {
	if t.g.state == PreparingRebalance {
		t.tryComplete()
	} else {
		t.prepare()
	}
}

// prepare begins to wait for joins.
func (t *turn) prepare() {
	g := t.g
	for _, m := range g.members.order {
		t.answerSync(m, &SyncReply{Code: code.RebalanceInProgress})
		m.unsynced = false
	}
	g.initial = g.state == Empty && t.set.InitialDelay > 0
	g.state, g.emptySince = PreparingRebalance, -1
	if g.initial {
		g.extended = false
		g.remaining = max(int64(g.members.patience())-int64(t.set.InitialDelay), 0)
		t.wait(t.set.InitialDelay)
		return
	}
	t.wait(g.members.patience())
	t.tryComplete()
}

// tryComplete ends the wait if everybody came. The first rebalance of a group
// waits its time nevertheless: more may come.
func (t *turn) tryComplete() {
	if t.g.state == PreparingRebalance && !t.g.initial && t.g.allJoined() {
		t.complete()
	}
}

// complete ends the wait for joins with the next generation. Who did not come is
// out, but for static members, which have until their session ends.
func (t *turn) complete() {
	g := t.g
	for _, m := range slices.Clone(g.members.order) {
		if !m.join.waits && m.instance == "" {
			g.drop(m)
		}
	}
	g.initial = false
	switch {
	case len(g.members.order) == 0:
		t.empty()
		return
	case !g.elect():
		t.wait(max(g.members.patience(), nobodyCame))
		return
	}
	g.protocol = g.members.vote()
	g.state = CompletingRebalance
	t.number()
	t.wait(g.members.patience())
	for _, m := range g.members.order {
		if m.join.waits {
			t.answerJoin(m, g.joined(m))
			m.fresh, m.unsynced = false, true
		}
	}
}

// nobodyCame is how long, in ms, a group at least waits on if none of its members
// joined: static ones are away, and have no patience.
const nobodyCame = 1_000

func (t *turn) empty() {
	g := t.g
	g.state, g.protocol, g.leader = Empty, "", nil
	g.timer, g.emptySince = never, t.now
	t.number()
}

// number gives the next generation its number, which the log must know before
// anybody else does.
func (t *turn) number() {
	g := t.g
	g.generation++
	g.logged = true
	t.step.Events = append(t.step.Events, g.generated())
}

// tick handles what is due.
func (t *turn) tick() {
	g := t.g
	if g.consumers != nil {
		t.expelConsumers()
		return
	}
	for id, at := range g.pending {
		if at <= t.now {
			g.forget(id)
		}
	}
	expelled := false
	for _, m := range slices.Clone(g.members.order) {
		if m.expires <= t.now && !m.excused() {
			t.expel(m)
			expelled = true
		}
	}
	if expelled {
		t.rebalance()
	}
	t.tryComplete()
	if g.timer > t.now {
		return
	}
	switch {
	case g.initial && g.extended && g.remaining > 0:
		delay := min(int64(t.set.InitialDelay), g.remaining)
		g.extended = false
		g.remaining -= delay
		t.wait(int32(delay))
	case g.state == PreparingRebalance:
		t.complete()
	default:
		t.expelUnsynced()
	}
}

// expelUnsynced ends the wait for syncs. Mostly there is nobody left to wait for.
func (t *turn) expelUnsynced() {
	t.g.timer = never
	late := false
	for _, m := range slices.Clone(t.g.members.order) {
		if m.unsynced {
			t.expel(m)
			late = true
		}
	}
	if late {
		t.rebalance()
	}
}
