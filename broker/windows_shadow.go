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
	w.whole = 0
	w.froms.Store(&again.window.since)
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

// fromShadow tells whether a topic's window, which only counts, is to be enforced with
// other rules.
func fromShadow(t *topic, is *unique.Rules) bool {
	return t.window != nil && is != nil && t.rules.window.Shadow && !is.Shadow
}

// enforceFrom changes a topic's settings as [topics.change] does, with which its window is
// enforced that only counted: from where its partitions are then, for copies stand before
// that. One that is still warming is enforced once it is warm.
func enforceFrom(ws *windows, t *topic, kind uint8, payload []byte, apply func()) (end int64, err error) {
	err = ws.topics.log.Hold(func() error {
		if err := ws.files.follow(); err != nil { // what is not synced has no offset yet that is told
			return err
		}
		from := windowEnforced{id: t.id, window: t.window.state()}
		if from.window.since = nil; from.window.enforced {
			for _, p := range t.partitions {
				from.window.since = append(from.window.since, p.Limit(false))
			}
			if _, err := ws.wal().Append(frameEnforced, from.encode()); err != nil { // it says nothing of one in shadow
				return err
			}
			t.window.froms.Store(&from.window.since)
		}
		at, err := ws.wal().Append(kind, payload)
		if err != nil {
			return err
		}
		apply()
		end = at.End
		return nil
	})
	return end, err
}

// outOfShadow tells whether a topic's window is enforced by now, of a batch that was
// prepared when it only counted.
func outOfShadow(ws *windows, batch *topic) bool {
	if !batch.rules.window.Shadow {
		return false
	}
	now := ws.topics.byID(batch.id)
	return now != nil && now.window == batch.window && !now.rules.window.Shadow
}
