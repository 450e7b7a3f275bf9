package broker

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// refusals tells of connections that end as they should not: of any number of them a
// few lines a second, and how many others there were.
type refusals struct {
	mu     sync.Mutex
	until  time.Time // of the second
	told   int       // in it
	others int
}

// mostRefusals is how many lines there are in a second.
const mostRefusals = 10

// tell logs one of them, or counts it for the next line.
func (r *refusals) tell(to *slog.Logger, now time.Time, level slog.Level, message string, args ...any) {
	r.mu.Lock()
	if !now.Before(r.until) {
		r.until, r.told = now.Add(time.Second), 0
	}
	if r.told == mostRefusals {
		r.others++
		r.mu.Unlock()
		return
	}
	if r.others > 0 {
		args = append(args, "others before", r.others)
	}
	r.told, r.others = r.told+1, 0
	r.mu.Unlock()
	to.Log(context.Background(), level, message, args...)
}
