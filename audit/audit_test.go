package audit

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"math"
	"math/rand/v2"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/hapaxmq/hapax"
)

// fingerprintOf is the fingerprint of a small number, spread as a hash would be.
func fingerprintOf(n uint64) (f hapax.Fingerprint) {
	source := rand.NewPCG(n, 1)
	binary.BigEndian.PutUint64(f[:8], source.Uint64())
	binary.BigEndian.PutUint64(f[8:], source.Uint64())
	return f
}

func add(tb testing.TB, a *Audit, observations ...Observation) {
	tb.Helper()
	for _, o := range observations {
		if err := a.Add(o); err != nil {
			tb.Fatal(err)
		}
	}
}

func TestCounts(t *testing.T) {
	at := func(s int) time.Time { return time.Unix(1_800_000_000+int64(s), 0) }
	a := New(Options{})
	add(t, a,
		Observation{Fingerprint: fingerprintOf(1), Digest: 7, Time: at(0), Size: 100, ID: []byte("one")},
		Observation{Fingerprint: fingerprintOf(2), Digest: 8, Time: at(10), Size: 10, ID: []byte("two")},
		Observation{Missing: true, Time: at(11), Size: 1},
		Observation{Fingerprint: fingerprintOf(1), Digest: 7, Time: at(20), Size: 100, ID: []byte("one")},
		Observation{Fingerprint: fingerprintOf(1), Digest: 9, Time: at(25), Size: 100, ID: []byte("one"), Position: hapax.Position{Source: "file", Offset: 5}},
		Observation{Fingerprint: fingerprintOf(2), Digest: 0, Time: at(5), Size: 10, ID: []byte("two")},
		Observation{Fingerprint: fingerprintOf(3), Digest: 1, Time: at(15), Size: 10, ID: []byte("three")},
		Observation{Fingerprint: fingerprintOf(1), Digest: 7, Size: 100, ID: []byte("one")},
	)
	r := a.Report()
	if r.Messages != 8 || r.Bytes != 431 || r.Unique != 3 || r.Duplicates != 3 || r.Conflicts != 1 || r.WithoutID != 1 {
		t.Errorf("counts: %+v", r)
	}
	if c := r.Clock; c.Timeless != 1 || c.LagMillis != 10_000 || c.StepMillis != 10_000 || c.StepMessage != 2 ||
		!c.From.Equal(at(0)) || !c.To.Equal(at(25)) {
		t.Errorf("clock: %+v", c)
	}
	// The ages since the first sight are 20 s, 15 s and 25 s; 2, 3 and 6
	// messages; since the last sight the third is 0 s and 2 messages.
	byTime, byCount := r.Ages[0], r.Ages[1]
	if byTime.Greatest != 25_000 || byTime.Renewed != 20_000 || byCount.Greatest != 6 || byCount.Renewed != 3 {
		t.Errorf("ages by time %+v, by count %+v", byTime, byCount)
	}
	if w := byCount.Windows[0]; w.Window != 4 || w.Duplicates != 2 || w.Share != 0.5 {
		t.Errorf("window for half of the duplicates: %+v", w)
	}
	want := []Offender{{ID: "one", Copies: 3, Conflicts: 1, First: 1, Last: 8}, {ID: "two", Copies: 1, First: 2, Last: 6}}
	if !slices.Equal(r.Offenders, want) {
		t.Errorf("offenders: %+v, want %+v", r.Offenders, want)
	}
	conflict := []ConflictExample{{ID: "one", First: 1, Message: 5, Source: "file", Offset: 5}}
	if !slices.Equal(r.ConflictExamples, conflict) {
		t.Errorf("conflicts: %+v, want %+v", r.ConflictExamples, conflict)
	}
}

func TestNothing(t *testing.T) {
	a := New(Options{})
	for _, want := range []string{"0 B", "1 B"} {
		r := a.Report()
		var out bytes.Buffer
		if err := r.WriteText(&out, 80); err != nil || !strings.Contains(out.String(), want) {
			t.Errorf("error %v, report %q lacks %q", err, out.String(), want)
		}
		if text, err := json.Marshal(r); err != nil || bytes.Contains(text, []byte("null")) {
			t.Errorf("JSON has a null where a list is: %s, %v", text, err)
		}
		add(t, a, Observation{Missing: true, Size: 1})
	}
}

// TestModel compares reports with what a slice of all observations says.
func TestModel(t *testing.T) { rapid.Check(t, checkModel) }

