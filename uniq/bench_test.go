package uniq_test

import (
	"bytes"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"testing"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/identity"
	"github.com/hapaxmq/hapax/internal/lines"
	"github.com/hapaxmq/hapax/ledger"
	"github.com/hapaxmq/hapax/uniq"
)

// lose takes what is written and keeps nothing.
type lose struct{ io.Writer }

func (lose) Sync() error { return nil }

func BenchmarkLines(b *testing.B) {
	const n = 2_000_000
	var text bytes.Buffer
	r := rand.New(rand.NewPCG(1, 2))
	fresh := uint64(0)
	for range n {
		k := fresh
		if fresh > 0 && r.IntN(10) == 0 {
			k = r.Uint64N(fresh)
		} else {
			fresh++
		}
		fmt.Fprintf(&text, "%016x-%016x-%015x\n", k*0x9E3779B97F4A7C15, k*0xC2B2AE3D27D4EB4F, k)
	}
	id, err := identity.Parse("line")
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(text.Len()))
	b.ReportAllocs()
	for b.Loop() {
		l, err := ledger.Open("", ledger.Options{Window: hapax.Window{Unbounded: true}, Expect: 1_900_000})
		if err != nil {
			b.Fatal(err)
		}
		err = uniq.Run(b.Context(), input(bytes.NewReader(text.Bytes())), uniq.Options{
			Ledger: l, Naming: uniq.Naming{Identity: id}, Unique: &uniq.Output{File: lose{io.Discard}},
		})
		if err != nil {
			b.Fatal(err)
		}
		if err := l.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

func input(r io.Reader) iter.Seq2[*lines.Input, error] {
	return func(yield func(*lines.Input, error) bool) {
		yield(&lines.Input{Name: "in", Reader: r}, nil)
	}
}
