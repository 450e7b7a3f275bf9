package brokertest

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// timeline is what was done to the broker, and when. Safe for concurrent use.
type timeline struct {
	began time.Time

	mu     sync.Mutex
	events []event
	counts map[string]int
}

type event struct {
	at   time.Duration
	what string
}

// maxEvents bounds what is remembered: the latest of them.
const maxEvents = 100_000

func newTimeline() *timeline { return &timeline{began: time.Now(), counts: map[string]int{}} }

func (t *timeline) now() time.Duration { return time.Since(t.began) }

// note counts a kind of event, and remembers when it was.
func (t *timeline) note(kind, details string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.counts[kind]++
	if len(t.events) >= 2*maxEvents {
		t.events = slices.Delete(t.events, 0, maxEvents)
	}
	t.events = append(t.events, event{t.now(), strings.TrimRight(kind+" "+details, " ")})
}

// around lists the events from a while before one time to a while after another, the
// last few if there are many.
func (t *timeline) around(from, to time.Duration) string {
	const most = 24
	t.mu.Lock()
	defer t.mu.Unlock()
	var lines []string
	for _, e := range t.events {
		if e.at >= from-500*time.Millisecond && e.at <= to+500*time.Millisecond {
			lines = append(lines, fmt.Sprintf("      %8.3f s  %s\n", e.at.Seconds(), e.what))
		}
	}
	if cut := len(lines) - most; cut > 0 {
		lines = append([]string{fmt.Sprintf("      … %d more before\n", cut)}, lines[cut:]...)
	}
	return strings.Join(lines, "")
}

// tally is what was done, by kind.
func (t *timeline) tally() map[string]int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return maps.Clone(t.counts)
}

// wait waits for a while. It is false if ctx ends meanwhile.
func wait(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
