package window

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/hapaxmq/hapax"
)

func newSequences(t testing.TB, r SequenceRules) *Sequences {
	t.Helper()
	if r.Producers == 0 {
		r.Producers = 1 << 20
	}
	if err := r.Validate(); err != nil {
		t.Fatal(err)
	}
	var words []uint64
	return NewSequences(r, func(n int) ([]uint64, error) {
		if n > r.Words() {
			t.Fatalf("asked for %d words, at most %d", n, r.Words())
		}
		words = append(words, make([]uint64, n-len(words))...)
		return words, nil
	}, true)
}

// naive is what Sequences must do, in the plainest way.
type naive struct {
	disorder uint64
	rows     map[hapax.Fingerprint]*naiveRow
}

type naiveRow struct {
	epoch uint32
	first uint64
	top   uint64
	came  map[uint64]bool
}

func (m *naive) admit(f hapax.Fingerprint, epoch uint32, number uint64) (hapax.Verdict, error) {
	r := m.rows[f]
	switch {
	case r == nil || epoch > r.epoch:
		m.rows[f] = &naiveRow{epoch, number, number, map[uint64]bool{number: true}}
		return hapax.Fresh, nil
	case epoch < r.epoch:
		return hapax.Stale, nil
	case m.disorder == 0 && number > r.top && number != r.top+1:
		return 0, ErrGap
	case m.disorder == 0 && number < r.first:
		return hapax.Stale, nil
	case m.disorder != 0 && number <= r.top && r.top-number >= m.disorder:
		return hapax.Stale, nil
	case r.came[number]:
		return hapax.Duplicate, nil
	}
	r.came[number] = true
	r.top = max(r.top, number)
	return hapax.Fresh, nil
}

// number draws one near the highest of its producer, or far from it.
func (m *naive) number(r *rand.Rand, f hapax.Fingerprint) (epoch uint32, number uint64) {
	row := m.rows[f]
	if row == nil {
		return r.Uint32N(3), []uint64{0, 1, 1000, math.MaxUint64 - 200, math.MaxUint64, r.Uint64()}[r.IntN(6)]
	}
	epoch = row.epoch
	switch r.IntN(50) {
	case 0:
		epoch += r.Uint32N(2)
	case 1:
		epoch -= min(epoch, 1)
	}
	near := max(m.disorder, 4)
	switch r.IntN(40) {
	case 0:
		return epoch, r.Uint64()
	case 1:
		return epoch, row.top + near - 1 + r.Uint64N(3) // may wrap: any number will do
	case 2:
		return epoch, row.top - near + r.Uint64N(3)
	case 3:
		return epoch, []uint64{0, math.MaxUint64}[r.IntN(2)]
	}
	if r.IntN(2) == 0 {
		return epoch, row.top + 1
	}
	return epoch, row.top + near/2 - r.Uint64N(2*near)
}

func TestSequencesAgreeWithNaive(t *testing.T) {
	for _, disorder := range []int{0, 64, 128, 1024, MaxDisorder} {
		t.Run(fmt.Sprint(disorder), func(t *testing.T) {
			r := rand.New(rand.NewPCG(7, uint64(disorder)))
			s := newSequences(t, SequenceRules{Disorder: disorder})
			m := &naive{uint64(disorder), map[hapax.Fingerprint]*naiveRow{}}
			copied := newSequences(t, SequenceRules{Disorder: disorder})
			producers := make([]hapax.Fingerprint, 40)
			for i := range producers {
				producers[i] = randomFingerprint(r)
			}
			got := map[hapax.Verdict]int{}
			for op := range 60_000 {
				f := producers[r.IntN(len(producers))]
				epoch, number := m.number(r, f)
				want, wantErr := m.admit(f, epoch, number)
				v, err := s.Admit(s.Key(f), epoch, number)
				if v != want || !errors.Is(err, wantErr) {
					t.Fatalf("op %d: epoch %d number %d: got %v %v, want %v %v", op, epoch, number, v, err, want, wantErr)
				}
				got[v]++
				if op%100 == 0 {
					carry(t, s, copied)
				}
			}
			carry(t, s, copied)
			same(t, s, copied)
			for _, v := range []hapax.Verdict{hapax.Fresh, hapax.Duplicate, hapax.Stale} {
				if got[v] < 500 {
					t.Errorf("only %d were %v", got[v], v)
				}
			}
		})
	}
}

