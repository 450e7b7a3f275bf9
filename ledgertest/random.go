package ledgertest

import (
	"fmt"
	"math/rand"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/ledger"
)

func randomChecks() []admitCheck {
	return []admitCheck{
		{name: "random work agrees with the model", run: func(tb testing.TB, f AdmitFactory) { randomWork(tb, f, false) }},
		{name: "random work with power loss agrees with the model", on: onFaultyDisk,
			run: func(tb testing.TB, f AdmitFactory) { randomWork(tb, f, true) }},
	}
}

// randomWork lets rapid choose a window, options and a course of calls, clock
// steps, reopens and crashes, and shrinks what disagrees with the model.
func randomWork(tb testing.TB, f AdmitFactory, power bool) {
	for begun, more := time.Now(), true; more; more = time.Since(begun) < patience() && !tb.Failed() {
		rapid.Check(tb, func(rt *rapid.T) {
			w := newWorker(tb, rt, f, power)
			defer func() { _ = w.ledger.Close() }()
			rt.Repeat(w.actions())
		})
	}
}

// worker is a trial whose calls are drawn.
type worker struct {
	*trial
	power   bool
	next    int // a key never drawn before
	placed  map[string][]ledger.Entry
	claims  []hapax.Claim
	claimed map[hapax.Fingerprint]bool
}