// FuzzModel does so with the fuzzer's choices.
func FuzzModel(f *testing.F) { f.Fuzz(rapid.MakeFuzz(checkModel)) }

func checkModel(t *rapid.T) {
	var (
		a     = New(Options{Worst: 3})
		ids   = rapid.Uint64Range(0, uint64(rapid.SampledFrom([]int{3, 30, 1000}).Draw(t, "ids")))
		skips = rapid.SampledFrom([]int64{0, 0, 1, 900, 70_000, 90 * 24 * 3600 * 1000, -5000})
		sizes = rapid.SampledFrom([]int64{0, 1, 300, 70_000, 3 << 30})
		n     = rapid.IntRange(0, 400).Draw(t, "messages")
		now   = int64(1_700_000_000_000)
		all   []Observation
	)
	for range n {
		now += skips.Draw(t, "skip")
		o := Observation{Size: sizes.Draw(t, "size"), Digest: hapax.Digest(rapid.IntRange(0, 2).Draw(t, "digest"))}
		if rapid.IntRange(0, 9).Draw(t, "missing") == 0 {
			o.Missing = true
		} else {
			o.Fingerprint = fingerprintOf(ids.Draw(t, "id"))
		}
		if rapid.IntRange(0, 9).Draw(t, "timeless") > 0 {
			o.Time = time.UnixMilli(now)
		}
		if err := a.Add(o); err != nil {
			t.Fatal(err)
		}
		all = append(all, o)
	}
	got, want := a.Report(), model(all)
	want.check(t, got)
	if err := got.WriteText(new(bytes.Buffer), 80); err != nil {
		t.Fatal(err)
	}
}

// naive is what a report should say, with every age in full.
type naive struct {
	unique, duplicates, conflicts, missing int64
	first, last                            [dimensions][]int64
	sights                                 []place // first ones
	copies                                 []int64 // falling
	clock                                  bool
}

func model(all []Observation) *naive {
	type known struct {
		first, last place
		digest      hapax.Digest
		copies      int64
	}
	m := &naive{}
	ids := map[hapax.Fingerprint]*known{}
	var start, clock, offset int64
	for i, o := range all {
		if !o.Time.IsZero() {
			if t := o.Time.UnixMilli(); !m.clock {
				m.clock, start, clock = true, t, t
			} else {
				clock = max(clock, t)
			}
		}
		here := place{clock: clock - start, message: int64(i), offset: offset}
		offset += o.Size
		k, seen := ids[o.Fingerprint]
		switch {
		case o.Missing:
			m.missing++
			continue
		case !seen:
			m.unique++
			m.sights = append(m.sights, here)
			ids[o.Fingerprint] = &known{first: here, last: here, digest: o.Digest}
			continue
		case k.digest != 0 && o.Digest != 0 && k.digest != o.Digest:
			m.conflicts++
		default:
			m.duplicates++
			m.first[0] = append(m.first[0], here.clock-k.first.clock)
			m.first[1] = append(m.first[1], here.message-k.first.message-1)
			m.first[2] = append(m.first[2], here.offset-k.first.offset)
			m.last[0] = append(m.last[0], here.clock-k.last.clock)
			m.last[1] = append(m.last[1], here.message-k.last.message-1)
			m.last[2] = append(m.last[2], here.offset-k.last.offset)
		}
		k.last = here
		k.copies++
	}
	for _, k := range ids {
		if k.copies > 0 {
			m.copies = append(m.copies, k.copies)
		}
	}
	slices.SortFunc(m.copies, func(a, b int64) int { return int(b - a) })
	return m
}

func (m *naive) check(t *rapid.T, r *Report) {
	if r.Unique != m.unique || r.Duplicates != m.duplicates || r.Conflicts != m.conflicts || r.WithoutID != m.missing {
		t.Fatalf("counts %+v, want %+v", r, m)
	}
	if m.clock != (r.Clock != nil) {
		t.Fatalf("clock %+v, want one: %v", r.Clock, m.clock)
	}
	var copies []int64
	for _, o := range r.Offenders {
		copies = append(copies, o.Copies)
	}
	if want := m.copies[:min(3, len(m.copies))]; !slices.Equal(copies, want) {
		t.Fatalf("offenders have %v copies, want %v", copies, want)
	}
	for _, ages := range r.Ages {
		d := dimension(slices.Index([]string{"time", "count", "bytes"}, ages.By))
		slices.Sort(m.first[d])
		slices.Sort(m.last[d])
		m.checkWindows(t, d, &ages)
		var sum int64
		for _, b := range ages.Histogram {
			in := 0
			for _, age := range m.first[d] {
				if age >= b.From && age <= b.To {
					in++
				}
			}
			if int64(in) != b.Duplicates {
				t.Fatalf("by %s: %d ages from %d to %d, want %d", ages.By, b.Duplicates, b.From, b.To, in)
			}
			sum += b.Duplicates
		}
		if sum != m.duplicates {
			t.Fatalf("by %s: histogram holds %d of %d duplicates", ages.By, sum, m.duplicates)
		}
	}
}

