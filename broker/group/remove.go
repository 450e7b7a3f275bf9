package group

import (
	"encoding/binary"
	"regexp"
	"slices"

	"github.com/hapaxmq/hapax/broker/code"
)

// DeleteOffsets is OffsetDelete: what one group shall forget.
type DeleteOffsets struct {
	Group  string
	Topics []DeleteTopic
}

// DeleteTopic names partitions of one topic. Members subscribe by name.
type DeleteTopic struct {
	ID         [16]byte
	Name       string
	Partitions []int32
}

// DecideDeleteOffsets checks an OffsetDelete. The first code is the request's,
// and if it is None the others are those of r.Topics, one each. The event is nil
// if there is nothing to forget.
func (s *Groups) DecideDeleteOffsets(r DeleteOffsets) (code.Error, []code.Error, Event) {
	g := s.byName[r.Group]
	switch {
	case r.Group == "":
		return code.InvalidGroupID, nil, nil
	case g == nil:
		return code.GroupIDNotFound, nil, nil
	case g.state != Empty && g.protocolType != consumerType:
		return code.NonEmptyGroup, nil, nil
	}
	e := OffsetsDeleted{Group: r.Group}
	codes := make([]code.Error, len(r.Topics))
	subscribed := g.subscription()
	for i, topic := range r.Topics {
		if subscribed.has(topic.Name) {
			codes[i] = code.GroupSubscribedToTopic
			continue
		}
		for _, index := range topic.Partitions {
			if p := (Partition{topic.ID, index}); g.cells[p] != nil {
				e.Partitions = append(e.Partitions, p)
			}
		}
	}
	if len(e.Partitions) == 0 {
		return code.None, codes, nil
	}
	return code.None, codes, e
}

// DecideDelete checks a DeleteGroups for one group, which must have no members.
// Its offsets go with it, pending ones too.
func (s *Groups) DecideDelete(name string) (code.Error, Event) {
	g := s.byName[name]
	switch {
	case name == "":
		return code.InvalidGroupID, nil
	case g == nil:
		return code.GroupIDNotFound, nil
	case g.state != Empty:
		return code.NonEmptyGroup, nil
	}
	return code.None, Deleted{Group: name}
}

// DecideExpire says which offsets have been kept long enough, and which groups
// have nothing left (KIP-211). Only groups without members lose offsets: those
// that had some, counted from when they became empty, and those that never had,
// counted from each commit. A reader that named a time of its own is held to
// that. What a transaction is about to change stays.
//
// It looks at every offset: call it every few minutes, and apply what it returns
// before anything else.
func (s *Groups) DecideExpire(now int64) []Event {
	var events []Event
	for _, g := range s.sorted() {
		if g.state != Empty || len(g.pending) > 0 {
			continue
		}
		var gone []Partition
		for _, p := range g.partitions() {
			if g.expired(g.cells[p], now, s.set.OffsetRetention) {
				gone = append(gone, p)
			}
		}
		switch {
		case len(gone) == len(g.cells):
			events = append(events, Deleted{Group: g.name})
		case len(gone) > 0:
			events = append(events, OffsetsDeleted{Group: g.name, Partitions: gone})
		}
	}
	return events
}

func (g *group) expired(c *cell, now, retention int64) bool {
	switch {
	case len(c.pending) > 0:
		return false
	case c.committed.Expires > 0:
		return now >= c.committed.Expires
	case g.protocolType == "":
		return now-c.committed.At >= retention
	default:
		return g.emptySince >= 0 && now-g.emptySince >= retention
	}
}

// topics is what the members of a group subscribe to.
type topics struct {
	names    map[string]bool
	patterns []*regexp.Regexp
	unknown  bool // somebody's metadata could not be read: it may be anything
}

func (t topics) has(name string) bool {
	return t.unknown || t.names[name] ||
		slices.ContainsFunc(t.patterns, func(pattern *regexp.Regexp) bool { return pattern.MatchString(name) })
}

// subscription adds what consumers subscribe to, each pattern once.
func (c *consumers) subscription(all *topics) {
	seen := map[string]bool{}
	for _, m := range c.byID {
		for _, name := range m.Topics {
			all.names[name] = true
		}
		if m.Pattern == "" || seen[m.Pattern] {
			continue
		}
		seen[m.Pattern] = true
		pattern, err := compile(m.Pattern)
		if err != nil {
			all.unknown = true
			continue
		}
		all.patterns = append(all.patterns, pattern)
	}
}

// subscription reads what consumers say in the protocol of their generation. It
// is empty for groups without members.
func (g *group) subscription() topics {
	all := topics{names: map[string]bool{}}
	if g.consumers != nil {
		g.consumers.subscription(&all)
	}
	for _, m := range g.members.order {
		names, ok := subscribed(m.metadata(g.protocol))
		all.unknown = all.unknown || !ok
		for _, name := range names {
			all.names[name] = true
		}
	}
	return all
}

// subscribed reads the beginning of ConsumerProtocolSubscription, which is the
// same in all versions: int16 version, then int32-counted strings with int16
// lengths.
func subscribed(b []byte) (names []string, ok bool) {
	if len(b) < 6 {
		return nil, false
	}
	count := binary.BigEndian.Uint32(b[2:])
	b = b[6:]
	for range count {
		if len(b) < 2 {
			return nil, false
		}
		n := int(binary.BigEndian.Uint16(b))
		if len(b) < 2+n {
			return nil, false
		}
		names = append(names, string(b[2:2+n]))
		b = b[2+n:]
	}
	return names, true
}
