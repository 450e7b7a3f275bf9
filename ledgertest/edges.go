package ledgertest

import (
	"cmp"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/ledger"
)

func edgeChecks() []admitCheck {
	return []admitCheck{
		{name: "both edges of a time window", run: timeEdges},
		{name: "both edges of a renewed time window", run: renewedTimeEdges},
		{name: "both edges of a tumbling time window", run: tumblingTimeEdges},
		{name: "lookup says until when", run: lookupSaysWhen},
		{name: "a count window is exact", run: countEdges},
		{name: "a renewed count window is of distinct ids", run: renewedCountEdges},
		{name: "a tumbling count window ends every so many ids", run: tumblingCountEdges},
		{name: "both edges of a window of bytes", run: byteEdges},
		{name: "of several bounds the first one reached counts", run: severalBounds},
		{name: "without a bound nothing is forgotten", run: unbounded},
		{name: "a clock that steps back forgets nothing", run: clockStepsBack},
		{name: "a window is required and validated", run: windowRequired},
	}
}

// moment is something to do at a time since the start.
type moment struct {
	at time.Duration
	do func()
}

// play does the moments in order, moving the clock to each.
func (t *trial) play(moments []moment) {
	slices.SortStableFunc(moments, func(a, b moment) int { return cmp.Compare(a.at, b.at) })
	now := time.Duration(0)
	for _, m := range moments {
		t.pass(m.at - now)
		now = m.at
		m.do()
	}
}

// timeEdges admits ids all over several windows and asks a moment before each
// leaves, and a moment after it must have left (statement 37).
func timeEdges(tb testing.TB, f AdmitFactory) {
	for _, w := range []time.Duration{time.Millisecond, 10 * time.Millisecond, time.Second, time.Hour, 30 * 24 * time.Hour} {
		near := min(time.Millisecond, w/1000)
		t := sit(tb, f, ledger.Options{Window: hapax.Window{Time: w}})
		var moments []moment
		for i := range 400 {
			at := time.Duration(i) * w / 131
			moments = append(moments,
				moment{at, func() { t.is(hapax.Fresh, i) }},
				moment{at + w/2, func() { t.is(hapax.Duplicate, i) }},
				moment{at + w - near, func() { t.is(hapax.Duplicate, i) }},
				moment{at + w + slack(w) + near, func() { t.is(hapax.Fresh, i) }})
		}
		t.play(moments)
		t.agree()
	}
}

// renewedTimeEdges: the window runs anew from every copy.
func renewedTimeEdges(tb testing.TB, f AdmitFactory) {
	const w = time.Hour
	t := sit(tb, f, ledger.Options{Window: hapax.Window{Time: w, Kind: hapax.Renewed}})
	var moments []moment
	for i := range 150 {
		at := time.Duration(i) * w / 97
		moments = append(moments, moment{at, func() { t.is(hapax.Fresh, i) }})
		for range i % 5 {
			at += w - time.Duration(1+i)*time.Millisecond
			moments = append(moments, moment{at, func() { t.is(hapax.Duplicate, i) }})
		}
		moments = append(moments, moment{at + w + slack(w) + time.Millisecond, func() { t.is(hapax.Fresh, i) }})
	}
	t.play(moments)
	t.agree()
}

// tumblingTimeEdges: all ids of one aligned window leave together, at its end.
func tumblingTimeEdges(tb testing.TB, f AdmitFactory) {
	const w = time.Hour
	t := sit(tb, f, ledger.Options{Window: hapax.Window{Time: w, Kind: hapax.Tumbling}})
	start := w - time.Duration(floorMod(t.clock.now().UnixNano(), int64(w))) // to the next aligned window
	var moments []moment
	for i := range 100 {
		begin, inside := start+time.Duration(i%4)*w, time.Duration(i)*w/101
		moments = append(moments,
			moment{begin + inside, func() { t.is(hapax.Fresh, i) }},
			moment{begin + w - time.Millisecond, func() { t.is(hapax.Duplicate, i) }},
			moment{begin + w + slack(w) + time.Millisecond, func() { t.is(hapax.Fresh, i) }})
	}
	t.play(moments)
	t.agree()
}

