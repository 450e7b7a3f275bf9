package group

import (
	"bytes"
	"slices"
)

// member is one that was admitted.
type member struct {
	id, instance         string
	clientID, clientHost string
	session, rebalance   int32 // timeouts, ms
	protocols            []Protocol
	assignment           []byte

	join, sync parked
	expires    int64 // without a sign of life by then it is removed
	fresh      bool  // its first join was not answered yet, so it cannot heartbeat
	unsynced   bool  // has this generation's number, and did not ask for its assignment yet
}

// parked is the ticket of a request that waits.
type parked struct {
	ticket Ticket
	waits  bool
}

// excused reports whether m need not show life now: a request of its own waits.
func (m *member) excused() bool {
	return !m.fresh && (m.join.waits || m.sync.waits)
}

func (m *member) metadata(protocol string) []byte {
	for _, p := range m.protocols {
		if p.Name == protocol {
			return p.Metadata
		}
	}
	return nil
}

// says reports whether m would say the same with these protocols.
func (m *member) says(protocols []Protocol) bool {
	return slices.EqualFunc(m.protocols, protocols, func(a, b Protocol) bool {
		return a.Name == b.Name && bytes.Equal(a.Metadata, b.Metadata)
	})
}

func (m *member) size() int {
	return len(m.id) + len(m.instance) + len(m.clientID) + len(m.clientHost) + size(m.protocols) + len(m.assignment)
}

func size(protocols []Protocol) (n int) {
	for _, p := range protocols {
		n += len(p.Name) + len(p.Metadata)
	}
	return n
}

// distinct copies protocols, each name once.
func distinct(protocols []Protocol) []Protocol {
	own := make([]Protocol, 0, len(protocols))
	seen := make(map[string]bool, len(protocols))
	for _, p := range protocols {
		if !seen[p.Name] {
			seen[p.Name] = true
			own = append(own, Protocol{Name: p.Name, Metadata: bytes.Clone(p.Metadata)})
		}
	}
	return own
}

// roster is the members of a group, in the order in which they came.
type roster struct {
	order   []*member
	byID    map[string]*member
	static  map[string]*member // by instance
	speak   map[string]int     // how many know a protocol
	joining int                // how many have a join parked
	bytes   int
}

func newRoster() roster {
	return roster{byID: map[string]*member{}, static: map[string]*member{}, speak: map[string]int{}}
}

func (r *roster) add(m *member) {
	r.order = append(r.order, m)
	r.index(m)
}

func (r *roster) remove(m *member) {
	r.order = slices.DeleteFunc(r.order, func(other *member) bool { return other == m })
	r.unindex(m)
}

// rename gives a static member's place to its next process.
func (r *roster) rename(m *member, id string) {
	r.unindex(m)
	m.id = id
	r.index(m)
}

// revise notes what a member says now.
func (r *roster) revise(m *member, said JoinRequest) {
	r.unindex(m)
	m.clientID, m.clientHost = said.ClientID, said.ClientHost
	m.session, m.rebalance = said.SessionTimeout, said.RebalanceTimeout
	m.protocols = said.Protocols
	r.index(m)
}

func (r *roster) assign(m *member, assignment []byte) {
	r.bytes += len(assignment) - len(m.assignment)
	m.assignment = assignment
}

func (r *roster) index(m *member) {
	r.byID[m.id] = m
	if m.instance != "" {
		r.static[m.instance] = m
	}
	for _, p := range m.protocols {
		r.speak[p.Name]++
	}
	r.bytes += m.size()
	if m.join.waits {
		r.joining++
	}
}

func (r *roster) unindex(m *member) {
	delete(r.byID, m.id)
	if m.instance != "" {
		delete(r.static, m.instance)
	}
	for _, p := range m.protocols {
		if r.speak[p.Name]--; r.speak[p.Name] == 0 {
			delete(r.speak, p.Name)
		}
	}
	r.bytes -= m.size()
	if m.join.waits {
		r.joining--
	}
}

// common reports whether all members know a protocol.
func (r *roster) common(protocol string) bool {
	return r.speak[protocol] == len(r.order)
}

// vote chooses the protocol that most members like best among those that all
// know. Of equals the one that was voted for first wins.
func (r *roster) vote() string {
	votes := map[string]int{}
	best := ""
	for _, m := range r.order {
		for _, p := range m.protocols {
			if r.common(p.Name) {
				votes[p.Name]++
				break
			}
		}
	}
	for _, m := range r.order {
		for _, p := range m.protocols {
			if votes[p.Name] > votes[best] {
				best = p.Name
			}
		}
	}
	return best
}

// patience is the longest rebalance timeout of all members.
func (r *roster) patience() (longest int32) {
	for _, m := range r.order {
		longest = max(longest, m.rebalance)
	}
	return longest
}
