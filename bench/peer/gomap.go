package peer

import (
	"time"

	"github.com/hapaxmq/hapax/bench/stream"
)

// Map is what one writes first in Go: a presized map from fingerprint to the
// time it was seen, looked up, then set. Not safe for concurrent use.
type Map struct {
	seen map[[16]byte]int64
	now  int64
}

// NewMap makes room for n ids.
func NewMap(n int64) *Map {
	return &Map{seen: make(map[[16]byte]int64, n), now: time.Now().UnixNano()}
}

// Take takes ids in one by one and returns how many were new.
func (m *Map) Take(ids []stream.ID) (fresh int, err error) {
	for i := range ids {
		key := fingerprint(&ids[i])
		if _, known := m.seen[key]; !known {
			m.seen[key] = m.now
			fresh++
		}
	}
	return fresh, nil
}
