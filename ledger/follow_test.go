package ledger

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/identity"
	"github.com/hapaxmq/hapax/internal/vfs"
)

// followed is the log that a ledger follows, of which a crash takes what is not
// synced.
type followed struct {
	appended []record
	synced   int
	err      error
}

type record struct {
	source  string
	from    int64 // the offset of its first key
	keys    []int
	at      time.Time
	verdict []hapax.Verdict
}

func (f *followed) sync() error {
	f.synced = len(f.appended)
	return f.err
}

// crash takes what was not synced, or some of it.
func (f *followed) crash(r *rand.Rand) {
	f.appended = f.appended[:f.synced+r.Intn(len(f.appended)-f.synced+1)]
	f.synced = len(f.appended)
}

// follower is a ledger, the log that it follows, and both as they should be.
type follower struct {
	t    *testing.T
	r    *rand.Rand
	disk *vfs.Mem
	o    Options
	l    *Ledger
	log  followed
	now  time.Time
	next map[string]int64

	clock atomic.Int64 // now, for the ledger
}

func newFollower(t *testing.T, seed uint64, o Options) *follower {
	f := &follower{t: t, r: rand.New(rand.NewSource(int64(seed))), disk: vfs.NewMem(), o: o, now: time.Unix(1e9, 0)}
	f.o.Follows, f.o.Clock = f.log.sync, func() time.Time { return time.Unix(0, f.clock.Load()) }
	f.pass(0)
	f.open()
	return f
}

// pass lets time pass.
func (f *follower) pass(d time.Duration) {
	f.now = f.now.Add(d)
	f.clock.Store(f.now.UnixNano())
}

// open opens the ledger and brings it to where its log is.
func (f *follower) open() {
	var err error
	f.o.FS = f.disk
	if f.l, err = Open("d", f.o); err != nil {
		f.t.Fatal(err)
	}
	f.next = make(map[string]int64)
	for _, r := range f.log.appended {
		f.next[r.source] = r.from + int64(len(r.keys))
		if through := r.from + int64(len(r.keys)) - 1; through > f.following(r.source) {
			f.step(r.source, r.from, r.keys, r.at, nil)
		}
	}
	for source, next := range f.next {
		if got := f.following(source); got != next-1 {
			f.t.Fatalf("follows %s to %d, and its log goes to %d", source, got, next-1)
		}
	}
}

// following is how far the ledger has followed a source.
func (f *follower) following(source string) int64 {
	if c, ok := f.l.Checkpoint(source); ok {
		return c.Offset
	}
	return -1
}

// step admits keys, and appends them to the log in between if there is something to do that.
func (f *follower) step(source string, from int64, keys []int, at time.Time, then func(*Batch)) {
	f.t.Helper()
	h := f.l.Hasher("")
	b := &Batch{Source: source, Through: from + int64(len(keys)) - 1}
	for i, k := range keys {
		b.Entries = append(b.Entries, Entry{Fingerprint: h.Fingerprint(fmt.Append(nil, k)), Offset: from + int64(i)})
	}
	s, err := f.l.Begin(at, b)
	if err != nil {
		f.t.Fatal(err)
	}
	if err := s.Admit(); err != nil {
		f.t.Fatal(err)
	}
	if then != nil {
		then(b)
	}
	if err := s.End(); err != nil {
		f.t.Fatal(err)
	}
}

// some appends something, whose verdicts are what the log before it says.
func (f *follower) some() {
	source := string(rune('a' + f.r.Intn(3)))
	keys := make([]int, 1+f.r.Intn(20))
	for i := range keys {
		keys[i] = f.r.Intn(2000)
	}
	from := f.next[source]
	f.next[source] = from + int64(len(keys))
	f.step(source, from, keys, f.now, func(b *Batch) {
		rec := record{source: source, from: from, keys: keys, at: f.now}
		seen := f.seen()
		for i, e := range b.Entries {
			want := hapax.Fresh
			if seen[keys[i]] {
				want = hapax.Duplicate
			}
			if seen[keys[i]] = true; e.Verdict != want {
				f.t.Fatalf("key %d at %s:%d: %v, want %v", keys[i], source, e.Offset, e.Verdict, want)
			}
			rec.verdict = append(rec.verdict, e.Verdict)
		}
		f.log.appended = append(f.log.appended, rec)
	})
}

