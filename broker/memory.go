package broker

import (
	"cmp"
	"context"
	"math/bits"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// memory is the node's for requests, all connections together, while they come and
// are handled: queued.max.request.bytes. Short ones are read into memory of their
// connection's own, and need none of it (see intake).
//
// A request takes more as its bytes come. Who finds too little waits in line and
// reads nothing, so that its client is held up by TCP. Requests that have a part and
// want another would wait for each other for good: so as much as the longest may be
// is kept for the turn, which the first in line gets if nobody has it, and has until
// its request is handled.
//
// Who has memory and sends too slowly is cut off, but only while others wait.
type memory struct {
	most int64 // 0: there is no bound
	kept int64 // of these, for who has the turn

	mu      sync.Mutex
	used    int64
	holders map[*share]struct{} // those who wait for the first of it too
	line    []*share
	turn    *share    // nil: nobody has it
	looked  time.Time // when somebody in line looked for who is too slow
	waits   uint64
	cuts    uint64

	free [pooled]sync.Pool // of *[]byte, by size
}

// share is what a request has of the memory.
type share struct {
	size int          // of the request
	stop func()       // makes a read that waits for its client fail, and all after it
	cut  atomic.Bool  // it was stopped
	last atomic.Int64 // when something of it came, Unix ns, or memory was given to it

	// The memory's mu guards what follows.
	held    int64
	coming  bool          // it is its client that it waits for
	since   time.Time     // it is: when it began, without the time in line
	wants   int64         // in line: so many bytes more
	queued  time.Time     // in line: from when on
	granted chan struct{} // in line: it is closed when it has them
}

const (
	// A request that has memory is to come within slowStart and a second for each
	// slowRate of its bytes, and without a pause of slowPause.
	slowStart = 10 * time.Second
	slowRate  = 8 << 20
	slowPause = 5 * time.Second
	// lookEvery is how often somebody in line looks for those who are too slow.
	lookEvery = time.Second
)

// newMemory is of so many bytes, none or fewer for no bound, where a request has up
// to longest. There is enough for one of these, whatever most is.
func newMemory(most int64, longest int) *memory {
	kept := int64(capacity(longest))
	if most > 0 {
		most = max(most, kept)
	}
	return &memory{most: max(most, 0), kept: kept, holders: make(map[*share]struct{})}
}

// begin begins a request of a size. It is to be released.
func (m *memory) begin(size int, stop func()) *share {
	s := &share{size: size, stop: stop, coming: true, since: time.Now()}
	s.last.Store(s.since.UnixNano())
	m.mu.Lock()
	defer m.mu.Unlock()
	m.holders[s] = struct{}{}
	return s
}

// take takes bytes for a request, of its size in all at most, or waits for them. After
// an error, that of ctx, it has none of these.
func (m *memory) take(ctx context.Context, s *share, n int) (waited bool, err error) {
	m.mu.Lock()
	if s.wants = int64(n); s == m.turn || len(m.line) == 0 && m.fits(s.wants) {
		m.give(s)
		m.mu.Unlock()
		return false, nil
	}
	s.coming, s.queued, s.granted = false, time.Now(), make(chan struct{})
	m.line = append(m.line, s)
	m.waits++
	m.serve()
	m.mu.Unlock()
	return true, m.await(ctx, s)
}

// await returns when a request in line has what it wants.
func (m *memory) await(ctx context.Context, s *share) error {
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	for {
		select {
		case <-s.granted:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		case now := <-look.C:
			m.cutSlow(now)
		}
	}
}

// fits tells whether there is so much, beside what is kept. It must hold mu, as all
// below that are called with it.
func (m *memory) fits(n int64) bool {
	others := m.used
	if m.turn != nil {
		others -= m.turn.held
	}
	return m.most == 0 || others+n <= m.most-m.kept
}

func (m *memory) give(s *share) {
	s.held += s.wants
	m.used += s.wants
	s.wants = 0
}

// serve gives to those in line, in order, what there is. It must hold mu.
func (m *memory) serve() {
	for len(m.line) > 0 {
		s := m.line[0]
		if !m.fits(s.wants) {
			if m.turn != nil {
				return
			}
			m.turn = s
		}
		m.line = slices.Delete(m.line, 0, 1)
		m.give(s)
		now := time.Now()
		s.coming, s.since = true, s.since.Add(now.Sub(s.queued))
		s.last.Store(now.UnixNano())
		close(s.granted)
	}
}

// cutSlow cuts off requests that are too slow, those with the most memory first, until
// those in line have what they want. One look is for all of the line: in a long one
// everybody's own would keep mu for good.
func (m *memory) cutSlow(now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if now.Sub(m.looked) < lookEvery/2 {
		return
	}
	m.looked = now
	var wanted int64
	for _, s := range m.line {
		wanted += s.wants
	}
	var slow []*share
	for s := range m.holders {
		switch {
		case s.cut.Load():
			wanted -= s.held // which it is about to give back
		case s.coming && s.slow(now):
			slow = append(slow, s)
		}
	}
	slices.SortFunc(slow, func(a, b *share) int { return cmp.Compare(b.held, a.held) })
	for _, s := range slow {
		if wanted <= 0 {
			return
		}
		wanted -= s.held
		m.cuts++
		s.cut.Store(true)
		s.stop() // under mu, for its connection may go on to another request
	}
}

func (s *share) slow(now time.Time) bool {
	return now.Sub(s.since) > slowStart+time.Duration(s.size)*time.Second/slowRate || now.UnixNano()-s.last.Load() > int64(slowPause)
}

// came notes that all of a request has come, and tells whether it did in time.
func (m *memory) came(s *share) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	s.coming = false
	return !s.cut.Load()
}

// release gives back what a request has, or leaves the line.
func (m *memory) release(s *share) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.holders, s)
	if s.wants > 0 {
		m.line = slices.DeleteFunc(m.line, func(other *share) bool { return other == s })
	}
	m.used -= s.held
	if m.turn == s {
		m.turn = nil
	}
	m.serve()
}

func (m *memory) write(e *exposition) {
	m.mu.Lock()
	used, line, waits, cuts := m.used, len(m.line), m.waits, m.cuts
	m.mu.Unlock()
	e.gauge("hapax_request_memory_bytes", uint64(used))
	e.gauge("hapax_request_memory_limit_bytes", uint64(m.most)) // 0: none
	e.gauge("hapax_request_memory_waiting", uint64(line))
	e.counter("hapax_request_memory_waits_total", waits)
	e.counter("hapax_request_memory_cut_total", cuts)
}

const (
	leastPooled = 17 // the binary logarithm of the size of the smallest buffers that are used again
	mostPooled  = 21
	pooled      = mostPooled - leastPooled + 1
)

// capacity is that of a buffer for n bytes: a power of two if it is to be used again.
func capacity(n int) int {
	if n > 1<<mostPooled {
		return n
	}
	return 1 << max(bits.Len(uint(max(n, 1)-1)), leastPooled)
}

// buffer is an empty one of a capacity.
func (m *memory) buffer(capacity int) []byte {
	if capacity <= 1<<mostPooled {
		if b, ok := m.free[bits.Len(uint(capacity))-1-leastPooled].Get().(*[]byte); ok {
			return (*b)[:0]
		}
	}
	return make([]byte, 0, capacity)
}

// reuse takes a buffer back that nobody reads any more.
func (m *memory) reuse(b []byte) {
	if c := cap(b); c > 0 && c <= 1<<mostPooled {
		m.free[bits.Len(uint(c))-1-leastPooled].Put(&b)
	}
}
