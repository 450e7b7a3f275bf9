package lines_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"
	"testing"
	"testing/iotest"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/hapaxmq/hapax/internal/lines"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type chunk = lines.Chunk[int]

func inputs(all ...*lines.Input) iter.Seq2[*lines.Input, error] {
	return func(yield func(*lines.Input, error) bool) {
		for _, in := range all {
			if !yield(in, nil) {
				return
			}
		}
	}
}

// read returns all lines with where they stand, and the error at the end.
func read(t testing.TB, o lines.Options, all iter.Seq2[*lines.Input, error], work func(*chunk) error) ([]string, error) {
	r := lines.Start(t.Context(), all, o, work)
	defer r.Close()
	var got []string
	for {
		c, err := r.Next(t.Context())
		if c != nil {
			for i := range c.Ends {
				got = append(got, fmt.Sprintf("%s %d %q", c.Input.At(c.Line+int64(i)+1), c.Byte+int64(c.Start(i)), c.Value(i)))
			}
			if c.Last {
				got = append(got, "end of "+c.Input.Name)
			}
			r.Release(c)
		}
		if err != nil {
			if errors.Is(err, lines.ErrEnd) {
				err = nil
			}
			return got, err
		}
	}
}

func none(*chunk) error { return nil }

// naive is what read must return.
func naive(name, text string) []string {
	var got []string
	at := 0
	for n, line := range strings.SplitAfter(text, "\n") {
		if line != "" {
			got = append(got, fmt.Sprintf("%s:%d %d %q", name, n+1, at, strings.TrimSuffix(line, "\n")))
		}
		at += len(line)
	}
	return append(got, "end of "+name)
}

func TestAgreesWithSplit(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var all []*lines.Input
		var want []string
		for i := range rapid.IntRange(0, 4).Draw(rt, "inputs") {
			text := rapid.StringMatching(`([ab]{0,3}(\r?\n)?){0,20}`).Draw(rt, "text")
			if rapid.IntRange(0, 9).Draw(rt, "large") == 0 {
				text = strings.Repeat(text, rapid.IntRange(1, 200_000).Draw(rt, "times"))
			}
			var r io.Reader = strings.NewReader(text)
			switch rapid.IntRange(0, 3).Draw(rt, "reader") {
			case 0:
				r = iotest.HalfReader(r)
			case 1:
				r = iotest.DataErrReader(r)
			}
			in := &lines.Input{Name: fmt.Sprint("in", i), Reader: r, Live: rapid.Bool().Draw(rt, "live")}
			all, want = append(all, in), append(want, naive(in.Name, text)...)
		}
		o := lines.Options{Workers: rapid.IntRange(0, 3).Draw(rt, "workers")}
		got, err := read(t, o, inputs(all...), none)
		if err != nil {
			rt.Fatal(err)
		}
		same(rt, got, want)
	})
}

func same(t rapid.TB, got, want []string) {
	for i := range min(len(got), len(want)) {
		if got[i] != want[i] {
			t.Fatalf("line %d: %s, want %s", i, got[i], want[i])
		}
	}
	if len(got) != len(want) {
		t.Fatalf("%d lines, want %d", len(got), len(want))
	}
}

func TestLongLines(t *testing.T) {
	const limit = 3 << 20
	long := strings.Repeat("x", limit)
	for name, test := range map[string]struct{ text, err string }{
		"fits":               {text: "a\n" + long + "\nb\n"},
		"fits at the end":    {text: "a\n" + long},
		"many":               {text: strings.Repeat(long+"\n", 6)},
		"too long":           {text: "a\nb\n" + long + "x\nc\n", err: "in:3: line is too long: more than 3145728 bytes"},
		"too long, at once":  {text: long + "x", err: "in:1: line is too long: more than 3145728 bytes"},
		"too long, much so":  {text: long + long + long, err: "in:1: line is too long: more than 3145728 bytes"},
		"too long, no limit": {text: long},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := read(t, lines.Options{MaxLine: limit}, inputs(&lines.Input{Name: "in", Reader: strings.NewReader(test.text)}), none)
			if fmt.Sprint(err) != test.err && (err != nil || test.err != "") {
				t.Fatalf("%v, want %s", err, test.err)
			}
			want := naive("in", test.text)
			if test.err != "" {
				before, _, _ := strings.Cut(test.text, "x")
				want = naive("in", before)
				want = want[:len(want)-1] // it has no end
			}
			same(t, got, want)
		})
	}
}

func TestShortLimit(t *testing.T) {
	got, err := read(t, lines.Options{MaxLine: 3}, inputs(&lines.Input{Name: "in", Reader: strings.NewReader("abc\nd\nabcd\ne\n")}), none)
	if !errors.Is(err, lines.ErrTooLong) || len(got) != 2 {
		t.Errorf("%v, %v", got, err)
	}
}

// TestErrors: those of an input come after the lines before it, those of the work
// with its chunk.
func TestErrors(t *testing.T) {
	broken := errors.New("broken")
	reader := io.MultiReader(strings.NewReader("a\nb\nc"), iotest.ErrReader(broken))
	got, err := read(t, lines.Options{}, inputs(&lines.Input{Name: "in", Reader: reader, Line: 4, Byte: 10}), none)
	if !errors.Is(err, broken) || err.Error() != "in:7: read: broken" {
		t.Errorf("%v", err)
	}
	same(t, got, []string{`in:5 10 "a"`, `in:6 12 "b"`})

	_, err = read(t, lines.Options{}, func(yield func(*lines.Input, error) bool) { yield(nil, broken) }, none)
	if !errors.Is(err, broken) {
		t.Errorf("%v", err)
	}
	_, err = read(t, lines.Options{}, inputs(&lines.Input{Reader: strings.NewReader("a")}), func(*chunk) error { return broken })
	if !errors.Is(err, broken) {
		t.Errorf("%v", err)
	}
}

// TestLive: lines come as soon as they are there.
func TestLive(t *testing.T) {
	in, out := io.Pipe()
	r := lines.Start(t.Context(), inputs(&lines.Input{Reader: in, Live: true}), lines.Options{}, none)
	defer r.Close()
	for _, text := range []string{"a\n", "b\nc\n"} {
		if _, err := out.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
		c, err := r.Next(t.Context())
		if err != nil || string(c.Text) != text {
			t.Fatalf("%q, %v", c.Text, err)
		}
		r.Release(c)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestCancel: whoever waits is let go.
func TestCancel(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	endless := &lines.Input{Reader: endless{}}
	r := lines.Start(ctx, inputs(endless), lines.Options{Workers: 2}, none)
	if _, err := r.Next(ctx); err != nil {
		t.Fatal(err)
	}
	cancel()
	for {
		if _, err := r.Next(ctx); errors.Is(err, context.Canceled) {
			break
		}
	}
	r.Close()
}

type endless struct{}

func (endless) Read(b []byte) (int, error) { return copy(b, bytes.Repeat([]byte("line\n"), 1000)), nil }