// What Changed was not asked for any more it yields the next time.
func TestSequencesChangedResumes(t *testing.T) {
	s := newSequences(t, SequenceRules{Disorder: 64})
	for i := range byte(3) {
		_, _ = s.Admit(s.Key(hapax.Fingerprint{i}), 0, 1)
		_, _ = s.Admit(s.Key(hapax.Fingerprint{i}), 0, 2)
	}
	for p := range s.Changed {
		if p.Highest != 2 {
			t.Fatal(p)
		}
		break
	}
	if n := len(slices.Collect(s.Changed)); n != 2 {
		t.Fatalf("%d are left, want 2", n)
	}
	if n := len(slices.Collect(s.Changed)); n != 0 {
		t.Fatalf("%d are left, want none", n)
	}
}

// carry brings what changed in s to another.
func carry(t *testing.T, s, to *Sequences) {
	t.Helper()
	for p := range s.Changed {
		if err := to.Restore(p); err != nil {
			t.Fatal(err)
		}
	}
}

func same(t *testing.T, a, b *Sequences) {
	t.Helper()
	all := func(s *Sequences) map[hapax.Fingerprint]string {
		rows := map[hapax.Fingerprint]string{}
		for p := range s.All {
			rows[p.Fingerprint] = fmt.Sprint(p)
		}
		return rows
	}
	if got, want := all(b), all(a); !maps.Equal(got, want) {
		t.Fatalf("got %v, want %v", got, want)
	}
}

func TestSequenceEdges(t *testing.T) {
	const top = math.MaxUint64
	type step struct {
		epoch  uint32
		number uint64
		want   hapax.Verdict // 0: a gap
	}
	for _, c := range []struct {
		name     string
		disorder int
		steps    []step
	}{
		{"begins at 0", 64, []step{{0, 0, hapax.Fresh}, {0, 0, hapax.Duplicate}, {0, top, hapax.Fresh}, {0, 0, hapax.Stale}}},
		{"begins at the last", 64, []step{{0, top, hapax.Fresh}, {0, top, hapax.Duplicate}, {0, top - 63, hapax.Fresh}, {0, top - 64, hapax.Stale}, {0, 0, hapax.Stale}}},
		{"no wrap", 64, []step{{0, top, hapax.Fresh}, {0, 1, hapax.Stale}, {1, 0, hapax.Fresh}, {1, top, hapax.Fresh}}},
		{"edge of the window", 64, []step{{0, 0, hapax.Fresh}, {0, 63, hapax.Fresh}, {0, 0, hapax.Duplicate}, {0, 64, hapax.Fresh}, {0, 0, hapax.Stale}, {0, 1, hapax.Fresh}, {0, 1, hapax.Duplicate}}},
		{"a jump of the window", 64, []step{{0, 5, hapax.Fresh}, {0, 69, hapax.Fresh}, {0, 6, hapax.Fresh}, {0, 5, hapax.Stale}, {0, 68, hapax.Fresh}}},
		{"before the first", 64, []step{{0, 100, hapax.Fresh}, {0, 99, hapax.Fresh}, {0, 99, hapax.Duplicate}, {0, 36, hapax.Stale}}},
		{"epochs", 64, []step{{3, 10, hapax.Fresh}, {2, 11, hapax.Stale}, {4, 10, hapax.Fresh}, {3, 12, hapax.Stale}, {math.MaxUint32, 0, hapax.Fresh}, {4, 11, hapax.Stale}}},
		{"strict", 0, []step{{0, 7, hapax.Fresh}, {0, 9, 0}, {0, 8, hapax.Fresh}, {0, 9, hapax.Fresh}, {0, 7, hapax.Duplicate}, {0, 9, hapax.Duplicate}, {0, 6, hapax.Stale}, {0, 11, 0}}},
		{"strict at the last", 0, []step{{0, top - 1, hapax.Fresh}, {0, top, hapax.Fresh}, {0, top, hapax.Duplicate}, {0, 0, hapax.Stale}, {1, 0, hapax.Fresh}, {1, top, 0}}},
		{"strict epochs", 0, []step{{1, 7, hapax.Fresh}, {0, 8, hapax.Stale}, {2, 0, hapax.Fresh}, {2, 2, 0}, {2, 1, hapax.Fresh}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSequences(t, SequenceRules{Disorder: c.disorder})
			for i, st := range c.steps {
				v, err := s.Admit(s.Key(hapax.Fingerprint{9}), st.epoch, st.number)
				if v != st.want || (v == 0) != errors.Is(err, ErrGap) {
					t.Fatalf("step %d: epoch %d number %d: got %v %v, want %v", i, st.epoch, st.number, v, err, st.want)
				}
			}
		})
	}
}

