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
		case <-ws.lacking:
			goWithout(ws)
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
type alarms map[*window]struct {
	conflicts, refused alarm
	missing            majority
}

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

// majority is whether some of many were most of those that came in a while.
type majority struct {
	some, all int64 // when it was found out last
	at        time.Time
}

// raise is how many there were by now if they were most of those that came since it was
// found out last, each alarmEvery; else 0.
func (m *majority) raise(some, all int64, now time.Time) (more int64) {
	if m.at.IsZero() {
		m.at = now
	}
	if now.Sub(m.at) < alarmEvery {
		return 0
	}
	if more = some - m.some; 2*more <= all-m.all {
		more = 0
	}
	*m = majority{some, all, now}
	return more
}

// alarm tells of records that came with known ids and other values, and of batches
// that were refused because a window was full, and where most records have no id, by which
// none is left out.
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
		missing := w.count.missing.Load()
		all := missing + w.count.unique.Load() + w.count.duplicates.Load() + w.count.conflicts.Load()
		if more := of.missing.raise(missing, all, now); more > 0 {
			ws.files.log.Warn("most records come without the id that the topic's window is to know them by: is it spelt as producers spell it?",
				"topic", t.name, unique.SettingIdentity, t.settings[unique.SettingIdentity], "records", more, "what becomes of them", t.rules.window.Missing.String())
		}
		told[w] = of
	}
}
