package ledgertest

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/ledger"
)

func positionChecks() []admitCheck {
	return []admitCheck{
		{name: "a position met again before it is confirmed is redelivered", run: redelivered},
		{name: "a position that was a duplicate at first is one again", run: duplicateAgain},
		{name: "a position whose message came again as a conflict is one", run: conflictAgain},
		{name: "a position whose message is in flight is told so, and runs later", run: inFlightAgain},
		{name: "a position keeps its verdict, whatever has left the window", run: verdictsStay},
		{name: "a position that was a conflict is one again, and no other is", run: conflictStays},
		{name: "a copy at another position is a duplicate, confirmed or not", run: otherPosition},
		{name: "a confirmed position is done", run: confirmedIsDone},
		{name: "sources do not share positions", run: sourcesApart},
		{name: "an unconfirmed position with another message runs it", run: rewrittenSource},
		{name: "positions without a source mean nothing", run: noSource},
		{name: "positions outlive reopen and crash", on: onDisk, run: positionsOutlive},
		{name: "a restarted reader misses nothing and runs nothing twice", on: onDisk, run: restartedReader},
		{name: "checkpoints are given back", run: checkpoints},
		{name: "checkpoints outlive reopen, crash and power loss", on: onDisk, run: checkpointsOutlive},
	}
}

// placed gives entries consecutive positions from offset on.
func placed(offset int64, ns ...int) []ledger.Entry {
	es := make([]ledger.Entry, len(ns))
	for i, n := range ns {
		es[i] = ledger.Entry{Fingerprint: key(n), Offset: offset + int64(i)}
	}
	return es
}

// read admits keys at consecutive positions and demands their verdicts.
func (t *trial) read(source string, es []ledger.Entry, want ...hapax.Verdict) {
	t.Helper()
	for i, e := range t.admitFrom(source, es...) {
		if w := want[min(i, len(want)-1)]; e.Verdict != w {
			t.Fatalf("position %d of %q: %v, want %v", e.Offset, source, e.Verdict, w)
		}
	}
}

func redelivered(tb testing.TB, f AdmitFactory) {
	t := sit(tb, f, anHour())
	for _, start := range []int64{0, 1000, 1 << 40} {
		source := fmt.Sprint(start)
		n := int(start % 100_000)
		t.read(source, placed(start, n, n+1, n+2), hapax.Fresh)
		t.read(source, placed(start, n, n+1, n+2), hapax.Redelivered)
		t.read(source, placed(start+1, n+1, n+2), hapax.Redelivered)
		t.confirm(source, start)
		t.read(source, placed(start, n, n+1, n+2), hapax.Duplicate, hapax.Redelivered, hapax.Redelivered)
		t.read(source, placed(start+3, n+3), hapax.Fresh)
		t.confirm(source, start+3)
		t.read(source, placed(start, n, n+1, n+2, n+3), hapax.Duplicate)
	}
	t.agree()
}

// duplicateAgain: a redelivery of what was told a duplicate must not run.
func duplicateAgain(tb testing.TB, f AdmitFactory) {
	t := sit(tb, f, anHour())
	F, D, R := hapax.Fresh, hapax.Duplicate, hapax.Redelivered
	t.read("s", placed(0, 1, 2, 1, 3, 2, 1), F, F, D, F, D, D)
	for range 2 {
		t.read("s", placed(0, 1, 2, 1, 3, 2, 1), R, R, D, R, D, D)
	}
	t.confirm("s", 1)
	t.read("s", placed(2, 1, 3, 2, 1), D, R, D, D)
	t.read("s", placed(6, 3, 4), D, F)
	t.read("s", placed(2, 1, 3, 2, 1, 3, 4), D, R, D, D, D, R)
	t.agree()
}

