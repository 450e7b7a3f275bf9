package group

import (
	"cmp"
	"slices"

	"github.com/hapaxmq/hapax/broker/code"
)

// DecideConsumerHeartbeat checks a heartbeat and says what it changes, and what
// the member is told once that is in the log. The event is nil if nothing
// changes. The one thing that this changes by itself is that the member showed
// life.
func (s *Groups) DecideConsumerHeartbeat(r ConsumerHeartbeat, topics *Topics, now int64) (ConsumerReply, Event) {
	if c, message := r.check(&s.set); c != code.None {
		return refuseConsumer(c, message), nil
	}
	g := s.byName[r.Group]
	switch {
	case r.Epoch != joinEpoch && (g == nil || g.consumers == nil && g.state == Empty):
		// Kafka says that there is no such group, which ends its own client; it can
		// join, and with this it does.
		return refuseConsumer(code.UnknownMemberID, "the group has no members"), nil
	case g == nil && len(s.byName) >= s.set.MaxGroups:
		return refuseConsumer(code.PolicyViolation, "there are too many groups"), nil
	case g == nil:
		g = newGroup(r.Group, s.floor) // only the event makes it
	case g.consumers == nil && g.state != Empty:
		return refuseConsumer(code.GroupIDNotFound, "the group is a classic one: it can change only without members"), nil
	}
	b := &beat{ConsumerHeartbeat: r, g: g, members: g.consumers, set: s.settings(r.Group), topics: topics, now: now}
	if b.members == nil {
		b.members = newConsumers()
	}
	b.event = Changed{Group: r.Group, Epoch: g.generation, TargetEpoch: b.members.targetEpoch, Basis: b.members.basis, At: now}
	reply := b.do()
	if !b.changes() {
		return reply, nil
	}
	return reply, b.event
}

// beat is the handling of one heartbeat. Of the group it changes nothing but the
// member's deadline, and which topics were looked at.
type beat struct {
	ConsumerHeartbeat
	g       *group
	members *consumers
	set     *Settings
	topics  *Topics
	now     int64

	before *consumer // the member as it is; nil if it comes
	gone   *consumer // the static member whose place it takes
	after  consumer  // as it will be
	event  Changed
}

// changes reports whether the event changes anything.
func (b *beat) changes() bool {
	e := &b.event
	return e.Epoch != b.g.generation || e.TargetEpoch != b.members.targetEpoch || len(e.Left)+len(e.Profiles)+len(e.Targets)+len(e.Holdings) > 0
}

func (b *beat) do() ConsumerReply {
	if b.Epoch < joinEpoch {
		return b.leave()
	}
	c, message := b.identify()
	if c == code.None && !b.hasRoom() {
		c, message = code.GroupMaxSizeReached, "the group is full"
	}
	if c != code.None {
		return refuseConsumer(c, message)
	}
	if b.before != nil {
		b.before.expires = b.now + int64(b.set.ConsumerSession)
	}
	b.note()
	b.number()
	if b.event.Epoch > b.members.targetEpoch {
		b.share()
	}
	b.reconcile()
	return b.reply()
}

// identify finds out who the member is, and that it is where it thinks it is.
func (b *beat) identify() (code.Error, string) {
	if b.Epoch == joinEpoch {
		return b.admit()
	}
	m, c := b.named()
	if c != code.None {
		return c, "the member is not, or no longer, of the group"
	}
	b.before, b.after = m, *m
	// One that is an epoch behind missed a reply, if it has nothing that it has not.
	missed := b.Epoch == m.Previous && m.Epoch != left && b.Owned != nil && m.holds(b.Owned, m.Epoch)
	if b.Epoch != m.Epoch && !missed {
		return code.FencedMemberEpoch, "the member must give up its partitions and join anew"
	}
	return code.None, ""
}

