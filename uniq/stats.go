package uniq

import "sync"

// Stats count lines. Read is the sum of the others but ByContent and Bytes.
type Stats struct {
	Read       int64 `json:"read"`
	Unique     int64 `json:"unique"` // first copies of an identity
	Duplicates int64 `json:"duplicates"`
	Conflicts  int64 `json:"conflicts"`  // same identity as before, other payload
	Stale      int64 `json:"stale"`      // with a number too low to tell
	Late       int64 `json:"late"`       // older than the window reaches back; they pass
	WithoutID  int64 `json:"without_id"` // they pass
	ByContent  int64 `json:"by_content"` // of the above, named by their content as they have no identity
	Bytes      int64 `json:"bytes"`      // of the lines read
}

func (s *Stats) add(o Stats) {
	s.Read += o.Read
	s.Unique += o.Unique
	s.Duplicates += o.Duplicates
	s.Conflicts += o.Conflicts
	s.Stale += o.Stale
	s.Late += o.Late
	s.WithoutID += o.WithoutID
	s.ByContent += o.ByContent
	s.Bytes += o.Bytes
}

// Progress is how far a run is. The zero value is ready to use.
type Progress struct {
	mu    sync.Mutex
	stats Stats
}

// Add counts s in.
func (p *Progress) Add(s Stats) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stats.add(s)
}

// Stats may be called while the run goes on.
func (p *Progress) Stats() Stats {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stats
}