func (m *naive) checkWindows(t *rapid.T, d dimension, ages *Ages) {
	held := int64(math.MaxInt64) // by the next longer window
	for i, w := range slices.Backward(ages.Windows) {
		rank := (len(m.first[d])*int(shares()[i]) + 999) / 1000
		for _, c := range []struct{ window, age int64 }{{w.Window, m.first[d][rank-1]}, {w.Renewed, m.last[d][rank-1]}} {
			if c.window <= c.age || c.window > c.age+c.age/128+1 {
				t.Fatalf("by %s: a window of %d for %v, the age is %d", ages.By, c.window, w.Share, c.age)
			}
		}
		caught := int64(0)
		for _, age := range m.first[d] {
			if age < w.Window {
				caught++
			}
		}
		peak, tail := 0, 0
		for j, here := range m.sights {
			for d.of(here)-d.of(m.sights[tail]) >= w.Window {
				tail++
			}
			peak = max(peak, j-tail+1)
		}
		want := int64(math.Ceil(float64(peak) * (1 + float64(m.duplicates-caught)/float64(m.unique))))
		if d == byCount {
			want = min(want, w.Window)
		}
		want = min(want, held)
		held = want
		if w.Duplicates != caught || w.Identities != want {
			t.Fatalf("by %s, window %d: catches %d with %d identities, want %d with %d",
				ages.By, w.Window, w.Duplicates, w.Identities, caught, want)
		}
	}
}

// TestTimes goes through times that no stream should hold.
func TestTimes(t *testing.T) {
	a := New(Options{})
	for i, at := range []time.Time{
		{}, time.Unix(0, 0), time.Unix(math.MaxInt64, 0), time.Unix(math.MinInt64, 0),
		time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC), time.Date(10_000, 12, 31, 0, 0, 0, 0, time.UTC),
		time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(-1, 1, 1, 0, 0, 0, 0, time.UTC),
	} {
		add(t, a, Observation{Fingerprint: fingerprintOf(uint64(i)), Time: at}, Observation{Fingerprint: fingerprintOf(0), Size: math.MinInt64})
	}
	c := a.Report().Clock
	if c.From.Year() != 0 || c.To.Year() != 9999 || c.Timeless != 8+5 || c.StepMessage != 9 {
		t.Errorf("clock: %+v", c)
	}
}

