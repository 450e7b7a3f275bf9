package ledgertest

import (
	"context"
	"encoding/binary"
	"errors"
	"math/rand"
	"testing"
	"time"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/ledger"
)

// reporter is what [testing.TB] and a rapid test have in common.
type reporter interface {
	Helper()
	Logf(format string, args ...any)
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
	Skipf(format string, args ...any)
}

// trial is one ledger beside its model. Every answer of the ledger is compared
// with the model's, and the test ends at the first difference.
type trial struct {
	reporter
	f       AdmitFactory
	ctx     context.Context
	options ledger.Options
	disk    Disk
	clock   *clock
	ledger  Admitter
	model   *Model
	began   int64 // Unix nanoseconds of the clock at first
	asked   int64 // entries and claims since open
	opened  int
}

// newTrial opens a ledger on a new place. tb is where the clean-up goes, r where
// differences are reported.
func newTrial(tb testing.TB, r reporter, f AdmitFactory, o ledger.Options) *trial {
	r.Helper()
	t := &trial{reporter: r, f: f, ctx: context.Background(), clock: newClock(), began: clockStart}
	if f.Disk != nil {
		t.disk = f.Disk(tb)
	}
	o.Clock = t.clock.now
	if f.Tune != nil {
		f.Tune(&o)
	}
	t.options = o
	t.open()
	t.model = NewModel(o, t.clock.now())
	return t
}

// sit is newTrial for a plain test; the ledger is closed at its end.
func sit(tb testing.TB, f AdmitFactory, o ledger.Options) *trial {
	tb.Helper()
	t := newTrial(tb, tb, f, o)
	tb.Cleanup(func() { _ = t.ledger.Close() })
	return t
}

func (t *trial) open() {
	t.Helper()
	o := t.options
	o.FS = t.disk.FS
	if t.opened++; o.QuickStart == 0 && t.opened%2 != 0 {
		o.QuickStart = 1 // every other start is a quick one
	}
	l, err := t.f.Open(t.disk.Dir, o)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	t.ledger, t.asked = l, 0
}

// key is the nth of a sequence of fingerprints that are spread evenly.
func key(n int) (fp hapax.Fingerprint) {
	binary.LittleEndian.PutUint64(fp[:8], mix(2*uint64(n)))
	binary.LittleEndian.PutUint64(fp[8:], mix(2*uint64(n)+1))
	return fp
}

