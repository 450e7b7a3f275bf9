package broker

import (
	"github.com/hapaxmq/hapax/broker/code"
	"github.com/hapaxmq/hapax/broker/unique"
)

// failed ends a window's use until the node is started again, and with it writing to
// the topic: what it has forgotten could be stored twice.
func (ws *windows) failed(t *topic, err error) {
	w := t.window
	if t.rules.window.Shadow {
		_ = w.close(refuse(code.KafkaStorageError, "the window of topic %q has failed: %v", t.name, err))
		ws.files.log.Error("the window of a topic has failed: records pass uncounted until that is mended and the node is started again, or until "+
			unique.SettingIdentity+" is taken from it and set anew", "topic", t.name, "dir", w.dir, "error", err)
		lose(ws, w)
		return
	}
	_ = w.close(refuse(code.KafkaStorageError, "the window of topic %q has failed: %v", t.name, err))
	w.until.CompareAndSwap(0, ws.newest()) // it may have failed before the node was started
	ws.files.log.Error("the window of a topic has failed: the topic takes nothing until that is mended and the node is started again, or until "+
		unique.SettingIdentity+" is taken from it and set anew; till then files of the log stay that the window has yet to read",
		"topic", t.name, "dir", w.dir, "log bytes", keptFor(ws, w), "error", err)
}

// keeps are the files of the node's log, from one up to another, that have what the
// window may not have on disk. Behind the one in which a window has failed there is
// nothing for it.
func (w *window) keeps(newest uint64) (from, to uint64, ok bool) {
	if !w.behind() || !w.enforced.Load() {
		return 0, 0, false
	}
	if until := w.until.Load(); until > 0 {
		newest = until
	}
	return w.from.Load(), newest, true
}

// mended tells the log of a window that had failed, and is open now, and where the log
// is, that it may take more from here on.
func mended(ws *windows, w *window) error {
	ws.topics.log.Begin()
	defer ws.topics.log.End()
	w.until.Store(0)
	goesOn := windowEnforced{id: w.topic, window: w.state()}
	_, err := ws.topics.log.Append(frameEnforced, goesOn.encode())
	return err
}

// needed adds the log's files that windows still have to take something from.
func (ws *windows) needed(live map[uint64]int64) {
	for _, w := range ws.list() {
		from, to, ok := w.keeps(ws.newest())
		for file := from; ok && file <= to; file++ {
			live[file]++
		}
	}
}

// keptFor is how many bytes the files of the log have that stay for a window, and are
// not the newest.
func keptFor(ws *windows, w *window) (bytes int64) {
	log := ws.wal()
	from, to, ok := w.keeps(ws.newest())
	if log == nil || !ok {
		return 0
	}
	for _, f := range log.Older() {
		if from <= f.Number && f.Number <= to {
			bytes += f.End
		}
	}
	return bytes
}
