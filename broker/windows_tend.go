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
	// told of, if there are any.
	alarmEvery = time.Minute
)

// run looks after the windows, until ctx ends.
func (ws *windows) run(ctx context.Context) {
	keep, alarm := time.NewTicker(keepEvery), time.NewTicker(alarmEvery)
	defer keep.Stop()
	defer alarm.Stop()
	told := make(map[*window]alarmed)
	for {
		select {
		case <-ctx.Done():
			return
		case <-keep.C:
			ws.keep()
		case <-ws.much:
			ws.keep()
		case <-alarm.C:
			ws.alarm(told)
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

// alarmed is what was told of a window.
type alarmed struct{ conflicts, refused int64 }

// alarm tells of records that came with known ids and other values, and of batches
// that were refused because a window was full.
func (ws *windows) alarm(told map[*window]alarmed) {
	for _, t := range ws.topics.list() {
		w := t.window
		if w == nil {
			continue
		}
		was, is := told[w], alarmed{conflicts: w.count.conflicts.Load(), refused: w.count.refused.Load()}
		told[w] = is
		if more := is.conflicts - was.conflicts; more > 0 {
			ws.files.log.Warn("records came with ids that the topic's window knows, and other values: either ids are used again, or records are changed on the way",
				"topic", t.name, "records", more, "what becomes of them", t.rules.window.Conflicts.String())
		}
		if more := is.refused - was.refused; more > 0 {
			ws.files.log.Warn("batches were refused, for the topic's window is full: raise "+unique.SettingMemory+" and "+unique.SettingDisk+
				", shorten it, or set "+unique.SettingWindowFull+"=evict", "topic", t.name, "batches", more)
		}
	}
}
