package ledger

import (
	"cmp"
	"context"
	"fmt"
	"math/rand"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/internal/vfs"
)

// seenIn is an identity as a naive model knows it, by its last sight that counts.
type seenIn struct {
	at    time.Time
	sight int64 // which it was
	fresh int64 // messages that were fresh by then

	timed   time.Time // when time began to bound it, if it came before
	counted int64     // fresh ones when a count, or bytes, began to

	gone, left bool // some window in force since has let it go: as early, and as late as it may
}

// rebounder is a ledger whose window's bounds change, beside a model of it.
type rebounder struct {
	t     *testing.T
	r     *rand.Rand
	disk  *vfs.Mem
	o     Options
	l     *Ledger
	now   time.Time
	clock atomic.Int64 // now, for the ledger
	last  time.Time    // the latest time that the ledger has in its log
	model map[int]*seenIn
	order []*seenIn    // by their sights
	sight int64        // the last
	fresh int64        // messages that were
	slice hapax.Window // the widest slice there has been of each bound
	sets  bool         // there are other bounds, not only their numbers are others
	often bool         // bounds change more often than there are numbers for slices
	crowd bool         // there are that many slices: the newest takes what it should not
	next  int          // the step at which they may change
}

// admit gives the ledger some identities, whose verdicts must be allowed.
func (m *rebounder) admit() {
	h := m.l.Hasher("")
	b := new(Batch)
	var keys []int
	all := 300
	if m.often {
		all = 100_000
	}
	for range 1 + m.r.Intn(20) {
		k := m.r.Intn(all)
		keys = append(keys, k)
		b.Entries = append(b.Entries, Entry{Fingerprint: h.Fingerprint(fmt.Append(nil, k)), Size: 1, Time: m.now.UnixNano()})
	}
	since := m.l.Stats().Since
	if err := m.l.Admit(context.Background(), b); err != nil {
		m.t.Fatal(err)
	}
	m.crowd = m.crowd || len(m.l.gens.List()) >= 240
	m.age(m.last)
	for i, k := range keys {
		if s := m.model[k]; s != nil && b.Entries[i].Verdict == hapax.Fresh && !s.at.Before(since) && m.covers(s) {
			m.t.Fatalf("%d is forgotten since %v, and all since %v is said to be remembered; the window is %v", k, s.at, since, m.o.Window)
		}
		if m.judge(k, b.Entries[i].Verdict); b.Entries[i].Verdict == hapax.Fresh {
			m.last = m.now
		}
	}
}

func (m *rebounder) judge(k int, v hapax.Verdict) {
	m.t.Helper()
	s := m.model[k]
	if s != nil {
		m.ageOf(s, m.last)
	}
	switch {
	case v == hapax.Fresh && s != nil && !s.gone:
		ids, fresh := m.since(s)
		m.t.Fatalf("%d is forgotten after %v, %d others, %d fresh; the window is %v", k, m.now.Sub(s.at), ids, fresh, m.o.Window)
	case v == hapax.Duplicate && (s == nil || (s.left || m.outlived(s, m.now)) && !m.crowd):
		m.t.Fatalf("%d is remembered after too long: %v, %d fresh; the window is %v", k, m.now.Sub(s.at), m.fresh-s.fresh, m.o.Window)
	case v != hapax.Fresh && v != hapax.Duplicate:
		m.t.Fatalf("%d: %v", k, v)
	}
	if v == hapax.Fresh {
		m.fresh++
	}
	if v == hapax.Fresh || m.o.Window.Kind == hapax.Renewed {
		m.see(k)
	}
}

// see notes a sight that counts.
func (m *rebounder) see(k int) {
	if s := m.model[k]; s != nil {
		at := m.place(s)
		m.order = slices.Delete(m.order, at, at+1)
	}
	m.sight++
	m.model[k] = &seenIn{at: m.now, sight: m.sight, fresh: m.fresh}
	m.order = append(m.order, m.model[k])
}

// place is where an identity is among all, the one first whose last sight is the longest
// ago.
func (m *rebounder) place(s *seenIn) int {
	at, _ := slices.BinarySearchFunc(m.order, s.sight, func(other *seenIn, sight int64) int { return cmp.Compare(other.sight, sight) })
	return at
}

// since is how many other identities came since the last sight of one, and how many
// messages were fresh.
func (m *rebounder) since(s *seenIn) (ids, fresh int64) {
	return int64(len(m.order) - 1 - m.place(s)), m.fresh - s.fresh
}