// lookupSaysWhen: an identity may be remembered a little longer, and lookup says
// until when: to the nanosecond before it is a duplicate, from then on fresh.
func lookupSaysWhen(tb testing.TB, f AdmitFactory) {
	const w = time.Hour
	t := sit(tb, f, ledger.Options{Window: hapax.Window{Time: w}})
	for i := range 100 {
		seen := t.clock.now()
		t.is(hapax.Fresh, i)
		s, found := t.lookup(key(i))
		if !found {
			t.Fatalf("key %d is not found", i)
		}
		longer := s.Expires.Sub(seen) - w
		if longer < 0 || longer > slack(w) {
			t.Fatalf("key %d expires %v after its window, want 0 to %v", i, longer, slack(w))
		}
		if off := seen.Sub(s.First); off < -slack(w) || off > slack(w) {
			t.Fatalf("key %d: first seen %v off", i, off)
		}
		t.pass(s.Expires.Sub(seen) - 1)
		t.is(hapax.Duplicate, i)
		t.pass(1 + time.Microsecond)
		t.is(hapax.Fresh, i)
	}
}

// countEdges: remembered until this many other identities came, no more and no
// less, wherever batches and generations end.
func countEdges(tb testing.TB, f AdmitFactory) {
	for _, n := range []int{1, 2, 3, 127, 128, 129, 1000, 5000} {
		t := sit(tb, f, ledger.Options{Window: hapax.Window{Count: int64(n)}})
		next := 0
		for _, batch := range []int{1, n / 3, n, n + 1, 2*n + 7} {
			t.all(hapax.Fresh, next, next+batch)
			next += batch
			kept := min(next, n)
			for _, back := range []int{1, kept/2 + 1, kept} { // copies do not count
				t.is(hapax.Duplicate, next-back)
			}
			t.agree()
			if live := t.ledger.Stats().Live; live != int64(kept) {
				t.Fatalf("window %v: %d live after %d ids, want %d", t.options.Window, live, next, kept)
			}
			if next > n {
				t.is(hapax.Fresh, next-n-1) // just left; it comes anew, and the next one leaves
				t.is(hapax.Fresh, next-n)
			}
		}
	}
}

func renewedCountEdges(tb testing.TB, f AdmitFactory) {
	for _, n := range []int{2, 3, 100, 300} {
		t := sit(tb, f, ledger.Options{Window: hapax.Window{Count: int64(n), Kind: hapax.Renewed}})
		t.is(hapax.Fresh, 0)
		for i := 1; i < 5*n; i++ {
			t.is(hapax.Duplicate, 0) // seen all the time, never leaves
			t.is(hapax.Fresh, i)
		}
		for range 3 * n { // the same copy over and over pushes nobody out
			t.is(hapax.Duplicate, 5*n-1)
		}
		t.is(hapax.Duplicate, 5*n-n+1)
		t.agree()
	}
}

func tumblingCountEdges(tb testing.TB, f AdmitFactory) {
	for _, n := range []int{2, 100, 1000} {
		t := sit(tb, f, ledger.Options{Window: hapax.Window{Count: int64(n), Kind: hapax.Tumbling}})
		for begin := 0; begin < 5*n; begin += n {
			t.all(hapax.Fresh, begin, begin+n-1)
			t.all(hapax.Duplicate, begin, begin+n-1)
			t.all(hapax.Fresh, begin+n-1, begin+n)
		}
		t.all(hapax.Fresh, 5*n, 5*n+1)
		for back := 1; back <= n; back++ { // the window before has ended, every id of it
			if _, found := t.lookup(key(5*n - back)); found {
				t.Fatalf("window %v: key %d of the window before is remembered", t.options.Window, back)
			}
		}
	}
}

