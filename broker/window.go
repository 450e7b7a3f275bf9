package broker

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/broker/code"
	"github.com/hapaxmq/hapax/broker/unique"
	"github.com/hapaxmq/hapax/internal/vfs"
	"github.com/hapaxmq/hapax/ledger"
)

// window is the ids that a topic remembers, in a ledger that follows the node's log.
// Its settings may change; its identity, its scope and its kind do not: then it is
// another window.
//
// Locks: mu is taken behind the partition's, and held from a batch's Pass to its
// Passed, in which the ledger takes its own.
type window struct {
	number uint64 // never given twice
	topic  [16]byte
	dir    string // the ledger's
	count  windowCounters

	begun   int64  // when it was, Unix ms; set before it is entered
	because string // of which it took the place of another, which "" did not; likewise

	enforced atomic.Bool             // it knows what its topic had before it; changes with nobody between the log's Begin and End
	froms    atomic.Pointer[[]int64] // see since; likewise
	whole    int64                   // the time from which on it has had all ids, Unix ms; set before
	lost     atomic.Bool             // it only counts, and records have passed that it was to know: see lose
	full     atomic.Bool             // it is warming, and its memory or disk was used up when that was tried last
	late     atomic.Bool             // the node is being opened, and it is not where the log is yet
	reached  atomic.Int64            // while it is late or not enforced: the time that it has come to, Unix ns

	finder finder

	mu     sync.Mutex
	ledger *ledger.Ledger
	err    error // why the ledger is not open
	namer  *unique.Namer
	steps  int64 // taken since it was opened
	unkept int   // ids and copies since the ledger was last made durable

	durable atomic.Int64  // steps that the ledger has on disk
	from    atomic.Uint64 // the first file of the node's log that has others
	until   atomic.Uint64 // once the window has failed: the last one; else 0
}

// windowCounters count records since the node was started.
type windowCounters struct {
	unique, duplicates, conflicts, missing atomic.Int64

	unasked atomic.Int64 // that passed as the window was warming or, where it only counts, of no use
	refused atomic.Int64 // batches, for the window was full
}

// tally counts the entries that are no first ones.
func tally(entries []ledger.Entry) (duplicates, conflicts int64) {
	for i := range entries {
		switch entries[i].Verdict {
		case hapax.Duplicate:
			duplicates++
		case hapax.Conflict:
			conflicts++
		}
	}
	return duplicates, conflicts
}

func compareWindows(a, b *window) int { return cmp.Compare(a.number, b.number) }

// windowDir is where a window's ledger is, below the directory of all.
func windowDir(all string, topic [16]byte, number uint64) string {
	return filepath.Join(all, hex.EncodeToString(topic[:])+"-"+strconv.FormatUint(number, 10))
}

// windowFiles is what the node's windows have in common.
type windowFiles struct {
	fs     vfs.FS
	follow func() error
	clock  *clock
	log    *slog.Logger
}

// of are the files of a topic, by whose name their ledger tells of itself.
func (in windowFiles) of(topic string) windowFiles {
	in.log = in.log.With("topic", topic)
	return in
}

