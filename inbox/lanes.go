package inbox

import (
	"cmp"
	"slices"
	"sync"

	"github.com/hapaxmq/hapax"
)

// Ordered is what marks say of themselves that keep one high-water mark for a source
// or a producer: all at or below it are copies. An inbox over them must name its
// messages by number.
type Ordered interface {
	Ordered() bool
}

// maxWaiting is how many messages may be waited for at once; from then on lanes of
// which nothing is known are held back too.
const maxWaiting = 1 << 16

// lane is a message's place among those of its source or producer, where marks are
// one high-water mark instead of one a message. The zero lane is none.
type lane struct {
	of     string
	epoch  uint32
	number uint64
}

func (l lane) compare(other lane) int {
	return cmp.Or(cmp.Compare(l.epoch, other.epoch), cmp.Compare(l.number, other.number))
}

// waiting is a message that has to come again.
type waiting struct {
	lane lane
	mark hapax.Mark
}

func (w waiting) compare(l lane) int { return w.lane.compare(l) }

// lanes keep messages from overtaking one that has to come again: a high-water mark
// that went beyond it would make it look like a copy, and it would be lost.
type lanes struct {
	mu      sync.Mutex
	waiting map[string][]waiting // of each lane, the lowest first
	count   int                  // of all lanes
}

// before returns the first message that has to come before l, if there is one. If too
// many wait already there is one without a mark.
func (s *lanes) before(l lane) (first waiting, blocked bool) {
	if l.of == "" {
		return first, false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	of := s.waiting[l.of]
	if len(of) == 0 {
		return first, s.count >= maxWaiting
	}
	return of[0], l.compare(of[0].lane) > 0
}

// again notes that a message has to come again.
func (s *lanes) again(w waiting) {
	s.mu.Lock()
	defer s.mu.Unlock()
	of := s.waiting[w.lane.of]
	i, ok := slices.BinarySearchFunc(of, w.lane, waiting.compare)
	if ok {
		return
	}
	if s.waiting == nil {
		s.waiting = make(map[string][]waiting)
	}
	s.waiting[w.lane.of] = slices.Insert(of, i, w)
	s.count++
}

// done notes that a message will not come again.
func (s *lanes) done(l lane) {
	s.mu.Lock()
	defer s.mu.Unlock()
	of := s.waiting[l.of]
	i, ok := slices.BinarySearchFunc(of, l, waiting.compare)
	if !ok {
		return
	}
	s.count--
	if of = slices.Delete(of, i, i+1); len(of) > 0 {
		s.waiting[l.of] = of
	} else {
		delete(s.waiting, l.of)
	}
}

// settled notes what became of d at its broker.
func (s *lanes) settled(d *delivery) {
	if d.lane.of == "" {
		return
	}
	if a := Settle(d.result, d.err).Action; a == Ack || a == DeadLetter {
		s.done(d.lane)
	} else {
		s.again(waiting{d.lane, d.mark()})
	}
}
