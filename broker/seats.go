package broker

import (
	"net"
	"sync"
)

// seats are the connections that there may be at once.
type seats struct {
	most, mostPer int // of one address

	mu    sync.Mutex
	taken int
	per   map[string]int
}

func newSeats(most, mostPer int) *seats {
	return &seats{most: most, mostPer: mostPer, per: make(map[string]int)}
}

// take takes a seat for a connection from an address, if there is one.
func (s *seats) take(from net.Addr) bool {
	host := hostOf(from)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.taken >= s.most || s.per[host] >= s.mostPer {
		return false
	}
	s.taken++
	s.per[host]++
	return true
}

// leave gives it back.
func (s *seats) leave(from net.Addr) {
	host := hostOf(from)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.taken--
	if s.per[host]--; s.per[host] == 0 {
		delete(s.per, host)
	}
}