func TestSequenceArithmetic(t *testing.T) {
	for _, c := range []struct {
		top, number, distance uint64
		ahead                 bool
	}{
		{0, 0, 0, false},
		{0, 1, 1, true},
		{1, 0, 1, false},
		{0, math.MaxUint64, math.MaxUint64, true},
		{math.MaxUint64, 0, math.MaxUint64, false},
		{math.MaxUint64, math.MaxUint64, 0, false},
	} {
		if d, ahead := relate(c.top, c.number); d != c.distance || ahead != c.ahead {
			t.Errorf("from %d to %d: got %d %v", c.top, c.number, d, ahead)
		}
	}
}

// Rows are found while the index grows, and take at most 52 bytes at every size.
func TestSequencesGrow(t *testing.T) {
	const n = 150_000
	s := newSequences(t, SequenceRules{Disorder: 64, Producers: n})
	r := rand.New(rand.NewPCG(8, 9))
	producers := make([]hapax.Fingerprint, n)
	for i := range producers {
		producers[i] = randomFingerprint(r)
		if v, err := s.Admit(s.Key(producers[i]), 1, uint64(i)); v != hapax.Fresh || err != nil {
			t.Fatal(i, v, err)
		}
		if i > n/10 && i%1000 == 0 && s.Bytes() > int64(52*i) {
			t.Fatalf("%d producers take %d bytes", i, s.Bytes())
		}
	}
	if v, err := s.Admit(s.Key(randomFingerprint(r)), 0, 0); v != 0 || !errors.Is(err, ErrProducers) {
		t.Fatal(v, err)
	}
	for i, f := range producers {
		if p, ok := s.Get(f); !ok || p.Fingerprint != f || p.Highest != uint64(i) {
			t.Fatal(i, p, ok)
		}
	}
	if got := len(slices.Collect(s.All)); got != n || s.Len() != n {
		t.Fatal(got, s.Len())
	}
}

// crowding gives fingerprints that all want the last row of one shard.
func crowding(i int) hapax.Fingerprint {
	return hapax.Fingerprint{1, 6: byte(i >> 8), 7: byte(i), 8: 255, 9: 255, 10: 255, 11: 255}
}

// Fingerprints that are no hashes are refused before they take memory for ever.
func TestSequencesCrowded(t *testing.T) {
	s := newSequences(t, SequenceRules{Disorder: 64, Producers: 1000})
	for i := range 1000 {
		f := crowding(i)
		if _, err := s.Admit(s.Key(f), 0, 0); err != nil {
			if !errors.Is(err, ErrCrowded) || s.Bytes() > 1<<20 {
				t.Fatal(err, s.Bytes())
			}
			for j := range i {
				if v, err := s.Admit(s.Key(crowding(j)), 0, 0); v != hapax.Duplicate || err != nil {
					t.Fatal(j, v, err)
				}
			}
			return
		}
	}
	t.Fatal("all found room")
}

func TestSequencesForgetIdleOnly(t *testing.T) {
	const idle = 256 * time.Second
	s := newSequences(t, SequenceRules{Disorder: 64, Producers: 100, Idle: idle})
	r := rand.New(rand.NewPCG(1, 1))
	now := int64(1_700_000_000_999_999_999)
	idler, worker := randomFingerprint(r), randomFingerprint(r)
	admit := func(f hapax.Fingerprint, number uint64, want hapax.Verdict) {
		t.Helper()
		s.Advance(now)
		if v, err := s.Admit(s.Key(f), 0, number); v != want || err != nil {
			t.Fatalf("got %v %v, want %v", v, err, want)
		}
	}
	admit(idler, 5, hapax.Fresh)
	admit(worker, 5, hapax.Fresh)
	now += int64(idle)
	admit(worker, 5, hapax.Duplicate) // a copy keeps its producer alive too
	admit(idler, 5, hapax.Duplicate)
	now += int64(idle)
	admit(worker, 5, hapax.Duplicate)
	now += int64(idle/128 + 2*time.Second)
	s.Advance(now)
	if _, ok := s.Get(idler); ok {
		t.Fatal("the idle one is still there")
	}
	admit(idler, 2, hapax.Fresh)
	admit(worker, 5, hapax.Duplicate)
	now -= int64(time.Hour) // the clock goes back
	admit(worker, 5, hapax.Duplicate)
	if s.Len() != 2 {
		t.Fatal(s.Len())
	}
}