// byteEdges: remembered until messages of this many bytes came.
func byteEdges(tb testing.TB, f AdmitFactory) {
	for _, w := range []int64{1000, 128_000, 10_000_000} {
		t := sit(tb, f, ledger.Options{Window: hapax.Window{Bytes: w}})
		size := w / 100
		sized := func(n int) ledger.Entry { return ledger.Entry{Fingerprint: key(n), Size: size} }
		for i := range 350 {
			t.admit(sized(i))
			if i >= 99 { // 99 others came: inside
				if _, found := t.lookup(key(i - 99)); !found {
					t.Fatalf("window %v: forgotten after %d bytes", t.options.Window, 99*size)
				}
			}
			if i >= 102 {
				if _, found := t.lookup(key(i - 102)); found {
					t.Fatalf("window %v: remembered after %d bytes", t.options.Window, 102*size)
				}
			}
		}
		t.admit(ledger.Entry{Fingerprint: key(1000), Size: 3 * w}) // larger than the window
		t.admit(sized(1001))
		t.agree()
	}
}

func severalBounds(tb testing.TB, f AdmitFactory) {
	o := ledger.Options{Window: hapax.Window{Time: time.Hour, Count: 1000, Bytes: 1 << 20}}
	t := sit(tb, f, o)
	t.all(hapax.Fresh, 0, 900)
	t.all(hapax.Duplicate, 0, 900)
	t.pass(time.Hour + time.Hour/64 + time.Second) // time comes first
	t.all(hapax.Fresh, 0, 900)
	t.all(hapax.Fresh, 1000, 2100) // now count
	t.is(hapax.Duplicate, 2000)
	t.all(hapax.Fresh, 0, 80)
	t.admit(ledger.Entry{Fingerprint: key(5000), Size: 1 << 21}) // now bytes
	t.is(hapax.Fresh, 2099)
	t.agree()
}

func unbounded(tb testing.TB, f AdmitFactory) {
	t := sit(tb, f, ledger.Options{Window: hapax.Window{Unbounded: true}})
	for round := range 20 {
		t.all(hapax.Fresh, round*500, (round+1)*500)
		t.pass(30 * 24 * time.Hour)
	}
	if f.Disk != nil {
		t.reopen()
	}
	t.pass(100 * 365 * 24 * time.Hour)
	t.all(hapax.Duplicate, 0, 20*500)
	t.agree()
}

// clockStepsBack: time never goes back, whatever the clock says.
func clockStepsBack(tb testing.TB, f AdmitFactory) {
	t := sit(tb, f, anHour())
	t.all(hapax.Fresh, 0, 10)
	t.pass(50 * time.Minute)
	t.all(hapax.Fresh, 10, 20)
	t.clock.advance(-40 * time.Minute)
	t.all(hapax.Duplicate, 0, 20)
	t.all(hapax.Fresh, 20, 30)
	t.clock.advance(-20 * 365 * 24 * time.Hour)
	t.all(hapax.Duplicate, 0, 30)
	if f.Disk != nil {
		t.reopen()
		t.all(hapax.Duplicate, 0, 30)
	}
	t.all(hapax.Fresh, 30, 40)
	t.all(hapax.Duplicate, 0, 40)
	t.pass(20*365*24*time.Hour + 40*time.Minute) // right again, and on
	t.pass(59 * time.Minute)
	t.all(hapax.Duplicate, 10, 40)
	t.pass(2 * time.Minute)
	t.all(hapax.Fresh, 10, 20)
}

// windowRequired: there is no silent default (statement 36).
func windowRequired(tb testing.TB, f AdmitFactory) {
	wrong := []hapax.Window{
		{}, {Kind: hapax.Renewed}, {Time: -1}, {Count: -1}, {Bytes: -1}, {Time: time.Hour, Unbounded: true},
		{Time: time.Microsecond}, {Count: 1, EventTime: true}, {Time: time.Hour, Skew: time.Second}, {Time: time.Hour, Kind: 77},
	}
	for _, w := range wrong {
		disk := Disk{}
		if f.Disk != nil {
			disk = f.Disk(tb)
		}
		l, err := f.Open(disk.Dir, ledger.Options{Window: w, FS: disk.FS})
		if err == nil {
			_ = l.Close()
			tb.Errorf("open with %s: no error", fmt.Sprintf("%+v", w))
		}
	}
}