// verdictsStay reads more positions than the window holds, and then all again: the
// window must neither change what they are nor be changed by them.
func verdictsStay(tb testing.TB, f AdmitFactory) {
	for _, w := range []hapax.Window{
		{Count: 10}, {Count: 10, Kind: hapax.Renewed}, {Count: 10, Kind: hapax.Tumbling}, {Bytes: 1000},
		{Time: time.Hour}, {Time: time.Hour, EventTime: true}, {Time: time.Hour, EventTime: true, Kind: hapax.Renewed},
	} {
		t := sit(tb, f, ledger.Options{Window: w, Digests: true})
		var es []ledger.Entry
		for i := range 100 {
			e := ledger.Entry{Fingerprint: key(i - i%5/4), Offset: int64(i), Digest: 7, Size: 100, Time: t.clock.now().UnixNano()}
			es = append(es, t.admitFrom("s", e)...)
			t.pass(2 * time.Minute)
		}
		again := []func(){func() {}, func() {}}
		if f.Disk != nil {
			again = []func(){func() {}, t.reopen, t.kill}
		}
		for _, life := range again {
			life()
			for i, e := range slices.Backward(es) {
				want := hapax.Redelivered
				if i%5 == 4 {
					want = hapax.Duplicate
				}
				t.read("s", []ledger.Entry{e}, want)
			}
		}
		for i := range 5 { // of which the first are other messages where some were met
			e := ledger.Entry{Fingerprint: key(1000 + i), Offset: int64(98 + i), Size: 100, Time: t.clock.now().UnixNano()}
			t.read("s", []ledger.Entry{e}, hapax.Fresh)
		}
		for _, e := range es[90:] {
			t.admit(e) // the oldest have left
		}
		t.agree()
	}
}

// conflictStays: of two payloads under one identity, both of which come twice, the
// first has left the window, and then the second came as a first one. What was told
// of the positions before that stays: a copy that turned into a conflict would run,
// and a conflict that turned into a copy would not.
func conflictStays(tb testing.TB, f AdmitFactory) {
	F, D, R, C := hapax.Fresh, hapax.Duplicate, hapax.Redelivered, hapax.Conflict
	t := sit(tb, f, ledger.Options{Window: hapax.Window{Count: 2}, Digests: true})
	var es []ledger.Entry
	for i, e := range []ledger.Entry{
		{Fingerprint: key(1), Digest: 1}, {Fingerprint: key(1), Digest: 1}, {Fingerprint: key(1), Digest: 2},
		{Fingerprint: key(2), Digest: 1}, {Fingerprint: key(3), Digest: 1}, {Fingerprint: key(4), Digest: 1},
		{Fingerprint: key(1), Digest: 2}, {Fingerprint: key(1), Digest: 1},
	} {
		e.Offset = int64(i)
		es = append(es, e)
	}
	t.read("s", es, F, D, C, F, F, F, F, C)
	again := []func(){func() {}, func() { t.read("s", placed(8, 5, 6, 7), F, F, F, R) }}
	if f.Disk != nil {
		again = append(again, t.reopen, t.kill, t.reopen)
	}
	for _, life := range again {
		life()
		t.read("s", es, R, D, C, R, R, R, R, C)
	}
	t.confirm("s", 6)
	t.read("s", es, D, D, D, D, D, D, D, C)
	t.agree()
}

// fingerprint is what a claim of the id asks about.
func fingerprint(t *trial, id string) hapax.Fingerprint {
	c := t.claim(id, 0, time.Minute)
	t.end(c, false)
	return c.Fingerprint
}

// conflictAgain: an identity has left its window before its position was confirmed,
// and somebody else claims it for another payload.
func conflictAgain(tb testing.TB, f AdmitFactory) {
	o := anHour()
	o.Digests = true
	t := sit(tb, f, o)
	e := ledger.Entry{Fingerprint: fingerprint(t, "order"), Offset: 5, Digest: 1}
	t.read("s", []ledger.Entry{e}, hapax.Fresh)
	t.pass(3 * time.Hour)
	c := t.claim("order", 2, time.Minute)
	t.read("s", []ledger.Entry{e}, hapax.Conflict)
	t.end(c, true)
	t.read("s", []ledger.Entry{e}, hapax.Conflict)
	t.agree()
}

func inFlightAgain(tb testing.TB, f AdmitFactory) {
	t := sit(tb, f, anHour())
	e := ledger.Entry{Fingerprint: fingerprint(t, "order"), Offset: 5}
	t.read("s", []ledger.Entry{e}, hapax.Fresh)
	t.pass(3 * time.Hour)
	c := t.claim("order", 0, time.Minute)
	t.read("s", []ledger.Entry{e}, hapax.InFlight)
	t.end(c, true)
	t.read("s", []ledger.Entry{e}, hapax.Redelivered)
	t.confirm("s", 5)
	t.read("s", []ledger.Entry{e}, hapax.Duplicate)
	t.agree()
}