func (f *follower) seen() map[int]bool {
	seen := make(map[int]bool)
	for _, r := range f.log.appended {
		for _, k := range r.keys {
			seen[k] = true
		}
	}
	return seen
}

// A ledger that follows a log never remembers what the log has lost, and never
// forgets what it has kept, whatever a power loss takes of both.
func TestFollowsOverPowerLoss(t *testing.T) {
	for seed := range uint64(60) {
		f := newFollower(t, seed, Options{Window: hapax.Window{Time: 1000 * time.Hour}, Details: seed%2 == 0, Digests: seed%3 == 0})
		for range 60 {
			switch n := f.r.Intn(20); {
			case n < 14:
				f.some()
			case n < 16:
				if err := f.l.Sync(context.Background()); err != nil {
					t.Fatal(err)
				}
			case n < 17:
				rolled(t, f.l, (*journal).rollNow)
			case n < 18:
				if err := f.l.Close(); err != nil {
					t.Fatal(err)
				}
				if _, err := Verify(f.disk, "d"); err != nil {
					t.Fatal(err)
				}
				f.open()
			default:
				crashed := f.disk.PowerLoss(f.r)
				f.log.crash(f.r)
				after := f.log
				_ = f.l.Close() // its disk is another one from here on
				f.log, f.disk = after, crashed
				f.open()
			}
		}
		f.check()
	}
}

// check compares all that the ledger knows with the log.
func (f *follower) check() {
	f.t.Helper()
	seen := f.seen()
	h := f.l.Hasher("")
	for k := range 2000 {
		_, ok, err := f.l.Lookup(context.Background(), h.Fingerprint(fmt.Append(nil, k)))
		if err != nil || ok != seen[k] {
			f.t.Fatalf("key %d: remembered %v, %v; want %v", k, ok, err, seen[k])
		}
	}
	if err := f.l.Close(); err != nil {
		f.t.Fatal(err)
	}
}

// Of each identity it is known where it first stood, and how many copies came.
func TestFollowsWithDetails(t *testing.T) {
	f := newFollower(t, 1, Options{Window: hapax.Window{Time: time.Hour}, Details: true})
	f.step("7", 100, []int{1, 2, 3}, f.now, func(*Batch) {})
	f.step("8", 40, []int{3, 4, 3}, f.now.Add(time.Second), func(*Batch) {})
	s, ok, err := f.l.Lookup(context.Background(), f.l.Hasher("").Fingerprint([]byte("3")))
	if err != nil || !ok {
		t.Fatal(ok, err)
	}
	if want := (hapax.Position{Source: "7", Offset: 102}); s.Position != want || s.Copies != 2 || !s.First.Equal(f.now) {
		t.Errorf("first at %v, %v, and %d copies; want %v, %v and 2", s.Position, s.First, s.Copies, want, f.now)
	}
	f.log.appended = nil
	if err := f.l.Close(); err != nil {
		t.Error(err)
	}
}

// Looking remembers nothing, and neither does a step that fails before it admits.
func TestStepLooks(t *testing.T) {
	f := newFollower(t, 1, Options{Window: hapax.Window{Time: time.Hour}, Digests: true})
	f.step("a", 0, []int{1}, f.now, nil)
	h := f.l.Hasher("")
	b := &Batch{Source: "a", Through: 2}
	for i := range 3 {
		b.Entries = append(b.Entries, Entry{Fingerprint: h.Fingerprint(fmt.Append(nil, i)), Offset: 1})
	}
	for range 2 {
		s, err := f.l.Begin(f.now, b)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Look(); err != nil {
			t.Fatal(err)
		}
		for i, want := range []hapax.Verdict{hapax.Fresh, hapax.Duplicate, hapax.Fresh} {
			if b.Entries[i].Verdict != want {
				t.Errorf("key %d: %v, want %v", i, b.Entries[i].Verdict, want)
			}
		}
		s.Fail(errors.New("no"))
	}
	if got := f.following("a"); got != 0 {
		t.Errorf("follows to %d, want 0", got)
	}
	if err := f.l.Close(); err != nil {
		t.Error(err)
	}
}

