package ledger

import (
	"fmt"
	"unsafe"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/internal/arena"
	"github.com/hapaxmq/hapax/ledger/cold"
	"github.com/hapaxmq/hapax/window"
)

// useSequences makes l.sequences if there is none. It must hold mu.
func (l *Ledger) useSequences() (*sequences, error) {
	if l.sequences != nil {
		return l.sequences, nil
	}
	rules := l.o.Sequences.rules()
	memory, err := arena.Reserve(8 * int64(rules.Words()))
	if err != nil {
		return nil, fmt.Errorf("make room for %d producers: %w", rules.Producers, err)
	}
	grow := func(words int) ([]uint64, error) {
		const huge = 2 << 20
		n := 8 * words
		if n > huge {
			n = min((n+huge-1)/huge*huge, 8*rules.Words())
		}
		if err := l.roomForProducers(int64(n), n/8/rules.RowWords()); err != nil {
			return nil, err
		}
		b, err := memory.Grow(n)
		if err != nil {
			return nil, err
		}
		return unsafe.Slice((*uint64)(unsafe.Pointer(unsafe.SliceData(b))), len(b)/8), nil
	}
	l.sequences = &sequences{rows: window.NewSequences(rules, grow, l.dir != ""), memory: memory, window: rules.Disorder}
	l.sequences.rows.Advance(l.now())
	return l.sequences, nil
}

// roomForProducers tells whether rows of so many bytes, and an index for as many
// producers, fit MaxMemory. In a ledger with cold files they share with their
// filters, in another they take from what the table may grow to.
func (l *Ledger) roomForProducers(rows int64, producers int) error {
	n := rows + int64(producers)*window.IndexBytes
	var ok bool
	if !l.o.keepsCold(l.dir) {
		ok = l.hot.mem.cede(n, l.hot.table)
	} else {
		filters := l.cold.memory()
		if l.cold.wanted {
			_, keys := l.hot.coldest(l.current)
			filters += cold.Cost(keys)
		}
		ok = filters+n <= l.o.coldMemory()
	}
	if ok {
		l.sequences.held = n
		return nil
	}
	return fmt.Errorf("%w: %d producers are remembered, and MaxMemory of %d bytes holds no more; raise it, or set Sequences.Idle", hapax.ErrFull, l.sequences.rows.Len(), l.o.MaxMemory)
}

// bytes is what producers take of MaxMemory.
func (s *sequences) bytes() int64 {
	if s == nil {
		return 0
	}
	return s.held
}

func (s *sequences) release() error {
	if s == nil {
		return nil
	}
	return s.memory.Release()
}
