package identity

import (
	"os"
	"testing"
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
