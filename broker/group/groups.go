package group

import (
	"container/heap"

	"github.com/hapaxmq/hapax/broker/code"
)

// Groups are all groups of a node. It is not safe for concurrent use: one lock
// guards it. Time, in Unix milliseconds, should not go back from call to call.
type Groups struct {
	Rules
	byName map[string]*group
	queue  deadlines
	floor  int32 // the highest generation of all groups that were deleted
	open   transactions
}

// New returns a node without groups.
func New(set Settings) *Groups {
	return &Groups{Rules: Rules{set, map[string]Own{}}, byName: map[string]*group{}, open: transactions{}}
}

// Tick lets time pass: members that showed no life go, waits end. The next call
// is due at next, or after any other call that returns a Step or a reply; see
// [Groups.Next].
func (s *Groups) Tick(now int64) (step Step, next int64) {
	for len(s.queue) > 0 && s.queue[0].next <= now {
		t := newTurn(s.queue[0], now, &s.set)
		t.step = step
		t.tick()
		t.g.next = t.g.deadline()
		step = s.end(t)
	}
	return step, s.Next()
}

// Next is when Tick is due. It may be early, never late; math.MaxInt64 is never.
func (s *Groups) Next() int64 {
	if len(s.queue) == 0 {
		return never
	}
	return s.queue[0].next
}

// Heartbeat says that a member lives. RebalanceInProgress tells it to join anew.
func (s *Groups) Heartbeat(r HeartbeatRequest, now int64) code.Error {
	if r.Group == "" {
		return code.InvalidGroupID
	}
	g := s.byName[r.Group]
	if g == nil {
		return code.UnknownMemberID
	}
	m, c := g.identify(r.Member, r.Instance)
	if c != code.None {
		return c
	}
	if r.Generation != g.generation {
		return code.IllegalGeneration
	}
	t := newTurn(g, now, &s.set)
	t.touch(m)
	s.end(t)
	if g.state == PreparingRebalance {
		return code.RebalanceInProgress
	}
	return code.None
}

// find returns a group, and makes it if there is room. Only end, or an event
// that fills it, keeps a group that was made.
func (s *Groups) find(name string) (*group, code.Error) {
	if g := s.byName[name]; g != nil {
		return g, code.None
	}
	if len(s.byName) >= s.set.MaxGroups {
		return nil, code.PolicyViolation
	}
	return s.put(name), code.None
}

func (s *Groups) put(name string) *group {
	g := newGroup(name, s.floor)
	s.byName[name] = g
	heap.Push(&s.queue, g)
	return g
}

// remove forgets a group and everything in it.
func (s *Groups) remove(g *group) {
	if g.logged {
		s.floor = max(s.floor, g.generation)
	}
	for p := range g.cells {
		s.open.clear(spot{g, p})
	}
	delete(s.byName, g.name)
	heap.Remove(&s.queue, g.place)
}

// end puts the group back to where its deadline has it, and returns what came of
// the turn.
func (s *Groups) end(t *turn) Step {
	if t.g.blank() {
		s.remove(t.g)
	} else {
		heap.Fix(&s.queue, t.g.place)
	}
	return t.step
}

// deadlines is a heap of groups by what is due next.
type deadlines []*group

func (d deadlines) Len() int           { return len(d) }
func (d deadlines) Less(i, j int) bool { return d[i].next < d[j].next }

func (d deadlines) Swap(i, j int) {
	d[i], d[j] = d[j], d[i]
	d[i].place, d[j].place = i, j
}

// Push appends x, a *group.
func (d *deadlines) Push(x any) {
	g := x.(*group)
	g.place = len(*d)
	*d = append(*d, g)
}

// Pop takes the last one off.
func (d *deadlines) Pop() any {
	last := len(*d) - 1
	g := (*d)[last]
	(*d)[last] = nil
	*d = (*d)[:last]
	return g
}
