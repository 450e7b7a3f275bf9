package identity

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"testing"

	"pgregory.net/rapid"

	"github.com/hapaxmq/hapax"
)

func secret() (s [16]byte) {
	for i := range s {
		s[i] = byte(i)
	}
	return s
}

// TestFingerprint compares with the reference's vectors for SipHash-2-4-128, of
// key 00 … 0f and input 00 … n-1. The reference writes each word little-endian.
func TestFingerprint(t *testing.T) {
	h := NewHasher(secret())
	for n, reference := range map[int]string{
		0:  "a3817f04ba25a8e66df67214c7550293",
		1:  "da87c1d86b99af44347659119b22fc45",
		15: "5493e99933b0a8117e08ec0f97cfc3d9",
		63: "5150d1772f50834a503e069a973fbd7c",
	} {
		input := make([]byte, n)
		for i := range input {
			input[i] = byte(i)
		}
		want, _ := hex.DecodeString(reference)
		reverse(want[:8])
		reverse(want[8:])
		got := h.Fingerprint(input)
		if !bytes.Equal(got[:], want) {
			t.Errorf("%d bytes: %v, want %x", n, got, want)
		}
	}
}

func reverse(b []byte) {
	for i, j := 0, len(b)-1; i < j; i, j = i+1, j-1 {
		b[i], b[j] = b[j], b[i]
	}
}

func TestScoped(t *testing.T) {
	h := NewHasher(secret())
	seen := make(map[hapax.Fingerprint]string)
	for _, pair := range [][2]string{{"", ""}, {"", "a"}, {"a", ""}, {"a", "bc"}, {"ab", "c"}, {"abc", ""}, {"", "abc"}} {
		f := h.Scoped(hapax.Scope(pair[0])).Fingerprint([]byte(pair[1]))
		if other, ok := seen[f]; ok {
			t.Errorf("%q and %s are one", pair, other)
		}
		seen[f] = pair[0] + "/" + pair[1]
	}
	if h.Scoped("") == h {
		t.Error("the empty scope is no scope")
	}
	if h.Scoped("orders") == NewHasher([16]byte{}).Scoped("orders") {
		t.Error("the secret does not count")
	}
	// Stores keep fingerprints: this one never changes.
	if got := h.Scoped("orders").Fingerprint([]byte("42")).String(); got != goldenFingerprint {
		t.Errorf("fingerprint of orders, 42 is %s, want %s", got, goldenFingerprint)
	}
}

func TestDigest(t *testing.T) {
	h := NewHasher(secret())
	digest := func(payload string) hapax.Digest {
		d, _ := h.Digest(nil, []byte(payload))
		if d == 0 {
			t.Errorf("digest of %q is zero", payload)
		}
		return d
	}
	if digest(`{"b":1,"a":"x"}`) != digest(` { "a" : "\u0078", "b" : 1.0 }`) {
		t.Error("a digest depends on how JSON is written")
	}
	distinct := make(map[hapax.Digest]bool)
	payloads := []string{"", "x", `"x"`, "1", `"1"`, `{"a":1}`, `{"a":1,"a":1}`, `{"a":1} ` + "\x00", `{"a":`, "null"}
	for _, p := range payloads {
		distinct[digest(p)] = true
	}
	if len(distinct) != len(payloads) {
		t.Errorf("%d digests of %d payloads", len(distinct), len(payloads))
	}
}

func TestHasherAllocs(t *testing.T) {
	if racing {
		t.Skip("a sync.Pool forgets under the race detector")
	}
	h, text, id := NewHasher(secret()), payload(t), []byte("72d3162e-cc78-11e3-81ab-4c9367dc0958")
	var scratch []byte
	var sum [sha256.Size]byte
	for name, f := range map[string]func(){
		"Scoped":      func() { h = h.Scoped("orders/eu-west/tenant 4711/handler of invoices") },
		"Fingerprint": func() { sinkF = h.Fingerprint(id) },
		"Digest":      func() { _, scratch = h.Digest(scratch, text) },
		"raw Digest":  func() { _, scratch = h.Digest(scratch, id) },
		"SharedKey":   func() { sum = SharedKey("orders", id) },
	} {
		if n := testing.AllocsPerRun(100, f); n != 0 {
			t.Errorf("%s: %v allocations, want none", name, n)
		}
	}
	_ = sum
}

// TestSharedKey: in a shared store, too, only equal pairs are equal.
func TestSharedKey(t *testing.T) {
	if got, want := AppendShared([]byte("."), "ab", hapax.Identity("c")), ".\x00\x00\x00\x00\x00\x00\x00\x02ab\x00\x00\x00\x00\x00\x00\x00\x01c"; string(got) != want {
		t.Errorf("AppendShared = %q, want %q", got, want)
	}
	rapid.Check(t, func(t *rapid.T) {
		texts := rapid.SliceOfN(rapid.StringMatching("[ab\x00]{0,3}"), 4, 4).Draw(t, "texts")
		equal := texts[0] == texts[2] && texts[1] == texts[3]
		a := SharedKey(hapax.Scope(texts[0]), hapax.Identity(texts[1]))
		b := SharedKey(hapax.Scope(texts[2]), hapax.Identity(texts[3]))
		if (a == b) != equal {
			t.Fatalf("%q: equal keys = %v", texts, a == b)
		}
	})
}

func TestChildID(t *testing.T) {
	id := ChildID(hapax.Identity("\x03\"order-1\""), "invoice")
	if id != goldenChild {
		t.Errorf("ChildID = %s, want %s", id, goldenChild)
	}
	for _, other := range []string{
		ChildID(hapax.Identity("\x03\"order-1\""), "invoice2"),
		ChildID(hapax.Identity("\x03\"order-2\""), "invoice"),
		ChildID(hapax.Identity(id), "invoice"),
		ChildID(nil, ""),
	} {
		if other == id || len(other) != 43 {
			t.Errorf("ChildID = %s", other)
		}
	}
}

const (
	goldenFingerprint = "f7663baa2715f976be6d2d9f3c423bda"
	goldenChild       = "67Lc1qQmNOSr--sTAZbcw8cX7Z48S-ai2J3tisYlgK4"
)
