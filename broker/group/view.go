package group

import "iter"

// Listed is a group as ListGroups has it.
type Listed struct {
	Group        string
	ProtocolType string
	State        State
	Consumers    bool // it is of the consumer protocol
}

// Type is the group's type in Kafka.
func (l Listed) Type() string {
	if l.Consumers {
		return "consumer"
	}
	return "classic"
}

// List returns all groups by name.
func (s *Groups) List() []Listed {
	all := make([]Listed, 0, len(s.queue))
	for _, g := range s.sorted() {
		all = append(all, Listed{Group: g.name, ProtocolType: g.protocolType, State: g.state, Consumers: g.consumers != nil})
	}
	return all
}

// Description is a group as DescribeGroups has it.
type Description struct {
	State        State
	Generation   int32
	ProtocolType string
	Protocol     string // "" unless stable
	Members      []DescribedMember
}

// DescribedMember is a member. Only a stable group says what it said and has; the
// bytes are not to be changed.
type DescribedMember struct {
	ID, Instance         string
	ClientID, ClientHost string
	Metadata, Assignment []byte
}

// Describe returns what a classic group is like. One that is not there is Dead, and
// so is one of consumers.
func (s *Groups) Describe(name string) Description {
	g := s.byName[name]
	if g == nil || g.consumers != nil {
		return Description{State: Dead}
	}
	d := Description{State: g.state, Generation: g.generation, ProtocolType: g.protocolType}
	if g.state == Stable {
		d.Protocol = g.protocol
	}
	for _, m := range g.members.order {
		described := DescribedMember{ID: m.id, Instance: m.instance, ClientID: m.clientID, ClientHost: m.clientHost}
		if g.state == Stable {
			described.Metadata, described.Assignment = m.metadata(g.protocol), m.assignment
		}
		d.Members = append(d.Members, described)
	}
	return d
}

// snapshotPart is how many offsets an event of a snapshot has at most.
const snapshotPart = 512

// Snapshot returns events that make new Groups what these are, but for the members
// of classic groups.
// The groups must not change meanwhile.
func (s *Groups) Snapshot() iter.Seq[Event] {
	return func(yield func(Event) bool) {
		if !yield(Floor{Generation: s.floor}) {
			return
		}
		for own := range s.Configured() {
			if !yield(own) {
				return
			}
		}
		for _, g := range s.sorted() {
			if !g.snapshot(yield) {
				return
			}
		}
	}
}

func (g *group) snapshot(yield func(Event) bool) bool {
	switch {
	case g.consumers != nil:
		if !g.consumers.snapshot(g.generated(), yield) {
			return false
		}
	case g.logged && !yield(g.generated()):
		return false
	}
	part := Committed{Group: g.name, Producer: NoProducer}
	for _, p := range g.partitions() {
		if c := g.cells[p]; c.known {
			part.Offsets = append(part.Offsets, c.committed)
		}
		if len(part.Offsets) == snapshotPart {
			if !yield(part) {
				return false
			}
			part.Offsets = nil
		}
	}
	if len(part.Offsets) > 0 && !yield(part) {
		return false
	}
	for _, p := range g.partitions() {
		for _, waiting := range g.cells[p].pending {
			if !yield(Committed{Group: g.name, Producer: waiting.producer, Offsets: []Offset{waiting.offset}}) {
				return false
			}
		}
	}
	return true
}