// mix spreads numbers evenly over 64 bits (Steele, Lea and Flood, "Fast
// splittable pseudorandom number generators", 2014).
func mix(x uint64) uint64 {
	x = (x + 1) * 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// entries are those of the keys numbered from first up to but without end.
func entries(first, end int) []ledger.Entry {
	es := make([]ledger.Entry, 0, end-first)
	for n := first; n < end; n++ {
		es = append(es, ledger.Entry{Fingerprint: key(n)})
	}
	return es
}

// admit asks about es, compares, and returns them with their verdicts.
func (t *trial) admit(es ...ledger.Entry) []ledger.Entry {
	t.Helper()
	return t.admitFrom("", es...)
}

func (t *trial) admitFrom(source string, es ...ledger.Entry) []ledger.Entry {
	t.Helper()
	b := &ledger.Batch{Source: source, Entries: es}
	t.model.SetTime(t.clock.now())
	if err := t.ledger.Admit(t.ctx, b); err != nil {
		t.Fatalf("admit %d entries: %v", len(es), err)
	}
	t.asked += int64(len(es))
	if err := t.model.Admitted(b); err != nil {
		t.Fatalf("window %v: %v", t.options.Window, err)
	}
	return b.Entries
}

// all demands one verdict for the keys numbered from first up to end.
func (t *trial) all(want hapax.Verdict, first, end int) {
	t.Helper()
	for at := first; at < end; at += 1000 {
		for i, e := range t.admit(entries(at, min(end, at+1000))...) {
			if e.Verdict != want {
				t.Fatalf("window %v: key %d is %v, want %v", t.options.Window, at+i, e.Verdict, want)
			}
		}
	}
}

func (t *trial) is(want hapax.Verdict, n int) {
	t.Helper()
	t.all(want, n, n+1)
}

func (t *trial) pass(d time.Duration) {
	t.clock.advance(d)
	t.model.SetTime(t.clock.now())
}

func (t *trial) confirm(source string, offset int64) {
	t.Helper()
	if err := t.ledger.Confirm(t.ctx, ledger.Checkpoint{Source: source, Offset: offset}); err != nil {
		t.Fatalf("confirm %q at %d: %v", source, offset, err)
	}
	t.model.Confirmed(source, offset)
}

func (t *trial) forget(fp hapax.Fingerprint) {
	t.Helper()
	existed, err := t.ledger.Forget(t.ctx, fp)
	if err == nil {
		err = t.model.Forgotten(fp, existed)
	}
	if err != nil {
		t.Fatalf("forget: %v", err)
	}
}

// lookup compares what is known of fp.
func (t *trial) lookup(fp hapax.Fingerprint) (ledger.Sighting, bool) {
	t.Helper()
	s, found, err := t.ledger.Lookup(t.ctx, fp)
	if err != nil {
		t.Fatalf("lookup: %v", err)
	}
	recall := t.model.Recall(fp)
	if h := t.model.holds[fp]; h != nil {
		if !h.shaken && t.model.now < h.deadline && (!found || s.Verdict != hapax.InFlight) {
			t.Fatalf("lookup of a claimed identity: %v, %v", found, s.Verdict)
		}
		return s, found
	}
	if recall == Kept && !found || recall == Gone && found {
		t.Fatalf("window %v: lookup %v: found is %t", t.options.Window, fp, found)
	}
	if found && (s.Verdict != hapax.Duplicate || s.Fingerprint != fp) {
		t.Fatalf("lookup %v: %v is %v", fp, s.Fingerprint, s.Verdict)
	}
	return s, found
}

func (t *trial) claim(id string, d hapax.Digest, lease time.Duration) hapax.Claim {
	t.Helper()
	t.model.SetTime(t.clock.now())
	c, err := t.ledger.Claim(t.ctx, hapax.Request{Scope: "exam", Identity: hapax.Identity(id), Digest: d, Lease: lease})
	if err != nil {
		t.Fatalf("claim: %v", err)
	}
	t.asked++
	c.Digest = d
	if err := t.model.Claimed(c, int64(lease)); err != nil {
		t.Fatalf("%v", err)
	}
	return c
}

func (t *trial) end(c hapax.Claim, commit bool) {
	t.Helper()
	var err error
	if commit {
		err = t.ledger.Commit(t.ctx, c, nil)
	} else {
		err = t.ledger.Release(t.ctx, c)
	}
	if err := t.model.Ended(c, commit, err); err != nil {
		t.Fatalf("%v", err)
	}
}

func (t *trial) close() {
	t.Helper()
	if err := t.ledger.Close(); err != nil {
		t.Fatalf("close: %v", err)
	}
}

func (t *trial) reopen() {
	t.Helper()
	t.close()
	t.open()
}

// kill goes on with what a killed process would have left.
func (t *trial) kill() {
	t.Helper()
	left := t.disk.Killed(t)
	_ = t.ledger.Close()
	t.disk = left
	t.open()
}

// cutPower goes on with what a loss of power would have left.
func (t *trial) cutPower(rng *rand.Rand) {
	t.Helper()
	if t.disk.PowerLost == nil {
		t.kill()
		return
	}
	left := t.disk.PowerLost(rng)
	_ = t.ledger.Close()
	t.disk = left
	t.model.PowerLost()
	t.open()
}

// agree compares what can be listed and counted.
func (t *trial) agree() {
	t.Helper()
	listed := map[hapax.Fingerprint]bool{}
	for s, err := range t.ledger.All() {
		if err != nil {
			t.Fatalf("list: %v", err)
		}
		if listed[s.Fingerprint] {
			t.Fatalf("list: %v twice", s.Fingerprint)
		}
		listed[s.Fingerprint] = true
		if s.Verdict == hapax.Duplicate && t.model.Recall(s.Fingerprint) == Gone {
			t.Fatalf("window %v: list: %v left the window", t.options.Window, s.Fingerprint)
		}
	}
	var least, most int64
	for fp := range t.model.known {
		switch t.model.Recall(fp) {
		case Kept:
			if !listed[fp] {
				t.Fatalf("window %v: list: %v is missing", t.options.Window, fp)
			}
			least++
			most++
		case Open:
			most++
		}
	}
	s := t.ledger.Stats()
	if s.Live < least || s.Live > most {
		t.Fatalf("window %v: %d live, want %d to %d", t.options.Window, s.Live, least, most)
	}
	if answered(s) != t.asked {
		t.Fatalf("%d verdicts counted of %d asked: %+v", answered(s), t.asked, s)
	}
	if s.EvictedLive != 0 {
		t.Fatalf("%d identities evicted inside the window", s.EvictedLive)
	}
}

func answered(s ledger.Stats) int64 {
	return s.Fresh + s.Duplicates + s.Redelivered + s.InFlight + s.Conflicts + s.Late + s.Stale
}

// fails demands an error that is one of the targets.
func (t *trial) fails(err error, targets ...error) {
	t.Helper()
	for _, target := range targets {
		if errors.Is(err, target) {
			return
		}
	}
	t.Fatalf("error %v, want one of %v", err, targets)
}

// seeded is a source of chance that is the same in every run.
func seeded(seed int64) *rand.Rand { return rand.New(rand.NewSource(seed)) }