func drawWindow(rt *rapid.T) hapax.Window {
	w := hapax.Window{Kind: rapid.SampledFrom([]hapax.WindowKind{hapax.First, hapax.First, hapax.Renewed, hapax.Tumbling}).Draw(rt, "kind")}
	spans := []time.Duration{time.Millisecond, 3 * time.Millisecond, time.Second, 1009 * time.Second, 24 * time.Hour}
	counts := []int64{1, 2, 3, 7, 30, 128, 200}
	shape := rapid.IntRange(0, 7).Draw(rt, "bounds")
	if w.Kind == hapax.Tumbling {
		shape %= 3
	}
	if shape == 0 || shape >= 4 {
		w.Time = rapid.SampledFrom(spans).Draw(rt, "time")
	}
	if shape == 1 || shape >= 4 && shape%2 == 0 {
		w.Count = rapid.SampledFrom(counts).Draw(rt, "count")
	}
	if shape == 2 || shape == 5 || shape == 6 {
		w.Bytes = rapid.SampledFrom([]int64{1, 100, 1000, 20_000}).Draw(rt, "bytes")
	}
	if shape == 3 {
		w.Unbounded = w.Kind == hapax.First
		w.Count = int64(100 * (1 - btoi(w.Unbounded)))
	}
	if w.Time != 0 && rapid.IntRange(0, 3).Draw(rt, "event time") == 0 {
		w.EventTime = true
		w.Skew = rapid.SampledFrom([]time.Duration{0, w.Time / 10, 2 * w.Time}).Draw(rt, "skew")
	}
	return w
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

func newWorker(tb testing.TB, rt *rapid.T, f AdmitFactory, power bool) *worker {
	o := ledger.Options{Window: drawWindow(rt)}
	o.Digests = rapid.Bool().Draw(rt, "digests")
	o.Details = rapid.Bool().Draw(rt, "details")
	return &worker{trial: newTrial(tb, rt, f, o), power: power,
		placed: map[string][]ledger.Entry{}, claimed: map[hapax.Fingerprint]bool{}}
}

func (w *worker) actions() map[string]func(*rapid.T) {
	// Admits are listed more often because they are most of the work.
	actions := map[string]func(*rapid.T){
		"":           func(*rapid.T) { w.agree() },
		"admit":      w.drawAdmit,
		"admit more": w.drawAdmit,
		"read":       w.drawRead,
		"read more":  w.drawRead,
		"read again": w.drawReadAgain,
		"confirm":    w.drawConfirm,
		"pass":       w.drawPass,
		"claim":      w.drawClaim,
		"end":        w.drawEnd,
		"forget":     func(rt *rapid.T) { w.drawForget(rt) },
		"lookup":     func(rt *rapid.T) { w.lookup(w.drawKey(rt)) },
	}
	if w.f.Disk == nil {
		return actions
	}
	actions["reopen"] = func(*rapid.T) { w.reopen() }
	actions["kill"] = func(*rapid.T) { w.kill() }
	if w.power {
		actions["cut power"] = func(rt *rapid.T) {
			w.cutPower(rand.New(rand.NewSource(rapid.Int64().Draw(rt, "seed"))))
		}
	}
	return actions
}

// drawKey is one of a few, one of those drawn lately, or a new one.
func (w *worker) drawKey(rt *rapid.T) hapax.Fingerprint {
	switch n := rapid.IntRange(0, 9).Draw(rt, "key"); {
	case n < 3:
		return key(rapid.IntRange(0, 9).Draw(rt, "of a few"))
	case n < 6 && w.next > 0:
		return key(100 + max(0, w.next-1-rapid.IntRange(0, 250).Draw(rt, "back")))
	case n == 6 && len(w.claims) > 0:
		return rapid.SampledFrom(w.claims).Draw(rt, "claim").Fingerprint
	}
	w.next++
	return key(100 + w.next - 1)
}

func (w *worker) drawEntry(rt *rapid.T) ledger.Entry {
	e := ledger.Entry{Fingerprint: w.drawKey(rt), Size: rapid.Int64Range(0, 60).Draw(rt, "size")}
	if rapid.IntRange(0, 4).Draw(rt, "has digest") > 0 {
		e.Digest = hapax.Digest(rapid.SampledFrom([]int{1, 1, 1, 1, 2}).Draw(rt, "digest"))
	}
	e.Time = w.clock.nanos.Load()
	if span := int64(w.options.Window.Time); span > 0 {
		e.Time += span * rapid.Int64Range(-150, 40).Draw(rt, "hundredths of the window") / 100
	}
	return e
}

func (w *worker) drawAdmit(rt *rapid.T) {
	w.admit(rapid.SliceOfN(rapid.Custom(w.drawEntry), 0, 40).Draw(rt, "entries")...)
}

func drawSource(rt *rapid.T) string {
	return rapid.SampledFrom([]string{"a", "b"}).Draw(rt, "source")
}

// drawRead goes on in a source, perhaps with gaps.
func (w *worker) drawRead(rt *rapid.T) {
	source := drawSource(rt)
	es := rapid.SliceOfN(rapid.Custom(w.drawEntry), 1, 12).Draw(rt, "entries")
	at := int64(0)
	if past := w.placed[source]; len(past) > 0 {
		at = past[len(past)-1].Offset + 1
	}
	for i := range es {
		es[i].Offset = at
		at += rapid.Int64Range(1, 3).Draw(rt, "gap")
	}
	w.placed[source] = append(w.placed[source], es...)
	w.admitFrom(source, append([]ledger.Entry(nil), es...)...)
}

// drawReadAgain reads a source again from some position, as a restarted reader
// does.
func (w *worker) drawReadAgain(rt *rapid.T) {
	source := drawSource(rt)
	past := w.placed[source]
	win := w.options.Window
	if len(past) == 0 || win.Kind == hapax.Renewed && win.Count+win.Bytes != 0 {
		return // whether that is a sight, among how many, is the ledger's to choose
	}
	from := rapid.IntRange(0, len(past)-1).Draw(rt, "from")
	end := min(len(past), from+rapid.IntRange(1, 20).Draw(rt, "entries"))
	w.admitFrom(source, append([]ledger.Entry(nil), past[from:end]...)...)
}

func (w *worker) drawConfirm(rt *rapid.T) {
	source := drawSource(rt)
	past := w.placed[source]
	if len(past) == 0 {
		return
	}
	offset := rapid.SampledFrom(past).Draw(rt, "entry").Offset
	if src := w.model.from[source]; src != nil && src.any && offset < src.confirmed {
		return
	}
	w.confirm(source, offset)
}

func (w *worker) drawPass(rt *rapid.T) {
	span := w.options.Window.Time
	if span == 0 {
		span = time.Minute
	}
	steps := []time.Duration{1, time.Microsecond, time.Millisecond, span / 300, span / 128, span / 10, span / 2,
		span - 1, span, span + span/128 + 1, span + span/64 + 2, 3 * span, 300 * span, 3 * 365 * 24 * time.Hour}
	w.pass(rapid.SampledFrom(steps).Draw(rt, "step"))
}

func (w *worker) drawClaim(rt *rapid.T) {
	if w.options.Window.EventTime {
		return // whether a commit is an event of now is the ledger's to choose
	}
	id := fmt.Sprintf("id-%d", rapid.IntRange(0, 8).Draw(rt, "id"))
	lease := rapid.SampledFrom([]time.Duration{time.Millisecond, time.Second, time.Hour}).Draw(rt, "lease")
	c := w.claim(id, hapax.Digest(rapid.IntRange(0, 2).Draw(rt, "digest")), lease)
	if c.Verdict == hapax.Fresh {
		w.claims = append(w.claims, c)
	}
}

// drawEnd ends a claim given earlier: its holder may be slow, or end it twice.
func (w *worker) drawEnd(rt *rapid.T) {
	if len(w.claims) == 0 {
		return
	}
	c := rapid.SampledFrom(w.claims).Draw(rt, "claim")
	if h := w.model.holds[c.Fingerprint]; h == nil || h.token != c.Token {
		return // the contract's exam covers it
	}
	w.end(c, rapid.Bool().Draw(rt, "commit"))
}

func (w *worker) drawForget(rt *rapid.T) {
	fp := w.drawKey(rt)
	if w.model.holds[fp] == nil {
		w.forget(fp)
	}
}
