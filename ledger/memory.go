package ledger

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"unsafe"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/internal/arena"
	"github.com/hapaxmq/hapax/window"
)

const (
	lineBytes = int(unsafe.Sizeof(window.Line{}))
	sideBytes = int(unsafe.Sizeof(window.Side{}))
)

// memory is where the table's lines are: outside the Go heap, in place for good.
type memory struct {
	limit int // lines; changed under the ledger's mu and this one
	bytes int64
	by    float64      // the part of its size that a table grows by, if more than the least
	most  atomic.Int64 // identities that may be in so many lines
	mu    sync.Mutex
	lines *arena.Arena
	sides *arena.Arena // nil: the table keeps none
}

func newMemory(limit int64, sides bool, by float64) (*memory, error) {
	per := lineBytes
	if sides {
		per += sideBytes
	}
	m := &memory{limit: int(limit / int64(per)), bytes: limit, by: by}
	var err error
	if m.lines, err = arena.Reserve(int64(m.limit) * int64(lineBytes)); err != nil {
		return nil, err
	}
	if !sides {
		return m, nil
	}
	if m.sides, err = arena.Reserve(int64(m.limit) * int64(sideBytes)); err != nil {
		return nil, errors.Join(err, m.release())
	}
	return m, nil
}

// prepare has the system back lines from..to with memory before they are used.
func (m *memory) prepare(from, to int) {
	m.mu.Lock()
	_, err := m.lines.Grow(to * lineBytes)
	if err == nil && m.sides != nil {
		_, err = m.sides.Grow(to * sideBytes)
	}
	m.mu.Unlock()
	if err != nil {
		return // the growth itself will say so
	}
	for ; from < to; from += portion {
		m.lines.Prefault(from*lineBytes, min(from+portion, to)*lineBytes)
		if m.sides != nil {
			m.sides.Prefault(from*sideBytes, min(from+portion, to)*sideBytes)
		}
		runtime.Gosched() // a processor that waits for the system is nobody else's
	}
}

// portion is how many lines get memory at once: a huge page of them.
const portion = 2 << 20 / lineBytes

// mostIn is how many identities a table of so many lines may take.
func mostIn(lines int) int64 { return int64(hardest * 4 * float64(lines)) }

// growth is how the table may grow.
func (m *memory) growth() window.Growth { return window.Growth{By: m.by, Limit: m.limit} }

// measure notes how many identities the table may take when it has grown as often
// as it can: between two growths that is less than the limit.
func (m *memory) measure(t *window.Table) { m.most.Store(mostIn(t.Largest(m.growth()))) }

// cede lowers the limit so that so many bytes of what the table was given are
// free for others, unless the table takes more than that already.
func (m *memory) cede(bytes int64, t *window.Table) bool {
	if bytes+t.Bytes() > m.bytes {
		return false
	}
	per := int64(lineBytes)
	if m.sides != nil {
		per += int64(sideBytes)
	}
	m.mu.Lock()
	m.limit = min(m.limit, int((m.bytes-bytes)/per))
	m.mu.Unlock()
	m.measure(t)
	return true
}

// Grow is window.Memory.
func (m *memory) Grow(n int) ([]window.Line, []window.Side, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if n > m.limit {
		return nil, nil, fmt.Errorf("%w: the table needs %d bytes of memory", hapax.ErrFull, int64(n)*int64(lineBytes))
	}
	b, err := m.lines.Grow(n * lineBytes)
	if err != nil {
		return nil, nil, err
	}
	lines := unsafe.Slice((*window.Line)(unsafe.Pointer(unsafe.SliceData(b))), len(b)/lineBytes)
	if m.sides == nil {
		return lines, nil, nil
	}
	if b, err = m.sides.Grow(n * sideBytes); err != nil {
		return nil, nil, err
	}
	return lines, unsafe.Slice((*window.Side)(unsafe.Pointer(unsafe.SliceData(b))), len(b)/sideBytes), nil
}

func (m *memory) release() error {
	err := m.lines.Release()
	if m.sides != nil {
		err = errors.Join(err, m.sides.Release())
	}
	return err
}