// age notes what leaves by the window in force: what may have left by now, and what
// has by when that is sure.
func (m *rebounder) age(sure time.Time) {
	for _, s := range m.model {
		m.ageOf(s, sure)
	}
}

func (m *rebounder) ageOf(s *seenIn, sure time.Time) {
	s.gone = s.gone || !m.covers(s)
	s.left = s.left || m.outlived(s, sure)
}

// covers tells whether the window in force covers a sight.
func (m *rebounder) covers(s *seenIn) bool {
	w := m.o.Window
	ids, fresh := m.since(s)
	return (w.Time == 0 || m.now.Sub(s.at) < w.Time) && (w.Count == 0 || ids < w.Count) && (w.Bytes == 0 || fresh < w.Bytes)
}

// outlived tells whether an identity must not be remembered at a time any more.
func (m *rebounder) outlived(s *seenIn, at time.Time) bool {
	w, fresh, since := m.o.Window, m.fresh-max(s.fresh, s.counted), s.at
	if m.sets && w.Kind == hapax.Renewed {
		w.Bytes = 0 // those of messages whose identities came again may not count
	}
	if since.Before(s.timed) {
		since = s.timed
	}
	return w.Time != 0 && at.Sub(since) >= w.Time+m.slice.Time ||
		w.Count != 0 && fresh >= w.Count+m.slice.Count+20 || w.Bytes != 0 && fresh >= w.Bytes+m.slice.Bytes+20
}

// rebound notes that the bounds change.
func (m *rebounder) rebound(w hapax.Window) {
	was := m.o.Window
	inexact := formOf(was).Exact && !formOf(w).Exact
	for _, s := range m.model {
		if inexact {
			s.left = false // the others of its slice may still be there
		}
		if was.Time == 0 && w.Time != 0 {
			s.timed = m.now
		}
		if was.Count == 0 && w.Count != 0 || was.Bytes == 0 && w.Bytes != 0 || inexact {
			s.counted = m.fresh
		}
	}
}

// takeOver notes that the bounds are others now, or the same.
func (m *rebounder) takeOver(w hapax.Window) {
	m.age(m.last)
	m.rebound(w)
	m.o.Window = w
	m.slice.Time = max(m.slice.Time, w.Time/64)
	m.slice.Count = max(m.slice.Count, w.Count/64+1)
	m.slice.Bytes = max(m.slice.Bytes, w.Bytes/64+1)
	m.age(m.last)
}

// open opens the ledger with bounds that may be others.
func (m *rebounder) open(w hapax.Window) {
	var err error
	m.o.Window, m.o.FS, w = w, m.disk, m.o.Window
	if m.l, err = Open("d", m.o); err != nil {
		m.t.Fatal(err)
	}
	m.o.Window, w = w, m.o.Window
	m.takeOver(w)
}

// crashWithin opens the ledger with other bounds, and crashes as it does, or a while later.
func (m *rebounder) crashWithin(w hapax.Window) {
	o, was := m.o, m.o.Window
	o.Window = w
	if m.disk = crashedWithin(m.t, m.disk, o, m.r); windowLeft(m.t, m.disk, was, w) == w {
		m.takeOver(w)
	}
}

