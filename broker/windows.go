package broker

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"sync"

	"github.com/hapaxmq/hapax/broker/unique"
	"github.com/hapaxmq/hapax/internal/wal"
	"github.com/hapaxmq/hapax/ledger"
)

// windowsName is the directory of all windows' ledgers, in a node's.
const windowsName = "windows"

// windows are those of a node's topics. What they know is a view of the log: a
// ledger has on disk what its window took from the log up to some file, and when the
// node is opened it takes what is in the files from there on. So the log's files
// stay until the windows have what is in them.
type windows struct {
	topics *topics
	wal    func() *wal.Log
	read   uint64 // the last file of the log that was read while it is being opened
	files  windowFiles
	dir    string

	begun    chan struct{} // one was, that has to warm
	much     chan struct{} // one is far behind
	lacking  chan struct{} // one is lost
	doubts   chan doubt
	pending  openIDs
	records  *records
	readers  pool[unique.Reader]
	inflated int // bytes that the records of a batch may become

	mu   sync.Mutex
	next uint64 // the number of the next window
	of   map[[16]byte]*window
}

func (ws *windows) init(b *Broker) {
	ws.topics, ws.wal, ws.of, ws.next = b.topics, func() *wal.Log { return b.wal }, make(map[[16]byte]*window), 1
	ws.begun, ws.much, ws.doubts = make(chan struct{}, 1), make(chan struct{}, 1), make(chan doubt, mostDoubts)
	ws.lacking = make(chan struct{}, 1)
	ws.pending.of = make(map[int64]openTransaction)
	ws.records = &b.records
	ws.files = windowFiles{
		fs: b.options.FS, clock: &b.time, log: b.options.Logger,
		follow: func() error { return b.wal.Sync(b.wal.End()) },
	}
}

// replayed is the window that a topic has by what a file of the log says; nil for
// none. It is opened later.
func (ws *windows) replayed(topic [16]byte, s windowState, file uint64) *window {
	if s.number == 0 {
		return nil
	}
	w := ws.number(topic, s.number)
	w.from.Store(cmp.Or(s.from, file))
	w.until.Store(s.until)
	w.begun, w.because = s.begun, s.because
	w.whole = s.whole
	w.froms.Store(&s.since)
	w.enforced.Store(s.enforced)
	w.steps = 1 // it is behind until it has read the log
	w.late.Store(true)
	ws.enter(w)
	return w
}

// replayEnforced takes over that a window is enforced, or goes on.
func (ws *windows) replayEnforced(f wal.Frame) error {
	e, err := readWindowEnforced(f.Payload)
	if err != nil {
		return err
	}
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if w := ws.of[e.id]; w != nil && w.number == e.window.number {
		w.from.Store(cmp.Or(e.window.from, f.File))
		w.until.Store(e.window.until)
		w.whole = e.window.whole
		w.froms.Store(&e.window.since)
		w.enforced.Store(e.window.enforced)
	}
	return nil
}

// number is a window that is not open.
func (ws *windows) number(topic [16]byte, number uint64) *window {
	return &window{number: number, topic: topic, dir: windowDir(ws.dir, topic, number)}
}

// enter takes over that a topic has a window, in the place of any other.
func (ws *windows) enter(w *window) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	ws.of[w.topic] = w
	ws.next = max(ws.next, w.number+1)
}

// forget takes over that a topic has none.
func (ws *windows) forget(topic [16]byte) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	delete(ws.of, topic)
}

// list is all windows.
func (ws *windows) list() []*window {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	return slices.Collect(maps.Values(ws.of))
}

// begin opens a window for a topic that gets rules for one, and has none or another.
// It is nil if there is none to be begun. Until it is entered nobody knows of it.
// It is enforced at once if the topic is new.
func (ws *windows) begin(topic [16]byte, name string, was, rules *unique.Rules, isNew bool) (*window, error) {
	if rules == nil || goesOn(was, rules) {
		return nil, nil
	}
	ws.mu.Lock()
	w := ws.number(topic, ws.next)
	ws.next++
	ws.mu.Unlock()
	w.from.Store(ws.newest())
	w.begun, w.because = ws.files.clock.now().UnixMilli(), anewFor(was, rules)
	if isNew {
		w.whole = w.begun
		w.enforced.Store(true)
	}
	if err := w.open(ws.files.of(name), rules); err != nil {
		return nil, errors.Join(err, ws.files.remove(w.dir))
	}
	return w, nil
}

