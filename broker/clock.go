package broker

import (
	"encoding/binary"
	"fmt"
	"log/slog"
	"math"
	"sync/atomic"
	"time"

	"github.com/hapaxmq/hapax"
)

// clock is the time of appends, by which ids stay in topics' windows. It never goes
// back, over restarts either: it goes on from the newest time that the log has, or
// from the source's if that is later, and from then on as fast as the source.
type clock struct {
	source func() time.Time
	began  time.Time
	base   int64 // Unix ns at began; 0: it stands, at last
	last   atomic.Int64
}

// stored notes a time that the log has, in Unix ms, before the clock is started.
func (c *clock) stored(ms int64) {
	if ms <= math.MaxInt64/int64(time.Millisecond) {
		c.last.Store(max(c.last.Load(), ms*int64(time.Millisecond)))
	}
}

// replay notes the time that a snapshot has.
func (c *clock) replay(payload []byte) error {
	if len(payload) != 8 {
		return fmt.Errorf("%w: a frame of %d bytes for a time", hapax.ErrCorrupt, len(payload))
	}
	c.stored(int64(binary.LittleEndian.Uint64(payload)))
	return nil
}

// newest is the newest time that was given, in Unix ms.
func (c *clock) newest() int64 { return c.last.Load() / int64(time.Millisecond) }

// start makes the clock go.
func (c *clock) start(log *slog.Logger) {
	c.began = c.source()
	c.base = max(c.began.UnixNano(), c.last.Load())
	if behind := time.Duration(c.base - c.began.UnixNano()); behind > time.Second {
		log.Warn("the machine's clock is behind the times that the log has: appends go on from there", "behind", behind)
	}
}

// now is the time. While the log is read it is the newest stored.
func (c *clock) now() time.Time {
	if c.base == 0 {
		return time.Unix(0, c.last.Load())
	}
	now := c.base + int64(c.source().Sub(c.began))
	for {
		was := c.last.Load()
		if was >= now {
			return time.Unix(0, was)
		}
		if c.last.CompareAndSwap(was, now) {
			return time.Unix(0, now)
		}
	}
}