// open opens the ledger, which is made if there is none. Nobody else uses the window.
func (w *window) open(in windowFiles, rules *unique.Rules) error {
	if err := in.fs.MkdirAll(w.dir); err != nil {
		return err
	}
	l, err := ledger.Open(w.dir, ledger.Options{
		Window: rules.Window, Identity: rules.Identity.String(), Scope: rules.Scope.String(),
		Digests: rules.Digests(), Details: true, Follows: in.follow,
		MaxMemory: rules.MaxMemory, MaxDisk: rules.MaxDisk, Evict: rules.Evict,
		FS: in.fs, Clock: func() time.Time { return w.now(in.clock) }, Logger: in.log,
	})
	if err != nil {
		return fmt.Errorf("open the window: %w", err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ledger, w.namer = l, rules.Namer(l.Hasher(""))
	return nil
}

// now is the ledger's time: the node's, or while the window takes what the log has
// already, that of the records that it has come to.
func (w *window) now(node *clock) time.Time {
	if w.enforced.Load() && !w.late.Load() {
		return node.now()
	}
	return time.Unix(0, w.reached.Load())
}

// openAgain opens the ledger that there must be. If it is enforced it has the bounds that it
// was left with, until it has arrived where the log is: what came before they changed was
// judged by them, and a copy that was left out is not to be a first record now. The node's
// time, which stands, goes on from the ledger's, which may have come further than the log's
// when it was closed.
func (w *window) openAgain(in windowFiles, rules *unique.Rules) error {
	info, err := ledger.Inspect(in.fs, w.dir)
	if err != nil {
		return fmt.Errorf("%s, which holds the ids: restore it from a backup: %w", w.dir, err)
	}
	asLeft := *rules
	if w.enforced.Load() && ledger.Continues(info.Window, rules.Window) {
		asLeft.Window = info.Window
	}
	if err := w.open(in, &asLeft); err != nil {
		return err
	}
	in.clock.stored(w.ledger.Stats().Time.UnixMilli())
	return nil
}

// arrived gives a ledger that is where the log is the bounds that it is to have.
func (w *window) arrived(in windowFiles, rules *unique.Rules) error {
	info, err := ledger.Inspect(in.fs, w.dir)
	if err != nil || info.Window == rules.Window {
		return err
	}
	return w.reopen(in, rules)
}

// works tells whether there is a window that is open.
func (w *window) works() bool {
	if w == nil {
		return false
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err == nil
}

// enforces tells whether there is a window that is open, and knows what its topic had
// before it.
func (w *window) enforces() bool { return w.works() && w.enforced.Load() }

// reopen opens the ledger with other rules, of the same window. One that has
// failed, or is over, stays as it is: it is opened with them when it is mended.
func (w *window) reopen(in windowFiles, rules *unique.Rules) error {
	w.mu.Lock()
	if w.err != nil {
		defer w.mu.Unlock()
		return nil
	}
	w.err = errWindowReopens // till then nobody uses the ledger, nor waits for it
	w.mu.Unlock()
	err := w.shut()
	if err == nil {
		w.durable.Store(w.steps) // there are none meanwhile
		err = w.open(in, rules)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.err = err
	return err
}

// What a batch gets that comes too late for a window, or while it takes over other
// settings. Clients send it again.
var (
	errWindowOver    = refuse(code.NotLeaderOrFollower, "the topic's window has just ended: send the batch again")
	errWindowReopens = refuse(code.NotLeaderOrFollower, "the topic's window takes over other settings: send the batch again")
)

// shut closes the ledger, which has all steps on disk then, or says why it has not. One
// that has failed is closed without another word.
func (w *window) shut() error {
	return errors.Join(w.ledger.Sync(context.Background()), w.ledger.Close())
}

// close closes the ledger, for a reason. It has all steps on disk then, of which there
// are more in the log if the window is late.
func (w *window) close(reason error) (err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err == nil && w.ledger != nil {
		if err = w.shut(); err == nil && !w.late.Load() {
			w.durable.Store(w.steps)
		}
	}
	w.err = reason
	return err
}

// behind tells whether the ledger does not have all steps on disk.
func (w *window) behind() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.steps > w.durable.Load()
}

// keep makes the steps so far durable in the ledger's own log. The files of the
// node's log before the one that is newest now are not needed for it from then on.
func (w *window) keep(newest func() uint64) error {
	w.mu.Lock()
	l, steps, from := w.ledger, w.steps, newest()
	w.unkept = 0
	if w.err != nil {
		l = nil
	}
	w.mu.Unlock()
	if l == nil || steps == w.durable.Load() {
		return nil
	}
	if err := l.Sync(context.Background()); err != nil {
		return unlessClosed(err) // it is open again, with other rules, or over
	}
	w.from.Store(from)
	w.durable.Store(steps)
	return nil
}

// unlessClosed is err, but for that of a ledger that is closed.
func unlessClosed(err error) error {
	if errors.Is(err, hapax.ErrClosed) {
		return nil
	}
	return err
}

// followed is the last offset of a partition that the ledger has followed; -1 if
// there is none.
func (w *window) followed(partition int32) int64 {
	if c, ok := w.ledger.Checkpoint(source(partition)); ok {
		return c.Offset
	}
	return -1
}

// pass lets time pass, and returns how many ids that let go.
func (w *window) pass(now time.Time) (gone int64, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	before := w.ledger.Stats().Live
	step, err := w.ledger.Begin(now, &ledger.Batch{})
	if err != nil {
		return 0, err
	}
	if err := step.End(); err != nil {
		return 0, err
	}
	return before - w.ledger.Stats().Live, nil
}

// source is a partition's name in the ledger.
func source(partition int32) string { return strconv.Itoa(int(partition)) }

// since is, by partition, the offset from which on the window is enforced, or from which
// on it counts; of one that warms again, from which on transactions were open that it may
// not know. Nobody changes what it returns.
func (w *window) since() []int64 {
	if froms := w.froms.Load(); froms != nil {
		return *froms
	}
	return nil
}

// state is what the log is to say of the window, which may be nil. It is called with
// nobody between the log's Begin and End, or before the window is entered.
func (w *window) state() (s windowState) {
	if w == nil {
		return s
	}
	s = windowState{number: w.number, begun: w.begun, because: w.because, enforced: w.enforced.Load(), whole: w.whole, since: w.since()}
	if s.enforced && w.behind() {
		s.from, s.until = w.from.Load(), w.until.Load()
	}
	return s
}

// windowStands is no setting, but described as one: how a topic's window stands.
var windowStands = setting{
	name: "hapax.window.state", kind: text32,
	doc: "Whether the window is warming, when it reads what the topic has and records pass, and whether its memory or disk is used up before it is warm; enforced, and from which offsets of the partitions on; counting and no more, with hapax.mode=shadow; or has failed, why, and how many bytes of the log stay for it; and when and why it began anew, if it took the place of another. It cannot be set.",
}

// describeWindow is how a topic's window stands, as a setting that cannot be set; nothing
// if there is none.
func describeWindow(ws *windows, t *topic) []configEntry {
	w := t.window
	if w == nil {
		return nil
	}
	value := standsText(w, t.rules.window) + w.anewText(t.rules.window.Shadow)
	if _, _, err := w.opened(); err != nil && !errors.Is(err, errWindowReopens) {
		value = fmt.Sprintf("failed, and keeps %d bytes of the log: %v", keptFor(ws, w), err)
		if t.rules.window.Shadow {
			value = fmt.Sprintf("failed, and records pass uncounted: %v", err)
		}
	}
	return []configEntry{{setting: &windowStands, value: value, source: kmsg.ConfigSourceDefaultConfig, fixed: true}}
}

// standsText is how a window stands that has not failed.
func standsText(w *window, rules *unique.Rules) string {
	switch enforced := w.enforced.Load(); {
	case !enforced && w.full.Load():
		return "warming, and full: records pass until there is room to read those that are there: " + relief(rules)
	case !enforced:
		return "warming"
	case rules.Shadow:
		return "counting"
	case len(w.since()) == 0:
		return "enforced"
	}
	return "enforced from " + strings.Trim(strings.Join(strings.Fields(fmt.Sprint(w.since())), ","), "[]")
}
