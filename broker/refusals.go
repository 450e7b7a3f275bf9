package broker

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/hapaxmq/hapax/broker/unique"
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

// relief is what helps a topic whose window is full: what there is to raise, and what to
// change where that would help.
func relief(r *unique.Rules) string {
	raise := "raise " + unique.SettingMemory
	if r.MaxDisk > 0 {
		raise += " and " + unique.SettingDisk
	}
	switch {
	case r.EndsAtOnce():
		return raise + ", or set lower numbers, with which it begins anew: a tumbling window ends for all of its ids at once, and lets none go early"
	case r.Evict:
		return raise + ", or shorten it: nothing was left that could go early"
	}
	return raise + ", shorten it, or set " + unique.SettingWindowFull + "=evict"
}

// fullText is hapax.window.full.
func fullText(r *unique.Rules) string {
	if r.Evict {
		return "evict"
	}
	return "refuse"
}