func otherPosition(tb testing.TB, f AdmitFactory) {
	t := sit(tb, f, anHour())
	t.read("s", placed(0, 1, 2, 3), hapax.Fresh)
	t.read("s", placed(10, 1, 2, 3), hapax.Duplicate)
	t.read("other", placed(0, 1, 2, 3), hapax.Duplicate)
	t.read("other", placed(0, 1, 2, 3), hapax.Duplicate)
	t.all(hapax.Duplicate, 1, 4)
	t.confirm("s", 100)
	t.read("s", placed(101, 1, 2, 3), hapax.Duplicate)
	t.agree()
}

func confirmedIsDone(tb testing.TB, f AdmitFactory) {
	t := sit(tb, f, anHour())
	t.read("s", placed(0, 1, 2, 3), hapax.Fresh)
	t.confirm("s", 2)
	t.read("s", placed(0, 1, 2, 3), hapax.Duplicate)
	t.pass(3 * time.Hour) // the window is over, and the positions are still done
	t.read("s", placed(0, 1, 2, 3), hapax.Duplicate)
	t.read("s", placed(3, 1, 2, 3), hapax.Fresh)
	t.agree()
}

func sourcesApart(tb testing.TB, f AdmitFactory) {
	t := sit(tb, f, anHour())
	for i := range 50 {
		t.read(fmt.Sprintf("topic-%d", i), placed(7, 3*i, 3*i+1, 3*i+2), hapax.Fresh)
	}
	for i := range 50 {
		if i%2 == 0 {
			t.confirm(fmt.Sprintf("topic-%d", i), 8)
		}
	}
	for i := range 50 {
		want := hapax.Redelivered
		if i%2 == 0 {
			want = hapax.Duplicate
		}
		t.read(fmt.Sprintf("topic-%d", i), placed(7, 3*i, 3*i+1, 3*i+2), want, want, hapax.Redelivered)
	}
	t.agree()
}

// rewrittenSource: what was fresh at a position and never confirmed is run, also
// if it is another message now, as in a log that was cut and written anew.
func rewrittenSource(tb testing.TB, f AdmitFactory) {
	t := sit(tb, f, anHour())
	t.read("s", placed(0, 1, 2, 3), hapax.Fresh)
	es := placed(0, 11, 12, 13)
	if err := t.ledger.Admit(t.ctx, &ledger.Batch{Source: "s", Entries: es}); err != nil {
		t.Fatalf("admit: %v", err)
	}
	for _, e := range es {
		if e.Verdict != hapax.Fresh && e.Verdict != hapax.Redelivered {
			t.Errorf("a message never seen, at a position met before: %v, want one that runs it", e.Verdict)
		}
	}
}

func noSource(tb testing.TB, f AdmitFactory) {
	t := sit(tb, f, anHour())
	t.read("", placed(0, 1, 2, 3), hapax.Fresh)
	t.read("", placed(0, 1, 2, 3), hapax.Duplicate)
	t.agree()
}

func positionsOutlive(tb testing.TB, f AdmitFactory) {
	t := sit(tb, f, anHour())
	F, D, R := hapax.Fresh, hapax.Duplicate, hapax.Redelivered
	for i, again := range []func(){t.reopen, t.kill, func() { t.reopen(); t.reopen() }, func() { t.kill(); t.kill() }} {
		source, n := fmt.Sprint(i), 100*i
		t.read(source, placed(5, n, n+1, n, n+2, n+3), F, F, D, F, F)
		t.read(source, placed(10, n+4, n+1), F, D)
		again()
		t.read(source, placed(5, n, n+1, n, n+2, n+3, n+4, n+1), R, R, D, R, R, R, D)
		t.confirm(source, 8)
		again()
		t.read(source, placed(5, n, n+1, n, n+2, n+3, n+4, n+1), D, D, D, D, R, R, D)
		t.read(source, placed(12, n+5, n+5), F, D)
		again()
		t.read(source, placed(9, n+3, n+4, n+1, n+5, n+5, n+6), R, R, D, R, D, F)
		t.confirm(source, 14)
		again()
		t.read(source, placed(9, n+3, n+4, n+1, n+5, n+5, n+6), D)
	}
	t.agree()
}

