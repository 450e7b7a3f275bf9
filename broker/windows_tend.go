package broker

import (
	"context"
	"time"

	"github.com/hapaxmq/hapax/broker/unique"
)

const (
	// keepEvery is how long a window may be behind.
	keepEvery = time.Second
	// keepAfter is how many ids may be: some megabytes, which are in memory until then.
	keepAfter = 50_000
	// alarmEvery is how often conflicts, and batches that a full window refused, are
	// told of, if there are any. The first ones are told of within keepEvery: of a
	// refusal producers tell nobody, but send the batch again.
	alarmEvery = time.Minute
)

// run looks after the windows, until ctx ends.
func (ws *windows) run(ctx context.Context) {
	keep := time.NewTicker(keepEvery)
	defer keep.Stop()
	told := make(alarms)
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-keep.C:
			ws.keep()
			ws.alarm(told, now)
		case <-ws.much:
			ws.keep()
		}
	}
}

// took notes a step of a window, about so many ids. It must hold the window's mu.
func (ws *windows) took(w *window, ids int) {
	w.steps++
	if w.unkept += ids; w.unkept >= keepAfter {
		nudge(ws.much)
	}
}

// keep makes durable what the windows know by now. One that warms is tried again
// where it goes wrong.
func (ws *windows) keep() {
	for _, t := range ws.topics.list() {
		if t.window == nil {
			continue
		}
		if err := t.window.keep(ws.newest); err != nil && t.window.enforced.Load() {
			ws.failed(t, err)
		}
	}
}

// alarms are what was told of windows, and when.
type alarms map[*window]struct{ conflicts, refused alarm }

// alarm is how many of something were told of.
type alarm struct {
	told int64
	at   time.Time
}

// raise is how many there are to be told of by now.
func (a *alarm) raise(all int64, now time.Time) (more int64) {
	if all == a.told || now.Sub(a.at) < alarmEvery {
		return 0
	}
	more = all - a.told
	a.told, a.at = all, now
	return more
}

// alarm tells of records that came with known ids and other values, and of batches
// that were refused because a window was full.
func (ws *windows) alarm(told alarms, now time.Time) {
	for _, t := range ws.topics.list() {
		w := t.window
		if w == nil {
			continue
		}
		of := told[w]
		if more := of.conflicts.raise(w.count.conflicts.Load(), now); more > 0 {
			ws.files.log.Warn("records came with ids that the topic's window knows, and other values: either ids are used again, or records are changed on the way",
				"topic", t.name, "records", more, "what becomes of them", t.rules.window.Conflicts.String())
		}
		if more := of.refused.raise(w.count.refused.Load(), now); more > 0 {
			ws.files.log.Warn("batches are refused, for the topic's window is full, and producers send them again until they give up: "+relief(t.rules.window),
				"topic", t.name, "batches", more, unique.SettingWindowFull, fullText(t.rules.window))
		}
		told[w] = of
	}
}