// A log that could not be appended to ends the ledger, which remembers too much.
func TestStepFails(t *testing.T) {
	f := newFollower(t, 1, Options{Window: hapax.Window{Time: time.Hour}})
	b := &Batch{Source: "a", Entries: []Entry{{Fingerprint: f.l.Hasher("").Fingerprint([]byte("1"))}}}
	s, err := f.l.Begin(f.now, b)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Admit(); err != nil {
		t.Fatal(err)
	}
	broken := errors.New("broken")
	s.Fail(broken)
	if _, err := f.l.Begin(f.now, b); !errors.Is(err, broken) {
		t.Errorf("begin: %v", err)
	}
	_ = f.l.Close()
	f.open()
	f.check()
}

// Only steps change a ledger that follows a log, and only one that does has any.
func TestFollowersTakeSteps(t *testing.T) {
	f := newFollower(t, 1, Options{Window: hapax.Window{Time: time.Hour}})
	if err := f.l.Admit(context.Background(), batch(f.l, 0, 1)); !errors.Is(err, errFollows) {
		t.Errorf("admit: %v", err)
	}
	if err := f.l.Confirm(context.Background(), Checkpoint{Source: "a"}); !errors.Is(err, errFollows) {
		t.Errorf("confirm: %v", err)
	}
	_, err := f.l.Claim(context.Background(), hapax.Request{Identity: []byte("a"), Lease: time.Second})
	if !errors.Is(err, errFollows) {
		t.Errorf("claim: %v", err)
	}
	if err := f.l.Close(); err != nil {
		t.Error(err)
	}
	l := open(t, "", Options{Window: hapax.Window{Time: time.Hour}})
	if _, err := l.Begin(time.Now(), &Batch{}); err == nil {
		t.Error("a step of a ledger that follows nothing")
	}
}

// takeStep has a ledger take a batch.
func takeStep(t testing.TB, l *Ledger, now time.Time, batch *Batch) {
	t.Helper()
	s, err := l.Begin(now, batch)
	if err == nil {
		err = s.Admit()
	}
	if err == nil {
		err = s.End()
	}
	if err != nil {
		t.Fatal(err)
	}
}

// BenchmarkStep is what a step takes for each of its identities, all of them new,
// beside ten million that are live: of a window that has more and more of them, and
// of one that lets as many go.
func BenchmarkStep(b *testing.B) {
	const live = 10_000_000
	for _, w := range []struct {
		name   string
		window hapax.Window
	}{
		{"growing", hapax.Window{Time: 24 * time.Hour}},
		{"full", hapax.Window{Count: live}},
	} {
		for _, digests := range []bool{false, true} {
			b.Run(fmt.Sprintf("%s/digests=%t", w.name, digests), func(b *testing.B) {
				s := &stepping{B: b, ledger: open(b, b.TempDir(), Options{
					Window: w.window, MaxMemory: 4 << 30, Details: true, Digests: digests,
					Follows: func() error { return nil },
				})}
				s.hasher = s.ledger.Hasher("")
				batch := &Batch{Source: "0", Entries: make([]Entry, 1000)}
				for s.next < live {
					s.fill(batch)
					s.step(batch)
				}
				for b.Loop() {
					b.StopTimer()
					s.fill(batch)
					b.StartTimer()
					s.step(batch)
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(batch.Entries)), "ns/id")
			})
		}
	}
}

// stepping takes steps of new identities.
type stepping struct {
	*testing.B
	ledger *Ledger
	hasher identity.Hasher
	next   int64
}

func (s *stepping) fill(batch *Batch) {
	var name [8]byte
	for i := range batch.Entries {
		binary.LittleEndian.PutUint64(name[:], uint64(s.next))
		batch.Entries[i] = Entry{Fingerprint: s.hasher.Fingerprint(name[:]), Digest: hapax.Digest(s.next), Offset: s.next}
		s.next++
	}
	batch.Through = s.next - 1
}

func (s *stepping) step(batch *Batch) { takeStep(s, s.ledger, time.Unix(1e9, s.next*1000), batch) }