// restartedReader reads a log with duplicates, confirms now and then, is killed
// now and then, and goes on from its checkpoint. What it ran and confirmed, it
// ran once; what it was told to run, together, is each identity at least once.
func restartedReader(tb testing.TB, f AdmitFactory) {
	t := sit(tb, f, anHour())
	const length, ids = 3000, 1200
	log := make([]int, length)
	for i := range log {
		log[i] = int(mix(uint64(i)) % ids)
	}
	done := map[int]int{} // identity → confirmed runs
	for at, life := 0, 0; at < length; life++ {
		pending := map[int]int{} // identity → runs since the last confirmation
		stop := at + 100 + 37*life%200
		for next := at; next < min(stop, length); {
			end := min(next+1+life%50, length)
			for i, e := range t.admitFrom("log", placed(int64(next), log[next:end]...)...) {
				if e.Verdict == hapax.Fresh || e.Verdict == hapax.Redelivered {
					pending[log[next+i]]++
				}
			}
			next = end
			if life%3 != 0 || next >= length {
				t.confirm("log", int64(next-1))
				for n, runs := range pending {
					done[n] += runs
				}
				clear(pending)
			}
		}
		if life%2 == 0 {
			t.kill()
		} else {
			t.reopen()
		}
		c, ok := t.ledger.Checkpoint("log")
		if !ok {
			at = 0
			continue
		}
		at = int(c.Offset) + 1
	}
	for _, n := range log {
		if done[n] != 1 {
			t.Fatalf("identity %d ran %d times, want once", n, done[n])
		}
	}
}

func (t *trial) wantCheckpoint(want ledger.Checkpoint) {
	t.Helper()
	got, ok := t.ledger.Checkpoint(want.Source)
	if !ok || got.Source != want.Source || got.Offset != want.Offset || !bytes.Equal(got.Note, want.Note) {
		t.Fatalf("checkpoint of %q: %v, %d, %.40q, want %d, %.40q", want.Source, ok, got.Offset, got.Note, want.Offset, want.Note)
	}
}

func (t *trial) confirmNote(c ledger.Checkpoint) {
	t.Helper()
	if err := t.ledger.Confirm(t.ctx, c); err != nil {
		t.Fatalf("confirm: %v", err)
	}
	t.model.Confirmed(c.Source, c.Offset)
}

func checkpoints(tb testing.TB, f AdmitFactory) {
	t := sit(tb, f, anHour())
	if _, ok := t.ledger.Checkpoint("none"); ok {
		t.Errorf("a checkpoint of a source never confirmed")
	}
	note := []byte("note")
	t.confirmNote(ledger.Checkpoint{Source: "a", Offset: 5, Note: note})
	note[0] = 'X' // the slice stays the caller's
	t.wantCheckpoint(ledger.Checkpoint{Source: "a", Offset: 5, Note: []byte("note")})
	largest := bytes.Repeat([]byte{0xA5}, 64<<10)
	t.confirmNote(ledger.Checkpoint{Source: "a", Offset: 6, Note: largest})
	t.wantCheckpoint(ledger.Checkpoint{Source: "a", Offset: 6, Note: largest})
	if err := t.ledger.Confirm(t.ctx, ledger.Checkpoint{Source: "a", Offset: 7, Note: append(largest, 0)}); err == nil {
		t.Errorf("confirm with a note above 64 KiB: no error")
	}
	t.wantCheckpoint(ledger.Checkpoint{Source: "a", Offset: 6, Note: largest})
	t.confirmNote(ledger.Checkpoint{Source: "b", Offset: 0})
	if all := t.ledger.Checkpoints(); len(all) != 2 {
		t.Errorf("%d checkpoints, want 2", len(all))
	}
}

func checkpointsOutlive(tb testing.TB, f AdmitFactory) {
	t := sit(tb, f, anHour())
	rng := seeded(11)
	for i := range 12 {
		a := ledger.Checkpoint{Source: "a", Offset: int64(10 * i), Note: fmt.Appendf(nil, "length %d", i)}
		b := ledger.Checkpoint{Source: fmt.Sprintf("b\x00%d", i), Offset: 1 << 62}
		t.confirmNote(a)
		t.confirmNote(b)
		t.read("a", placed(int64(10*i+1), 100+i), hapax.Fresh) // more than was confirmed
		[]func(){t.reopen, t.kill, func() { t.cutPower(rng) }}[i%3]()
		t.wantCheckpoint(a)
		t.wantCheckpoint(b)
	}
	t.pass(48 * time.Hour) // all files of the window are gone, the checkpoints stay
	t.all(hapax.Fresh, 0, 10)
	t.reopen()
	t.wantCheckpoint(ledger.Checkpoint{Source: "a", Offset: 110, Note: []byte("length 11")})
	t.wantCheckpoint(ledger.Checkpoint{Source: "b\x003", Offset: 1 << 62})
}
