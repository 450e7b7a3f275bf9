// Package arena gives memory outside the Go heap that grows without moving, so
// that the garbage collector never sees a table of a hundred million keys and no
// growth ever copies one.
package arena

import (
	"errors"
	"fmt"
)

// ErrLimit says that an arena cannot grow beyond what it reserved.
var ErrLimit = errors.New("arena: reservation is used up")

// Arena is a reserved range of addresses of which a part is usable memory. It
// is not safe for concurrent use; the memory itself is the caller's to guard.
type Arena struct {
	all  []byte // the reservation
	used int    // bytes of it that are usable
}

const (
	page  = 1 << 21   // the unit of reservation: a huge page
	large = 16 * page // from there on it grows by huge pages: the system backs none in part
)

// Reserve reserves addresses for up to limit bytes. They take no memory yet.
func Reserve(limit int64) (*Arena, error) {
	limit = (limit + page - 1) / page * page
	all, err := reserve(int(limit))
	if err != nil {
		return nil, fmt.Errorf("reserve %d bytes of address space (a lower memory limit, or a higher 'ulimit -v', helps): %w", limit, err)
	}
	return &Arena{all: all}, nil
}

// Grow makes the first n bytes usable; the added ones are zero. The slice is
// valid until Release.
func (a *Arena) Grow(n int) ([]byte, error) {
	if n > len(a.all) {
		return nil, ErrLimit
	}
	unit := pageSize
	if n >= large {
		unit = page
	}
	n = min((n+unit-1)/unit*unit, len(a.all))
	if n > a.used {
		if err := commit(a.all[a.used:n]); err != nil {
			return nil, fmt.Errorf("make %d bytes usable: %w", n-a.used, err)
		}
		a.used = n
	}
	return a.all[:a.used], nil
}

// Prefault asks the system to back bytes from..to with memory now, so that no
// later touch has to wait for it. It is a hint. The bytes must be usable; it may
// run beside Grow.
func (a *Arena) Prefault(from, to int) {
	from, to = from/pageSize*pageSize, min(to, len(a.all))
	if from < to {
		prefault(a.all[from:to])
	}
}

// Used is the number of usable bytes.
func (a *Arena) Used() int { return a.used }

// Release gives everything back. The memory must not be touched any more.
func (a *Arena) Release() error {
	all := a.all
	a.all, a.used = nil, 0
	if all == nil {
		return nil
	}
	return release(all)
}
