package group

import "container/heap"

// Apply makes an event true, whether it was just appended to the log or is
// replayed from it. An event that names a group which is not there makes it, or
// has nothing to do.
func (s *Groups) Apply(e Event) {
	switch e := e.(type) {
	case Generated:
		s.keep(e.Group).take(e)
	case Committed:
		s.keep(e.Group).commit(e, s.open)
	case Ended:
		s.open.end(e.Producer, e.Commit)
	case OffsetsDeleted:
		if g := s.byName[e.Group]; g != nil {
			for _, p := range e.Partitions {
				s.open.clear(spot{g, p})
			}
		}
	case Deleted:
		if g := s.byName[e.Group]; g != nil {
			s.remove(g)
		}
	case TopicDeleted:
		for _, g := range s.byName {
			for p := range g.cells {
				if p.Topic == e.Topic {
					s.open.clear(spot{g, p})
				}
			}
		}
	case Changed:
		g := s.keep(e.Group)
		g.change(e, s.settings(e.Group))
		heap.Fix(&s.queue, g.place)
	case Configured:
		s.configure(e)
	case Floor:
		s.floor = max(s.floor, e.Generation)
	}
}

// Recovered is called once, after the replay and before requests. The members
// that classic groups had are not known any more: those groups count as empty
// from now on, so that they have the whole retention to come back. Consumers are
// known, and have their whole session to show life.
func (s *Groups) Recovered(now int64) {
	for _, g := range s.byName {
		if g.state == Empty && g.emptySince < 0 {
			g.emptySince = now
		}
		if g.consumers != nil {
			g.consumers.resume(now, s.settings(g.name))
			g.next = g.deadline()
		}
	}
	heap.Init(&s.queue)
}

// keep returns a group that the log knows.
func (s *Groups) keep(name string) *group {
	g := s.byName[name]
	if g == nil {
		g = s.put(name)
	}
	g.logged = true
	return g
}

// generated is the event of g's present generation.
func (g *group) generated() Generated {
	return Generated{Group: g.name, Generation: g.generation, ProtocolType: g.protocolType, EmptySince: g.emptySince}
}

// take makes a group of consumers a classic one.
func (g *group) take(e Generated) {
	if g.consumers != nil {
		g.consumers, g.state = nil, Empty
	}
	g.generation = max(g.generation, e.Generation)
	g.protocolType, g.emptySince = e.ProtocolType, e.EmptySince
}

// commit notes offsets. A plain one is later than all that is pending, so those no
// longer matter, whichever way their transactions end.
func (g *group) commit(e Committed, open transactions) {
	for _, o := range e.Offsets {
		c, at := g.at(o.Partition), spot{g, o.Partition}
		if e.Producer < 0 {
			open.drop(at, c)
			c.committed, c.known = o, true
			continue
		}
		c.promise(e.Producer, o)
		open.note(e.Producer, at)
	}
}