func TestMemory(t *testing.T) {
	a := New(Options{})
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	source := rand.NewPCG(1, 2)
	worst := 0.0
	const n = 600_000
	for i := range n {
		var f hapax.Fingerprint
		binary.BigEndian.PutUint64(f[:8], source.Uint64())
		binary.BigEndian.PutUint64(f[8:], source.Uint64())
		add(t, a, Observation{Fingerprint: f, Size: 100})
		if i > 100_000 && i%1000 == 0 {
			worst = max(worst, float64(a.Memory())/float64(i))
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	held := float64(after.HeapAlloc-before.HeapAlloc) / n
	if worst > 40 || held > 42 {
		t.Errorf("%.1f bytes an identity at worst, %.1f on the heap at the end", worst, held)
	}
	runtime.KeepAlive(a)
}

func TestFull(t *testing.T) {
	a := New(Options{Memory: 1 << 20})
	var err error
	n := uint64(0)
	for ; err == nil && n < 1e6; n++ {
		err = a.Add(Observation{Fingerprint: fingerprintOf(n)})
	}
	if !errors.Is(err, hapax.ErrFull) || !strings.Contains(err.Error(), "memory") {
		t.Fatalf("after %d identities: %v, want ErrFull", n, err)
	}
	r := a.Report()
	if int64(n-1) != r.Unique || r.Messages != r.Unique || r.MemoryBytes > 1<<20+1<<14 {
		t.Errorf("report %+v after %d identities", r, n-1)
	}
	if err := a.Add(Observation{Missing: true}); err != nil {
		t.Errorf("a message that takes no room: %v", err)
	}
}

func TestDistribution(t *testing.T) {
	var edges []int64
	for shift := range 63 {
		v := int64(1) << shift
		edges = append(edges, v-1, v, v+v/2, v+v/128, v+v/128-1)
	}
	for _, v := range append(edges, math.MaxInt64) {
		if up := top(step(v)); up < v || up-v > v/128 || step(up) != step(v) || up < math.MaxInt64 && step(up+1) != step(v)+1 {
			t.Errorf("%d falls in step %d, which ends at %d", v, step(v), up)
		}
	}
	var d distribution
	d.add(math.MaxInt64)
	d.add(-3)
	if v, n := d.quantile(1000); v != math.MaxInt64 || n != 2 {
		t.Errorf("greatest: %d with %d", v, n)
	}
	if b := d.octaves(); b[0] != (Bucket{Duplicates: 1}) || b[len(b)-1] != (Bucket{From: 1 << 62, To: math.MaxInt64, Duplicates: 1}) {
		t.Errorf("buckets: %v", b)
	}
}

func TestUnits(t *testing.T) {
	for got, want := range map[string]string{
		number(0):                  "0",
		number(999):                "999",
		number(1234567):            "1,234,567",
		size(999):                  "999 B",
		size(1000):                 "1 KB",
		size(1001):                 "1.01 KB",
		size(12_301):               "12.4 KB",
		size(999_001):              "1 MB",
		size(999_000):              "999 KB",
		size(5 << 30):              "5.37 GB",
		size(math.MaxInt64):        "9.23 EB",
		duration(0):                "0ms",
		duration(999):              "999ms",
		duration(1000):             "1s",
		duration(8201):             "8.3s",
		duration(59_901):           "1m",
		duration(189_000):          "3m9s",
		duration(3_599_001):        "1h",
		duration(75_420_000):       "20h57m",
		duration(75_420_001):       "20h58m",
		percent(0, 0):              "0.0 %",
		percent(1, 1_000_000):      "< 0.1 %",
		percent(999_999, 1e6):      "> 99.9 %",
		percent(1, 3):              "33.3 %",
		share(0.999):               "99.9 %",
		share(0.5):                 "50 %",
		bar(0, 10, 8):              "",
		bar(1, 1000, 8):            "▏",
		bar(5, 10, 3):              "█▌",
		bar(10, 10, 2):             "██",
		cut("abc  ", 3):            "abc",
		cut("äöüß", 3):             "äö…",
		printable("a\x1b[2J\xffb"): "a·[2J·b",
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// TestTextIsSafe draws hostile ids in every width.
func TestTextIsSafe(t *testing.T) {
	a := New(Options{})
	for range 3 {
		add(t, a, Observation{Fingerprint: fingerprintOf(1), Digest: 1, Size: 1, ID: []byte("\x1b]0;x\a\r\n\u202e" + strings.Repeat("長", 400))})
	}
	add(t, a, Observation{Fingerprint: fingerprintOf(1), Digest: 2, Size: 1, ID: []byte("\x00")})
	for _, width := range []int{-1, 60, 80, 500} {
		var out bytes.Buffer
		if err := a.Report().WriteText(&out, width); err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(out.String()) {
			line = strings.TrimSuffix(line, "\n")
			if n := utf8.RuneCountInString(line); n > min(max(width, 60), 120) || printable(line) != line {
				t.Errorf("width %d: line of %d characters: %q", width, n, line)
			}
		}
	}
}

func TestJSON(t *testing.T) {
	a := New(Options{})
	for i := range uint64(300) {
		add(t, a, Observation{Fingerprint: fingerprintOf(i % 100), Time: time.UnixMilli(int64(i)), Size: 10, ID: []byte("x")})
	}
	want := a.Report()
	text, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	var got Report
	if err := json.Unmarshal(text, &got); err != nil || !reflect.DeepEqual(&got, want) {
		t.Errorf("read back %+v, %v; want %+v", got, err, want)
	}
}

func BenchmarkAdd(b *testing.B) {
	a := New(Options{Memory: 1 << 40})
	source := rand.NewPCG(1, 2)
	var f hapax.Fingerprint
	for b.Loop() {
		if source.Uint64()%10 > 0 {
			binary.BigEndian.PutUint64(f[:8], source.Uint64())
			binary.BigEndian.PutUint64(f[8:], source.Uint64())
		}
		if err := a.Add(Observation{Fingerprint: f, Size: 100}); err != nil {
			b.Fatal(err)
		}
	}
}