// A set that is full takes new producers as soon as old ones are idle, and a
// sweep forgets the idle ones and no others.
func TestSequencesMakeRoom(t *testing.T) {
	s := newSequences(t, SequenceRules{Producers: 3000, Idle: time.Minute})
	r := rand.New(rand.NewPCG(2, 3))
	producers := make([]hapax.Fingerprint, 6000)
	for i := range producers {
		producers[i] = randomFingerprint(r)
	}
	s.Advance(0)
	for _, f := range producers[:3000] {
		if _, err := s.Admit(s.Key(f), 0, 1); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Admit(s.Key(producers[3000]), 0, 1); !errors.Is(err, ErrProducers) {
		t.Fatal(err)
	}
	s.Advance(int64(50 * time.Second))
	for _, f := range producers[:1000] {
		if v, err := s.Admit(s.Key(f), 0, 1); v != hapax.Duplicate || err != nil {
			t.Fatal(v, err)
		}
	}
	s.Advance(int64(70 * time.Second))
	for _, f := range producers[3000:5000] {
		if v, err := s.Admit(s.Key(f), 0, 1); v != hapax.Fresh || err != nil {
			t.Fatal(v, err)
		}
	}
	if _, err := s.Admit(s.Key(producers[5000]), 0, 1); !errors.Is(err, ErrProducers) {
		t.Fatal(err)
	}
	for _, f := range slices.Concat(producers[:1000], producers[3000:5000]) {
		if v, err := s.Admit(s.Key(f), 0, 1); v != hapax.Duplicate || err != nil {
			t.Fatal(v, err)
		}
	}
	s.Advance(int64(time.Hour))
	s.Sweep(1 << 20)
	if s.Len() != 0 {
		t.Fatal(s.Len())
	}
}

func TestRestoreRefusesNonsense(t *testing.T) {
	for disorder, bad := range map[int][]Producer{
		0:   {{Highest: 4, Numbers: []uint64{5}}, {Highest: 4}},
		128: {{Highest: 4, Numbers: []uint64{0, 0}}, {Highest: 4, Numbers: []uint64{1 << 4}}, {Highest: 70, Numbers: []uint64{1 << 6, 0}}},
	} {
		s := newSequences(t, SequenceRules{Disorder: disorder})
		for _, p := range bad {
			if err := s.Restore(p); !errors.Is(err, hapax.ErrCorrupt) {
				t.Errorf("%+v: %v", p, err)
			}
		}
	}
}

func TestSequenceRules(t *testing.T) {
	for _, c := range []struct {
		rules SequenceRules
		ok    bool
	}{
		{SequenceRules{Producers: 1}, true},
		{SequenceRules{Producers: 1, Disorder: 64, Idle: time.Second}, true},
		{SequenceRules{Producers: 1, Disorder: MaxDisorder, Idle: MaxIdle}, true},
		{SequenceRules{}, false},
		{SequenceRules{Producers: MaxProducers + 1}, false},
		{SequenceRules{Producers: 1, Disorder: 32}, false},
		{SequenceRules{Producers: 1, Disorder: 96}, false},
		{SequenceRules{Producers: 1, Disorder: -64}, false},
		{SequenceRules{Producers: 1, Disorder: 2 * MaxDisorder}, false},
		{SequenceRules{Producers: 1, Idle: time.Millisecond}, false},
		{SequenceRules{Producers: 1, Idle: -1}, false},
		{SequenceRules{Producers: 1, Idle: MaxIdle + 1}, false},
	} {
		if err := c.rules.Validate(); (err == nil) != c.ok {
			t.Errorf("%+v: %v", c.rules, err)
		}
	}
}

func BenchmarkSequences(b *testing.B) {
	for _, producers := range []int{1000, 1_000_000} {
		b.Run(fmt.Sprint(producers), func(b *testing.B) {
			s := newSequences(b, SequenceRules{Disorder: 64, Producers: producers})
			r := rand.New(rand.NewPCG(4, 4))
			keys := make([]hapax.Fingerprint, producers)
			next := make([]uint64, producers)
			for i := range keys {
				keys[i] = randomFingerprint(r)
				_, _ = s.Admit(s.Key(keys[i]), 0, 0)
			}
			s.track = false
			b.ReportMetric(float64(s.Bytes())/float64(producers), "B/producer")
			type message struct {
				producer hapax.Fingerprint
				number   uint64
			}
			messages := make([]message, 1<<20)
			var batch [256]ProducerKey
			i := len(messages)
			for b.Loop() {
				if i == len(messages) {
					b.StopTimer()
					i = 0
					for j := range messages {
						n := r.Uint64N(uint64(producers))
						next[n]++
						messages[j] = message{keys[n], next[n]}
					}
					b.StartTimer()
				}
				if i%256 == 0 {
					for j := range batch {
						batch[j] = s.Key(messages[i+j].producer)
					}
					s.Seek(batch[:])
				}
				if v, _ := s.Admit(batch[i%256], 0, messages[i].number); v != hapax.Fresh {
					b.Fatal(v)
				}
				i++
			}
		})
	}
}
