package ledger

import (
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"unsafe"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/internal/arena"
	"github.com/hapaxmq/hapax/window"
)

const lineBytes = int(unsafe.Sizeof(window.Line{}))

// memory is where the table's lines are: outside the Go heap, in place for good.
type memory struct {
	bytes  int64
	beside bool         // there are words beside the entries
	limit  int          // lines of entries; changed under the ledger's mu and this one
	most   atomic.Int64 // identities that may be in so many lines
	mu     sync.Mutex
	arena  *arena.Arena
}

func newMemory(limit int64, beside bool) (m *memory, err error) {
	m = &memory{bytes: limit, beside: beside}
	m.limit = min(int(limit/m.per()), window.MaxLines)
	m.arena, err = arena.Reserve(m.size(m.limit))
	return m, err
}

// size is the memory that so many lines of entries take.
func (m *memory) size(lines int) int64 {
	return int64(window.Space(lines, m.beside)) * int64(lineBytes)
}

// per is size of one line, of many.
func (m *memory) per() int64 { return m.size(2) / 2 }

// prepare has the system back lines from..to with memory before they are used.
func (m *memory) prepare(from, to int) {
	m.mu.Lock()
	_, err := m.arena.Grow(int(m.size(to)))
	m.mu.Unlock()
	if err != nil {
		return // the growth itself will say so
	}
	for ; from < to; from += portion {
		m.arena.Prefault(int(m.size(from)), int(m.size(min(from+portion, to))))
		runtime.Gosched() // a processor that waits for the system is nobody else's
	}
}

// portion is how many lines get memory at once: a huge page of them.
const portion = 2 << 20 / lineBytes

// mostIn is how many identities a table of so many lines may take.
func mostIn(lines int) int64 { return int64(hardest * 4 * float64(lines)) }

// measure notes how many identities the table may take when it has grown as often
// as it can: between two growths that is less than the limit.
func (m *memory) measure(t *window.Table) { m.most.Store(mostIn(t.Layout().Largest(m.limit))) }

// cede lowers the limit so that so many bytes of what the table was given are
// free for others, unless the table takes more than that already.
func (m *memory) cede(bytes int64, t *window.Table) bool {
	if bytes+t.Bytes() > m.bytes {
		return false
	}
	m.mu.Lock()
	m.limit = min(m.limit, int((m.bytes-bytes)/m.per()))
	m.mu.Unlock()
	m.measure(t)
	return true
}

// Grow is window.Memory.
func (m *memory) Grow(n int) ([]window.Line, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if n > window.Space(m.limit, m.beside) {
		return nil, fmt.Errorf("%w: the table needs %d bytes of memory", hapax.ErrFull, int64(n)*int64(lineBytes))
	}
	b, err := m.arena.Grow(n * lineBytes)
	if err != nil {
		return nil, err
	}
	return unsafe.Slice((*window.Line)(unsafe.Pointer(unsafe.SliceData(b))), len(b)/lineBytes), nil
}

func (m *memory) release() error { return m.arena.Release() }