// named is the member that the request names.
func (b *beat) named() (*consumer, code.Error) {
	if b.Instance != "" {
		switch m := b.members.static[b.Instance]; {
		case m == nil:
			return nil, code.UnknownMemberID
		case m.Member != b.Member:
			return nil, code.FencedInstanceID
		}
	}
	if m := b.members.byID[b.Member]; m != nil {
		return m, code.None
	}
	return nil, code.UnknownMemberID
}

// admit handles a member that joins. One that is there has given up what it had,
// for it missed a reply or was fenced. A static one may take the place of another
// that has left.
func (b *beat) admit() (code.Error, string) {
	b.Member = cmp.Or(b.Member, b.Fresh)
	b.after.Member = b.Member
	if m := b.members.byID[b.Member]; m != nil {
		b.before, b.after = m, *m
		b.after.Assigned, b.after.Revoking, b.after.Stage = nil, nil, Waiting
		if m.Epoch == left {
			b.after.Epoch = m.Previous
		}
	}
	switch m := b.members.static[b.Instance]; {
	case b.Instance == "" || m == nil || m == b.before:
	case m.Epoch != left || b.before != nil:
		return code.UnreleasedInstanceID, "another member has the instance id"
	default:
		b.gone, b.after = m, *m
		b.after.Member = b.Member
		b.after.Epoch, b.after.Previous, b.after.Stage = joinEpoch, joinEpoch, Waiting
	}
	return code.None, ""
}

// hasRoom reports whether the group may keep the member and what it says.
func (b *beat) hasRoom() bool {
	members, total := len(b.members.byID), b.members.bytes+b.profile().size()
	for _, m := range []*consumer{b.before, b.gone} {
		if m != nil {
			members, total = members-1, total-m.size()
		}
	}
	return (b.before != nil || members < b.set.MaxConsumers) && total <= b.set.MaxGroupBytes
}

// profile is what the member says now, with what it said before.
func (b *beat) profile() Profile {
	p := b.after.Profile
	p.Member, p.ClientID, p.ClientHost = b.Member, b.ClientID, b.ClientHost
	p.Instance, p.Rack, p.Assignor = cmp.Or(b.Instance, p.Instance), cmp.Or(b.Rack, p.Rack), cmp.Or(b.Assignor, p.Assignor)
	if b.RebalanceTimeout >= 0 {
		p.RebalanceTimeout = b.RebalanceTimeout
	}
	if b.Topics != nil {
		p.Topics = slices.Clone(b.Topics)
		slices.Sort(p.Topics)
		p.Topics = slices.Compact(p.Topics)
	}
	if b.Pattern != nil {
		p.Pattern = *b.Pattern
	}
	return p
}

// note takes down what the member says.
func (b *beat) note() {
	p := b.profile()
	was := b.former()
	if was == nil || !was.wants(p) {
		b.event.Epoch++
	}
	if was == nil || !was.Profile.same(p) {
		b.event.Profiles = []Profile{p}
	}
	if b.gone != nil {
		b.event.Left = []string{b.gone.Member}
		b.event.Targets = []Target{{b.Member, b.gone.target}}
	}
	b.after.Profile = p
}

// former is whom the member was, if it was anybody.
func (b *beat) former() *consumer {
	if b.before != nil {
		return b.before
	}
	return b.gone
}

// number gives the group its next epoch if the topics have changed: those that its
// members want, or how many partitions they have.
func (b *beat) number() {
	if b.event.Epoch != b.g.generation || b.members.seen == b.topics {
		return
	}
	resolve := newResolver(b.topics)
	var wanted []int
	for _, m := range b.roll() {
		wanted = append(wanted, resolve.of(&m.Profile)...)
	}
	if b.topics.basis(wanted) != b.members.basis {
		b.event.Epoch++
		return
	}
	b.members.seen = b.topics
}

// roll is everybody who will be a member, by id.
func (b *beat) roll() []*consumer {
	all := slices.DeleteFunc(b.members.inOrder(), func(m *consumer) bool { return m == b.before || m == b.gone })
	at, _ := slices.BinarySearchFunc(all, b.Member, func(m *consumer, id string) int { return cmp.Compare(m.Member, id) })
	return slices.Insert(all, at, &b.after)
}

