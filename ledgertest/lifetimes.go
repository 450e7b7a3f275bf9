package ledgertest

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/ledger"
)

func longChecks() []admitCheck {
	return []admitCheck{
		{name: "growth from one key to many loses none", run: growth},
		{name: "over 1000 generations there is no ghost and no slow-down", run: generations},
		{name: "idle years let everything go and nothing else", run: idleYears},
		{name: "a live set that shrinks and grows stays exact", run: tides},
	}
}

// growth asks for old keys at every size, so also amid each step of growth.
func growth(tb testing.TB, f AdmitFactory) {
	most := 200_000
	if torture() {
		most = 5_000_000
	}
	t := sit(tb, f, anHour())
	rng := rand.New(rand.NewPCG(1, 2))
	for n := 0; n < most; {
		step := 1 + n/16
		if step > 5000 {
			step = 5000
		}
		t.all(hapax.Fresh, n, n+step)
		n += step
		asked := make([]ledger.Entry, min(n, 500))
		for i := range asked {
			asked[i].Fingerprint = key(rng.IntN(n))
		}
		for _, e := range t.admit(asked...) {
			if e.Verdict != hapax.Duplicate {
				t.Fatalf("at %d keys one is %v, want duplicate", n, e.Verdict)
			}
		}
		if n >= most {
			t.all(hapax.Duplicate, 0, n)
		}
	}
	t.agree()
}

// generations keeps the live set constant while its generations' numbers go
// round many times. An expired entry never looks live again, and the table
// stays as large and as fast as it was.
func generations(tb testing.TB, f AdmitFactory) {
	const w, perStep, step = time.Hour, 20, time.Hour / 128
	rounds := 1200
	if torture() {
		rounds = 20_000
	}
	t := sit(tb, f, ledger.Options{Window: hapax.Window{Time: w}})
	const inside, outside = 127 * perStep, 131 * perStep
	var memory int64
	var times []time.Duration // that each of 60 spells of rounds took
	began := time.Now()
	for round := range rounds {
		n := round * perStep
		if round > 0 && round%(rounds/60) == 0 {
			times = append(times, time.Since(began))
			began = time.Now()
		}
		if round == rounds*2/6 {
			memory = t.ledger.Stats().Memory
		}
		t.all(hapax.Fresh, n, n+perStep)
		if n > inside {
			t.all(hapax.Duplicate, n-inside, n-inside+3)
		}
		for back := outside; back <= n && back < outside+6*perStep; back += perStep {
			if _, found := t.lookup(key(n - back)); found {
				t.Fatalf("round %d: a key of %d rounds before is found", round, back/perStep)
			}
		}
		t.pass(step)
		t.prune()
	}
	t.agree()
	if now := t.ledger.Stats().Memory; now > 2*memory+1<<16 {
		t.Errorf("%d bytes of memory, were %d with as many live keys", now, memory)
	}
	// The shortest spells, as other work of the machine makes some longer.
	if first, last := slices.Min(times[10:20]), slices.Min(times[50:]); last > 5*first+50*time.Millisecond {
		t.Errorf("%v for what took %v earlier", last, first)
	}
}

// prune lets the model forget what has left the window for good.
func (t *trial) prune() {
	for fp := range t.model.known {
		if t.options.Window.Kind != hapax.Renewed && t.model.Recall(fp) == Gone {
			delete(t.model.known, fp)
		}
	}
}

func idleYears(tb testing.TB, f AdmitFactory) {
	for _, kind := range []hapax.WindowKind{hapax.First, hapax.Renewed, hapax.Tumbling} {
		t := sit(tb, f, ledger.Options{Window: hapax.Window{Time: time.Minute, Kind: kind}})
		for i, idle := range []time.Duration{time.Hour, 24 * time.Hour, 365 * 24 * time.Hour, 50 * 365 * 24 * time.Hour} {
			t.all(hapax.Fresh, 0, 500)
			t.all(hapax.Duplicate, 0, 500)
			if f.Disk != nil && i%2 == 0 {
				t.reopen()
				t.all(hapax.Duplicate, 0, 500)
			}
			t.pass(idle)
			if f.Disk != nil && i%2 == 1 {
				t.reopen()
			}
		}
		t.all(hapax.Fresh, 0, 500)
		t.agree()
	}
}

// tides: bursts and lulls, so that expired and live entries share every line.
func tides(tb testing.TB, f AdmitFactory) {
	const w = time.Hour
	t := sit(tb, f, ledger.Options{Window: hapax.Window{Time: w}})
	next := 0
	for round, burst := range []int{10, 5000, 10, 10, 20_000, 100, 1, 1, 5000, 20_000, 10, 3000} {
		t.all(hapax.Fresh, next, next+burst)
		t.all(hapax.Duplicate, next, next+min(burst, 2000))
		next += burst
		t.pass(w / 5)
		if f.Disk != nil && round%4 == 3 {
			t.reopen()
		}
		t.agree()
		t.prune()
	}
}
