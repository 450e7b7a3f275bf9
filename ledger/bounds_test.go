package ledger

import (
	"context"
	"fmt"
	"math/rand"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/internal/vfs"
)

// seenIn is an identity as a naive model knows it: what came since its last sight
// that counts.
type seenIn struct {
	at    time.Time
	fresh int64 // other messages that were fresh
	ids   map[int]bool

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
	slice hapax.Window // the widest slice there has been of each bound
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
		m.t.Fatalf("%d is forgotten after %v, %d fresh, %d others; the window is %v", k, m.now.Sub(s.at), s.fresh, len(s.ids), m.o.Window)
	case v == hapax.Duplicate && (s == nil || (s.left || m.outlived(s, m.now)) && !m.crowd):
		m.t.Fatalf("%d is remembered after too long: %v, %d fresh; the window is %v", k, m.now.Sub(s.at), s.fresh, m.o.Window)
	case v != hapax.Fresh && v != hapax.Duplicate:
		m.t.Fatalf("%d: %v", k, v)
	}
	if v == hapax.Fresh || m.o.Window.Kind == hapax.Renewed {
		for other, o := range m.model {
			if other == k || o.left {
				continue
			}
			if v == hapax.Fresh {
				o.fresh++
			}
			if m.o.Window.Count != 0 {
				o.ids[k] = true
			}
		}
	}
	switch {
	case v == hapax.Fresh:
		m.model[k] = &seenIn{at: m.now, ids: make(map[int]bool)}
	case m.o.Window.Kind == hapax.Renewed:
		s.at, s.fresh, s.gone, s.left = m.now, 0, false, false
		clear(s.ids)
	}
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
	w, count := m.o.Window, s.fresh
	if w.Count != 0 {
		count = int64(len(s.ids))
	}
	most := w.Count + w.Bytes
	return (w.Time == 0 || m.now.Sub(s.at) < w.Time) && (most == 0 || count < most)
}

// outlived tells whether an identity must not be remembered at a time any more.
func (m *rebounder) outlived(s *seenIn, at time.Time) bool {
	w := m.o.Window
	most := w.Count + w.Bytes
	return w.Time != 0 && at.Sub(s.at) >= w.Time+m.slice.Time || most != 0 && s.fresh >= most+max(m.slice.Count, m.slice.Bytes)+20
}

// open opens the ledger with bounds that may be others.
func (m *rebounder) open(w hapax.Window) {
	m.age(m.last)
	m.o.Window, m.o.FS = w, m.disk
	m.slice.Time = max(m.slice.Time, w.Time/64)
	m.slice.Count = max(m.slice.Count, w.Count/64+1)
	m.slice.Bytes = max(m.slice.Bytes, w.Bytes/64+1)
	var err error
	if m.l, err = Open("d", m.o); err != nil {
		m.t.Fatal(err)
	}
	m.age(m.last)
}

// other is the window with other numbers.
func (m *rebounder) other() hapax.Window {
	w, least := m.o.Window, 1
	if m.often {
		least = 10_000 // so that all generations stay
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
	return w
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

// A crash while bounds change leaves the old ones or the new, and all identities.
func TestBoundsChangeAtOnce(t *testing.T) {
	now := time.Unix(1e9, 0)
	short, long := hapax.Window{Time: time.Hour}, hapax.Window{Time: 9 * time.Hour}
	for seed := range int64(80) {
		r := rand.New(rand.NewSource(seed))
		disk := vfs.NewMem()
		o := Options{Window: short, FS: disk, QuickStart: 1, MaxMemory: minMemory, Clock: func() time.Time { return now }}
		l := open(t, "d", o)
		admit(t, l, batch(l, 0, 100))
		if seed%2 == 0 {
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
		} else {
			disk = disk.KillCopy()
		}
		var crashed *vfs.Mem
		var mu sync.Mutex
		left := r.Intn(60)
		o.FS = vfs.NewFault(disk, func(op vfs.Op, _ string) error {
			mu.Lock()
			defer mu.Unlock()
			if !op.Changes() {
				return nil
			}
			if left--; left == 0 {
				crashed = disk.PowerLoss(r)
			}
			return nil
		})
		o.Window = long
		if err := open(t, "d", o).Close(); err != nil {
			t.Fatal(err)
		}
		if crashed == nil {
			crashed = disk.PowerLoss(r)
		}
		info, err := Inspect(crashed, "d")
		if err != nil || info.Window != short && info.Window != long {
			t.Fatal(info.Window, err)
		}
		o.FS, o.Window = crashed, info.Window
		l = open(t, "d", o)
		if got := admit(t, l, batch(l, 0, 101)); got[hapax.Duplicate] != 100 {
			t.Errorf("seed %d: %v", seed, got)
		}
	}
}

// What differs in more than numbers is refused by both names.
func TestOtherWindowsAreRefused(t *testing.T) {
	disk := vfs.NewMem()
	o := Options{Window: hapax.Window{Time: time.Hour, Count: 1000}, FS: disk}
	if err := open(t, "d", o).Close(); err != nil {
		t.Fatal(err)
	}
	for _, w := range []hapax.Window{
		{Time: time.Hour}, {Count: 1000}, {Time: time.Hour, Count: 1000, Bytes: 1}, {Unbounded: true},
		{Time: time.Hour, Count: exactCount + 1}, {Time: time.Hour, Count: 1000, Kind: hapax.Renewed},
		{Time: time.Hour, Count: 1000, EventTime: true},
	} {
		o.Window = w
		_, err := Open("d", o)
		if err == nil || !strings.Contains(err.Error(), "not ") {
			t.Errorf("%v: %v", w, err)
		}
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