// share makes a target for the group's epoch.
func (b *beat) share() {
	all, resolve := b.roll(), newResolver(b.topics)
	seats := make([]seat, len(all))
	var wanted []int
	for i, m := range all {
		seats[i] = seat{member: m.Member, instance: m.Instance, topics: resolve.of(&m.Profile), has: m.target}
		wanted = append(wanted, seats[i].topics...)
	}
	b.event.Targets, b.event.Basis = nil, b.topics.basis(wanted)
	for i, share := range assign(elect(b.set.Assignors, all), b.topics.all, seats) {
		m := all[i]
		if b.gone != nil && m == &b.after || !slices.Equal(share, m.target) {
			b.event.Targets = append(b.event.Targets, Target{m.Member, share})
		}
		if m == &b.after {
			b.after.target = share
		}
	}
	b.event.TargetEpoch = b.event.Epoch
}

// elect is the assignor that most members prefer, of equals the one that the
// settings name first. Who prefers none does not vote.
func elect(assignors []string, all []*consumer) string {
	votes := map[string]int{}
	for _, m := range all {
		votes[m.Assignor]++
	}
	best := assignors[0]
	for _, name := range assignors {
		if votes[name] > votes[best] {
			best = name
		}
	}
	return best
}

// reconcile leads the member on.
func (b *beat) reconcile() {
	was := Holding{}
	if m := b.former(); m != nil {
		was = m.Holding
	}
	owned := slices.Clone(b.Owned)
	slices.SortFunc(owned, Partition.compare)
	b.after.Holding = b.after.reconcile(goal{
		epoch: b.event.TargetEpoch, partitions: b.after.target, owned: owned,
		free: func(p Partition) bool {
			owner := b.members.owners[p]
			return owner == nil || owner == b.before || owner == b.gone
		},
	})
	if b.before == nil || !was.same(b.after.Holding) {
		b.event.Holdings = []Moved{{b.Member, b.after.Holding}}
	}
}

func (h Holding) same(other Holding) bool {
	return h.Epoch == other.Epoch && h.Previous == other.Previous && h.Stage == other.Stage &&
		slices.Equal(h.Assigned, other.Assigned) && slices.Equal(h.Revoking, other.Revoking)
}

// reply tells the member where it is, and what it may read if that has changed or
// it has missed something.
func (b *beat) reply() ConsumerReply {
	reply := ConsumerReply{Member: b.Member, Epoch: b.after.Epoch, Interval: b.set.ConsumerInterval}
	if b.full() || b.before == nil || !slices.Equal(b.before.Assigned, b.after.Assigned) {
		reply.Told, reply.Assigned = true, b.after.Partitions()
	}
	return reply
}

// Partitions are those that the member may read, in order.
func (h Holding) Partitions() []Partition {
	partitions := make([]Partition, len(h.Assigned))
	for i, held := range h.Assigned {
		partitions[i] = held.Partition
	}
	return partitions
}

// leave takes the member out. A static one that leaves for a while keeps what it
// has, for as long as its session lasts.
func (b *beat) leave() ConsumerReply {
	m, c := b.named()
	if c != code.None {
		return refuseConsumer(c, "the member is not, or no longer, of the group")
	}
	reply := ConsumerReply{Member: b.Member, Epoch: b.Epoch, Interval: b.set.ConsumerInterval}
	if b.Epoch == leaveEpoch {
		b.event.Left = []string{m.Member}
		b.event.Epoch++
		return reply
	}
	away := m.Holding
	if away.Epoch != left {
		away.enter(left)
	}
	away.Stage, away.Revoking = Settled, nil
	if !away.same(m.Holding) {
		b.event.Holdings = []Moved{{m.Member, away}}
	}
	return reply
}
