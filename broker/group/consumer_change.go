package group

// Changed says that a consumer group is another: what it says in lists is new, and
// the rest stays.
type Changed struct {
	Group              string
	Epoch, TargetEpoch int32
	Basis              uint64 // of the topics that the target shares out
	At                 int64  // when, Unix ms

	Left     []string // ids of members that are none any more
	Profiles []Profile
	Targets  []Target
	Holdings []Moved
}

// Target is what a member shall have.
type Target struct {
	Member     string
	Partitions []Partition // in order
}

// Moved is what a member has now.
type Moved struct {
	Member string
	Holding
}

// change makes a change true. It makes a classic group one of consumers.
func (g *group) change(e Changed, set *Settings) {
	c := g.consumers
	if c == nil {
		c = newConsumers()
		g.consumers, g.protocolType, g.pending, g.pendingBytes = c, consumerType, map[string]int64{}, 0
	}
	if c.targetEpoch != e.TargetEpoch || c.basis != e.Basis {
		c.seen = nil
	}
	g.generation, c.targetEpoch, c.basis = e.Epoch, e.TargetEpoch, e.Basis
	for _, id := range e.Left {
		if m := c.byID[id]; m != nil {
			c.remove(m)
		}
	}
	for _, p := range e.Profiles {
		m := c.put(p)
		m.expires = min(m.expires, e.At+int64(set.ConsumerSession))
		g.wakeBy(m.expires)
	}
	for _, t := range e.Targets {
		if m := c.byID[t.Member]; m != nil {
			m.target = t.Partitions
		}
	}
	for _, h := range e.Holdings {
		if m := c.byID[h.Member]; m != nil {
			c.hold(m, h.Holding)
			m.revokeBy = never
			if h.Stage == Revoking {
				m.revokeBy = e.At + int64(m.RebalanceTimeout)
				g.wakeBy(m.revokeBy)
			}
		}
	}
	if g.state = c.state(g.generation); g.state != Empty {
		g.emptySince = -1
	} else if g.emptySince < 0 {
		g.emptySince = e.At
	}
}

// deadline is when the first member is due.
func (c *consumers) deadline() int64 {
	next := int64(never)
	for _, m := range c.byID {
		next = min(next, m.expires, m.revokeBy)
	}
	return next
}

// expelConsumers removes members that showed no life, or did not give back in time
// what they must.
func (t *turn) expelConsumers() {
	c := t.g.consumers
	e := Changed{Group: t.g.name, Epoch: t.g.generation + 1, TargetEpoch: c.targetEpoch, Basis: c.basis, At: t.now}
	for _, m := range c.inOrder() {
		if min(m.expires, m.revokeBy) <= t.now {
			e.Left = append(e.Left, m.Member)
		}
	}
	if len(e.Left) > 0 {
		t.g.change(e, t.set)
		t.step.Events = append(t.step.Events, e)
	}
}

// resume gives all members their time anew, after a restart.
func (c *consumers) resume(now int64, set *Settings) {
	for _, m := range c.byID {
		m.expires, m.revokeBy = now+int64(set.ConsumerSession), never
		if m.Stage == Revoking {
			m.revokeBy = now + int64(m.RebalanceTimeout)
		}
	}
}

// changePart is how many bytes, about, a change of a snapshot has at most.
const changePart = 1 << 20

// snapshot yields changes that make a new group what this one is in its
// generation, some members each.
func (c *consumers) snapshot(of Generated, yield func(Event) bool) bool {
	empty := Changed{Group: of.Group, Epoch: of.Generation, TargetEpoch: c.targetEpoch, Basis: c.basis, At: max(of.EmptySince, 0)}
	e, size := empty, 0
	for _, m := range c.inOrder() {
		e.Profiles = append(e.Profiles, m.Profile)
		e.Targets = append(e.Targets, Target{m.Member, m.target})
		e.Holdings = append(e.Holdings, Moved{m.Member, m.Holding})
		if size += m.size() + 8*(len(m.target)+len(m.Assigned)+len(m.Revoking)); size > changePart {
			if !yield(e) {
				return false
			}
			e, size = empty, 0
		}
	}
	return size == 0 && len(c.byID) > 0 || yield(e)
}