// crashedWithin is what a kill, or a loss of power, leaves of a ledger as it is opened, or
// behind that.
func crashedWithin(t *testing.T, disk *vfs.Mem, o Options, r *rand.Rand) (crashed *vfs.Mem) {
	t.Helper()
	r = rand.New(rand.NewSource(r.Int63())) // the background's too
	crash := disk.KillCopy
	if r.Intn(2) == 0 {
		crash = func() *vfs.Mem { return disk.PowerLoss(r) }
	}
	var mu sync.Mutex
	left := 1 + r.Intn(40)
	o.FS = vfs.NewFault(disk, func(op vfs.Op, _ string) error {
		mu.Lock()
		defer mu.Unlock()
		if !op.Changes() {
			return nil
		}
		if left--; left == 0 {
			crashed = crash()
		}
		return nil
	})
	l, err := Open("d", o)
	if err == nil {
		err = l.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	if crashed == nil {
		crashed = crash()
	}
	return crashed
}

// windowLeft is the one of two windows that a ledger has after a crash as it changed from
// one to the other.
func windowLeft(t *testing.T, disk *vfs.Mem, was, is hapax.Window) hapax.Window {
	t.Helper()
	info, err := Inspect(disk, "d")
	if err != nil || info.Window != was && info.Window != is {
		t.Fatal(info.Window, err)
	}
	return info.Window
}

// other is the window with other numbers.
func (m *rebounder) other() hapax.Window {
	w, least := m.o.Window, 1
	if m.often {
		least = 10_000 // so that all generations stay
	}
	if m.sets {
		w = m.otherSet()
	}
	if w.Time != 0 {
		w.Time = time.Second * time.Duration(least+m.r.Intn(40))
	}
	if w.Count != 0 {
		w.Count = int64(least + m.r.Intn(400))
	}
	if w.Bytes != 0 {
		w.Bytes = int64(least + m.r.Intn(400))
	}
	if w.Count != 0 && m.sets && m.r.Intn(4) == 0 {
		w.Count += exactCount
	}
	return w
}

// otherSet is a window of the kind with bounds that may be others.
func (m *rebounder) otherSet() hapax.Window {
	w := hapax.Window{Kind: m.o.Window.Kind}
	for bounds := m.r.Intn(8); ; bounds = 1 + m.r.Intn(7) {
		w.Time, w.Count, w.Bytes = time.Duration(bounds&1), int64(bounds>>1&1), int64(bounds>>2)
		if w.Unbounded = bounds == 0; bounds != 0 || w.Kind == hapax.First {
			return w
		}
	}
}

func (m *rebounder) run() {
	for step := range 350 {
		m.now = m.now.Add(time.Duration(m.r.Intn(400)) * time.Millisecond)
		m.clock.Store(m.now.UnixNano())
		m.next--
		switch n := m.r.Intn(40); {
		case m.often && step > 50:
			m.admit()
			m.close()
			m.open(m.other())
		case n < 34:
			m.admit()
		case n < 35:
			rolled(m.t, m.l, (*journal).rollNow)
		case n < 36:
			m.l.Chill()
		case n < 38:
			m.close()
			m.reopen()
		case n < 39:
			crashed := m.disk.KillCopy()
			_ = m.l.Close() // its disk is another one from here on
			m.disk = crashed
			m.reopen()
		default:
			crashed := m.disk.PowerLoss(m.r)
			_ = m.l.Close()
			m.disk = crashed
			m.reopen()
		}
	}
	m.close()
}

func (m *rebounder) reopen() {
	w := m.o.Window
	if m.r.Intn(2) == 0 && m.next <= 0 {
		w, m.next = m.other(), 30
		if was := m.o.Window; m.r.Intn(3) == 0 {
			if m.crashWithin(w); m.r.Intn(2) == 0 {
				w = was
			}
		}
	}
	m.open(w)
}

func (m *rebounder) close() {
	if err := m.l.Close(); err != nil {
		m.t.Fatal(err)
	}
	if report, err := Verify(m.disk, "d"); err != nil {
		m.t.Fatal(report, err)
	}
}

// boundWindows are windows whose bounds may change.
func boundWindows() []hapax.Window {
	return []hapax.Window{
		{Time: 10 * time.Second}, {Count: 200}, {Bytes: 200}, {Time: 10 * time.Second, Count: 200}, {Time: 10 * time.Second, Bytes: 200},
		{Time: 10 * time.Second, Kind: hapax.Renewed}, {Count: 200, Kind: hapax.Renewed}, {Bytes: 200, Kind: hapax.Renewed},
		{Time: 10 * time.Second, EventTime: true}, {Time: 10 * time.Second, Bytes: 200, EventTime: true},
	}
}

func newRebounder(t *testing.T, seed int64, w hapax.Window) *rebounder {
	m := &rebounder{t: t, r: rand.New(rand.NewSource(seed)), disk: vfs.NewMem(), now: time.Unix(1e9, 0), model: make(map[int]*seenIn)}
	m.o = Options{
		Window: w, MaxMemory: minMemory, Digests: seed%2 == 0, Details: seed%3 == 0, QuickStart: 1 - seed%2*2,
		Clock: func() time.Time { return time.Unix(0, m.clock.Load()) },
	}
	m.clock.Store(m.now.UnixNano())
	m.open(w)
	return m
}

// Whatever the bounds become, nothing is forgotten inside a window that is in force,
// nor remembered for longer than that and a slice.
func TestBoundsChange(t *testing.T) {
	seeds := int64(6)
	if raced {
		seeds = 1
	}
	for _, w := range boundWindows() {
		t.Run(w.String(), func(t *testing.T) {
			for seed := range seeds {
				newRebounder(t, seed, w).run()
			}
		})
	}
}

// So it is if other bounds are set, whichever there were.
func TestBoundSetsChange(t *testing.T) {
	seeds := int64(5)
	if raced {
		seeds = 1
	}
	for _, w := range boundWindows() {
		if w.EventTime {
			continue
		}
		t.Run(w.String(), func(t *testing.T) {
			for seed := range seeds {
				m := newRebounder(t, 1000+seed, w)
				m.sets = true
				m.run()
			}
		})
	}
}

// Bounds that change so often that slices are stretched forget nothing either.
func TestBoundsChangeOften(t *testing.T) {
	for i, w := range boundWindows()[2:6] { // by arrival: events come into the slices that there are
		m := newRebounder(t, int64(i), w)
		m.often = true
		m.run()
		if !m.crowd {
			t.Errorf("%v: never a crowd", w)
		}
	}
}

// A crash while bounds change, or others are set, leaves the old ones or the new, and all
// identities: whichever it is opened with then.
func TestBoundsChangeAtOnce(t *testing.T) {
	now := time.Unix(1e9, 0)
	all := []hapax.Window{
		{Time: time.Hour}, {Time: 9 * time.Hour}, {Count: 1000}, {Count: 2000}, {Count: 2 * exactCount}, {Bytes: 1e6},
		{Time: time.Hour, Count: 1000}, {Time: time.Hour, Bytes: 1e6}, {Time: time.Hour, Count: 2 * exactCount, Bytes: 1e6},
	}
	changed := 0
	for seed := range int64(400) {
		r := rand.New(rand.NewSource(seed))
		was, is := all[r.Intn(len(all))], all[r.Intn(len(all))]
		if seed%3 == 0 {
			was.Kind, is.Kind = hapax.Renewed, hapax.Renewed
		}
		disk := vfs.NewMem()
		o := Options{Window: was, FS: disk, QuickStart: 1, MaxMemory: minMemory, Clock: func() time.Time { return now }}
		l := open(t, "d", o)
		admit(t, l, batch(l, 0, 100))
		if r.Intn(2) == 0 {
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
		} else {
			disk = disk.KillCopy()
		}
		o.Window = is
		disk = crashedWithin(t, disk, o, r)
		left := windowLeft(t, disk, was, is)
		if left == is && was != is {
			changed++
		}
		for i, w := range [][]hapax.Window{{left, is}, {is, was}, {was, is}}[r.Intn(3)] {
			o.FS, o.Window = disk, w
			l = open(t, "d", o)
			if got := admit(t, l, batch(l, 0, 101)); got[hapax.Duplicate] != 100+i {
				t.Errorf("seed %d, %v to %v: with %v %v", seed, was, is, w, got)
			}
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if changed < 50 || changed > 350 {
		t.Errorf("of 400 crashes %d came after the change", changed)
	}
}

// What differs in more than bounds is refused by both names.
func TestOtherWindowsAreRefused(t *testing.T) {
	disk := vfs.NewMem()
	o := Options{Window: hapax.Window{Time: time.Hour, Count: 1000}, FS: disk}
	if err := open(t, "d", o).Close(); err != nil {
		t.Fatal(err)
	}
	for _, w := range []hapax.Window{
		{Time: time.Hour, Count: 1000, Kind: hapax.Renewed}, {Time: time.Hour, Kind: hapax.Tumbling}, {Time: time.Hour, Count: 1000, EventTime: true},
	} {
		o.Window = w
		_, err := Open("d", o)
		if err == nil || !strings.Contains(err.Error(), "not ") {
			t.Errorf("%v: %v", w, err)
		}
	}
	events := hapax.Window{Time: time.Hour, EventTime: true}
	if fewer := (hapax.Window{Time: time.Hour, Count: 9, EventTime: true}); Continues(events, fewer) || Continues(fewer, events) {
		t.Error("a window by event time goes on with other bounds")
	}
	tumbling := hapax.Window{Time: time.Hour, Kind: hapax.Tumbling}
	if longer := (hapax.Window{Time: 2 * time.Hour, Kind: hapax.Tumbling}); Continues(tumbling, longer) || !Continues(tumbling, tumbling) {
		t.Error("a tumbling window goes on with other numbers, or not as it is")
	}
	o.Window, o.ReadOnly = hapax.Window{Time: time.Minute, Count: 1000}, true
	if _, err := Open("d", o); err == nil || !strings.Contains(err.Error(), "1h0m0s or 1000 ids, first, not 1m0s or 1000 ids, first") {
		t.Errorf("to read only: %v", err)
	}
}
