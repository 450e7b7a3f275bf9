package ledgertest

import (
	"encoding/binary"
	"testing"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/ledger"
)

func keyChecks() []admitCheck {
	return []admitCheck{
		{name: "all 128 bits decide", run: everyByteDecides},
		{name: "no fingerprint is special", run: specialKeys},
		{name: "keys that share half their bytes are told apart", run: crowdedKeys},
	}
}

// everyByteDecides plants keys that differ in one byte only, at each of the
// sixteen places, with each value.
func everyByteDecides(tb testing.TB, f AdmitFactory) {
	t := sit(tb, f, anHour())
	for base := range 3 {
		origin := key(base)
		t.admit(ledger.Entry{Fingerprint: origin})
		for at := range origin {
			var es []ledger.Entry
			for flip := 1; flip < 256; flip++ {
				near := origin
				near[at] ^= byte(flip)
				es = append(es, ledger.Entry{Fingerprint: near})
			}
			for i, e := range t.admit(es...) {
				if e.Verdict != hapax.Fresh {
					t.Fatalf("a key that differs in byte %d (xor %#x) is %v", at, i+1, e.Verdict)
				}
			}
			t.admit(es...) // and now all are duplicates
		}
	}
	if f.Disk != nil {
		t.reopen()
	}
	t.agree()
}

// specialKeys: an empty place or a sentinel must not look like a key.
func specialKeys(tb testing.TB, f AdmitFactory) {
	t := sit(tb, f, anHour())
	var es []ledger.Entry
	for _, fill := range []byte{0x00, 0x01, 0x7F, 0x80, 0xFE, 0xFF} {
		var fp hapax.Fingerprint
		for i := range fp {
			fp[i] = fill
		}
		es = append(es, ledger.Entry{Fingerprint: fp})
		for _, at := range []int{0, 1, 7, 8, 14, 15} {
			one := fp
			one[at] ^= 1
			if fill != 0x00 && fill != 0x01 {
				es = append(es, ledger.Entry{Fingerprint: one})
			}
		}
	}
	for _, e := range t.admit(es...) {
		if e.Verdict != hapax.Fresh {
			t.Fatalf("%v is %v at first sight", e.Fingerprint, e.Verdict)
		}
	}
	t.admit(es...)
	for _, e := range es {
		if _, found := t.lookup(e.Fingerprint); !found {
			t.Fatalf("%v is not found", e.Fingerprint)
		}
	}
	if f.Disk != nil {
		t.reopen()
		t.admit(es...)
	}
	t.agree()
}

// crowdedKeys fill one neighbourhood many times over: keys of one shard and one
// home, which no keyed hash would make. They may be slow, and must be right.
func crowdedKeys(tb testing.TB, f AdmitFactory) {
	const n = 3000
	shapes := map[string]func(fp *hapax.Fingerprint, i uint64){
		"same first half":  func(fp *hapax.Fingerprint, i uint64) { binary.BigEndian.PutUint64(fp[8:], i) },
		"same first nine":  func(fp *hapax.Fingerprint, i uint64) { binary.BigEndian.PutUint32(fp[12:], uint32(i)) },
		"same second half": func(fp *hapax.Fingerprint, i uint64) { binary.BigEndian.PutUint64(fp[:8], i) },
		"same shard":       func(fp *hapax.Fingerprint, i uint64) { binary.LittleEndian.PutUint64(fp[1:], i) },
		"same but shard and last": func(fp *hapax.Fingerprint, i uint64) {
			fp[0], fp[15] = byte(i), byte(i>>8)
		},
	}
	for name, shape := range shapes {
		t := sit(tb, f, anHour())
		es := make([]ledger.Entry, n)
		for i := range es {
			es[i].Fingerprint = key(1)
			shape(&es[i].Fingerprint, uint64(i))
		}
		for at := 0; at < n; at += 500 {
			for _, e := range t.admit(es[at : at+500]...) {
				if e.Verdict != hapax.Fresh {
					t.Fatalf("%s: %v is %v at first sight", name, e.Fingerprint, e.Verdict)
				}
			}
		}
		t.all(hapax.Fresh, 10_000, 12_000) // others beside them
		t.admit(es...)
		if f.Disk != nil {
			t.reopen()
			t.admit(es...)
		}
		t.all(hapax.Duplicate, 10_000, 12_000)
		t.agree()
	}
}
