package group

import "github.com/hapaxmq/hapax/broker/code"

// Leave removes members. The codes are those of r.Members, one each; other
// members' requests may be answered by it.
func (s *Groups) Leave(r LeaveRequest, now int64) ([]code.Error, Step) {
	codes := make([]code.Error, len(r.Members))
	g := s.byName[r.Group]
	if g == nil {
		c := code.UnknownMemberID
		if r.Group == "" {
			c = code.InvalidGroupID
		}
		for i := range codes {
			codes[i] = c
		}
		return codes, Step{}
	}
	t := newTurn(g, now, &s.set)
	before := len(g.members.order)
	for i, who := range r.Members {
		codes[i] = t.leave(who)
	}
	if len(g.members.order) < before {
		t.rebalance()
	}
	t.tryComplete() // an id that was given out may have been all that was waited for
	return codes, s.end(t)
}

func (t *turn) leave(who Identity) code.Error {
	g := t.g
	if who.Member == "" {
		m := g.members.static[who.Instance]
		if who.Instance == "" || m == nil {
			return code.UnknownMemberID
		}
		t.expel(m)
		return code.None
	}
	if g.forget(who.Member) {
		return code.None
	}
	m, c := g.identify(who.Member, who.Instance)
	if c == code.None {
		t.expel(m)
	}
	return c
}
