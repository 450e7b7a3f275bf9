package identity

import (
	"os"
	"testing"

	"github.com/dchest/siphash"

	"github.com/hapaxmq/hapax"
)

func payload(tb testing.TB) []byte {
	tb.Helper()
	b, err := os.ReadFile("testdata/push.json")
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

func BenchmarkScan(b *testing.B) {
	text := payload(b)
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		s := scanner{text: text}
		if !s.valid() {
			b.Fatal(s.fault.err())
		}
	}
}

func BenchmarkCanonical(b *testing.B) {
	text := payload(b)
	sorted, err := AppendCanonical(nil, text)
	if err != nil {
		b.Fatal(err)
	}
	for name, text := range map[string][]byte{"unsorted": text, "sorted": sorted} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			var out []byte
			for b.Loop() {
				out, _ = AppendCanonical(out[:0], text)
			}
		})
	}
}

func BenchmarkAppend(b *testing.B) {
	m := &hapax.Message{Key: []byte("72d3162e-cc78-11e3-81ab-4c9367dc0958"), Value: payload(b)}
	for _, spec := range []string{
		"key", "json:id", "json:repository.id,head_commit.id", "content", "content:-head_commit.timestamp", "content:+ref,after",
		"sequence:repository.name,repository.id",
	} {
		x := mustParse(b, spec)
		b.Run(spec, func(b *testing.B) {
			b.SetBytes(int64(len(m.Value)))
			b.ReportAllocs()
			var id []byte
			for b.Loop() {
				id, _ = x.Append(id[:0], m)
			}
		})
	}
}

func BenchmarkDigest(b *testing.B) {
	text := payload(b)
	h := NewHasher([16]byte{1, 2, 3})
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	var scratch []byte
	for b.Loop() {
		_, scratch = h.Digest(scratch, text)
	}
}

var (
	sinkA, sinkB uint64
	sinkF        hapax.Fingerprint
)

func BenchmarkFingerprint(b *testing.B) {
	id := []byte("72d3162e-cc78-11e3-81ab-4c9367dc0958")
	h := NewHasher([16]byte{1, 2, 3}).Scoped("orders")
	b.Run("bare", func(b *testing.B) {
		for b.Loop() {
			sinkA, sinkB = siphash.Hash128(h.k0, h.k1, id)
		}
	})
	b.Run("hasher", func(b *testing.B) {
		for b.Loop() {
			sinkF = h.Fingerprint(id)
		}
	})
}
