package inbox

import (
	"errors"
	"sync/atomic"
	"time"
)

// ErrClosed says that the inbox was closed.
var ErrClosed = errors.New("inbox: closed")

// How long to stop while a store can't be asked.
const (
	shortPause = 100 * time.Millisecond
	longPause  = 30 * time.Second
)

// outage tells how long to wait for a store that can't be asked: as long again as it
// has been away, so that the pauses double however many ask.
type outage struct {
	origin time.Time    // times are counted from here
	since  atomic.Int64 // when it began, in nanoseconds; 0: the store answers
}

// pause is the time to wait after a question without an answer.
func (o *outage) pause() time.Duration {
	now := max(int64(time.Since(o.origin)), 1)
	o.since.CompareAndSwap(0, now)
	return min(max(time.Duration(now-o.since.Load()), shortPause), longPause)
}

// end notes that the store answers.
func (o *outage) end() {
	if o.since.Load() != 0 {
		o.since.Store(0)
	}
}
