package broker

import (
	"errors"
	"math"

	"github.com/hapaxmq/hapax/broker/batch"
	"github.com/hapaxmq/hapax/broker/partition"
	"github.com/hapaxmq/hapax/broker/unique"
)

// What becomes of a window that only counts, in shadow, when it can be of no use: it has
// failed, or is full. Records pass as they would without it, and are counted as those
// that it was not asked about. As it does not know them it warms again, when it can: it
// takes the ids of what its topic has and it has not followed, and goes on counting then.

// passesUnasked tells whether a batch passes that a window could not be asked about. What
// has to come again is the same for a moment, whatever the window is for.
func passesUnasked(rules *unique.Rules, err error) bool {
	return rules.Shadow && !errors.Is(err, errAgain) && !errors.Is(err, errWindowOver) && !errors.Is(err, errWindowReopens)
}

// lose notes that records pass which a window was to know.
func lose(ws *windows, w *window) {
	if w.enforced.Load() && w.lost.CompareAndSwap(false, true) {
		nudge(ws.lacking)
	}
}

// goWithout has the windows warm again that records have passed.
func goWithout(ws *windows) {
	for _, t := range ws.topics.list() {
		if t.window == nil || !t.window.lost.Load() {
			continue
		}
		if err := ws.topics.log.Hold(func() error { return warmAgain(ws, t) }); err != nil {
			ws.files.log.Error("a topic's window that records have passed is not noted", "topic", t.name, "error", err)
		}
	}
}

// warmAgain has a window warm again. Nobody is between the log's Begin and End.
func warmAgain(ws *windows, t *topic) error {
	w := t.window
	if now := ws.topics.byID(t.id); now == nil || now.window != w {
		return nil
	}
	if l, _, err := w.opened(); err == nil && l.Stats().Failed != nil {
		ws.failed(t, l.Stats().Failed)
	}
	again := windowEnforced{id: t.id, window: windowState{number: w.number, begun: w.begun, because: w.because}}
	for _, p := range t.partitions {
		again.window.since = append(again.window.since, firstOpen(p))
	}
	if _, err := ws.wal().Append(frameEnforced, again.encode()); err != nil {
		return err
	}
	ws.pending.forget(w)
	w.since, w.whole = again.window.since, 0
	w.enforced.Store(false)
	w.lost.Store(false)
	if passed := w.count.unasked.Load(); passed > 0 { // that it has failed was told
		ws.files.log.Warn("records of a topic have passed its window, which only counts, for it is full or has failed: they are counted as unasked, and what the window says of copies is too low; it reads the topic's records again when it can",
			"topic", t.name, "records", passed)
	}
	nudge(ws.begun)
	return nil
}

// firstOpen is the offset at which a partition's oldest open transaction begins.
func firstOpen(p *partition.Partition) int64 {
	first := int64(math.MaxInt64)
	for _, from := range p.Producers() {
		if from.FirstOffset != batch.None {
			first = min(first, from.FirstOffset)
		}
	}
	return first
}