// changed ends a topic's window that is over, or opens it with other rules: was is
// the topic before, and is, which may be nil, after. The change has taken effect by
// then: a window that cannot follow it has failed, as it would when the node is started.
func (ws *windows) changed(was, is *topic) {
	w := was.window
	if is != nil && is.window != nil && is.window != w {
		if is.window.because != "" {
			ws.files.begunAnew(is)
		}
		nudge(ws.begun)
	}
	switch {
	case w == nil:
	case is == nil || is.window != w:
		_ = w.close(errWindowOver) // what it knew is worth nothing
		if err := ws.files.remove(w.dir); err != nil {
			ws.files.log.Warn("the files of a topic's window that is over are still there: they go when the node is started again",
				"topic", was.name, "dir", w.dir, "error", err)
		}
	case !sameLedger(was.rules.window, is.rules.window):
		if err := w.reopen(ws.files.of(is.name), is.rules.window); err != nil {
			ws.failed(is, err)
		}
		w.full.Store(false)
		if !w.enforced.Load() {
			nudge(ws.begun) // it was in the midst of warming
		}
	}
}

// goesOn tells whether a window goes on when its rules change.
func goesOn(was, is *unique.Rules) bool {
	return unique.SameWindow(was, is) && ledger.Continues(was.Window, is.Window)
}

// sameLedger tells whether a ledger that is open with some rules goes with others.
func sameLedger(a, b *unique.Rules) bool {
	return a.Window == b.Window && a.MaxMemory == b.MaxMemory && a.MaxDisk == b.MaxDisk && a.Evict == b.Evict
}

// newest is the log's newest file.
func (ws *windows) newest() uint64 {
	if l := ws.wal(); l != nil {
		return l.Newest()
	}
	return ws.read
}

// open opens the windows of all topics, and brings them to where the log is.
func (ws *windows) open() error {
	for _, t := range ws.topics.list() {
		if t.window == nil {
			continue
		}
		if err := t.window.openAgain(ws.files.of(t.name), t.rules.window); err != nil {
			ws.failed(t, err)
		}
	}
	if err := (&catchUp{windows: ws}).run(); err != nil {
		return fmt.Errorf("bring windows to where the log is: %w", err)
	}
	for _, t := range ws.topics.list() {
		if t.window.enforces() {
			err := t.window.arrived(ws.files.of(t.name), t.rules.window)
			if err == nil {
				err = ws.readPending(t)
			}
			if err != nil {
				ws.failed(t, err)
			}
		}
		if t.window != nil && t.window.enforced.Load() && !t.window.works() && !t.rules.window.Shadow {
			lackPending(&ws.pending, t)
		}
	}
	for _, w := range ws.list() {
		if w.late.Store(false); w.enforces() && w.until.Load() > 0 {
			if err := mended(ws, w); err != nil {
				return err
			}
		}
	}
	return ws.sweep()
}

// started lets the ids go whose time ended while the node was not running.
func (ws *windows) started() {
	for _, t := range ws.topics.list() {
		if !t.window.enforces() {
			continue
		}
		gone, err := t.window.pass(ws.files.clock.now())
		if err != nil {
			ws.failed(t, err)
		} else if gone > 0 {
			ws.files.log.Info("ids left a topic's window while the node was not running", "topic", t.name, "ids", gone)
		}
	}
}

// sweep removes the directories that are no window's.
func (ws *windows) sweep() error {
	if err := ws.files.fs.MkdirAll(ws.dir); err != nil {
		return err
	}
	names, err := ws.files.fs.List(ws.dir)
	if err != nil {
		return err
	}
	known := make(map[string]bool)
	for _, w := range ws.list() {
		known[filepath.Base(w.dir)] = true
	}
	for _, name := range names {
		if !known[name] {
			err = errors.Join(err, ws.files.remove(filepath.Join(ws.dir, name)))
		}
	}
	return err
}

// remove removes a ledger's directory, if there is one.
func (in windowFiles) remove(dir string) error {
	names, err := in.fs.List(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, name := range names {
		err = errors.Join(err, in.fs.Remove(filepath.Join(dir, name)))
	}
	if err == nil {
		err = in.fs.Remove(dir)
	}
	return err
}

// close closes the windows, which then have all that the log has.
func (ws *windows) close() (err error) {
	for _, w := range ws.list() {
		err = errors.Join(err, w.close(errWindowOver))
	}
	return err
}
