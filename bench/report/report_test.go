package report

import (
	"strings"
	"testing"
)

func TestMet(t *testing.T) {
	for _, c := range []struct {
		name    string
		line    Line
		met, ok bool
	}{
		{"ratio reached", Line{Ours: Of(1, "M/s"), Ratio: 0.7, Bound: AtLeast(0.7, "×")}, true, true},
		{"ratio missed", Line{Ours: Of(1, "M/s"), Ratio: 0.69, Bound: AtLeast(0.7, "×")}, false, true},
		{"own figure within", Line{Ours: Of(19.9, "B/key"), Bound: AtMost(20, "B/key")}, true, true},
		{"own figure beyond", Line{Ours: Of(20.1, "B/key"), Bound: AtMost(20, "B/key")}, false, true},
		{"no bound", Line{Ours: Of(1, "M/s")}, false, false},
		{"failed", Line{Error: "out of disk", Bound: AtMost(20, "B/key")}, false, true},
	} {
		if met, ok := c.line.Met(); met != c.met || ok != c.ok {
			t.Errorf("%s: met %v, ok %v; want %v, %v", c.name, met, ok, c.met, c.ok)
		}
	}
}

func TestMarkdown(t *testing.T) {
	r := Report{
		Machine: []Fact{{"Go", "go1.26"}},
		Lines: []Line{
			{Work: "one by one", Ours: Of(4.123, "M/s"), Peer: "bare table", Their: Of(5, "M/s"), Ratio: 0.8246, Bound: AtLeast(0.7, "×"), Note: "hot"},
			{Work: "cold", Error: "no\ncgroup"},
		},
	}
	var b strings.Builder
	if err := r.Markdown(&b); err != nil {
		t.Fatal(err)
	}
	const want = `| machine |        |
|---------|--------|
| Go      | go1.26 |

| work           | hapax                   | beside     |          | ratio   | bound   | met |
|----------------|-------------------------|------------|----------|---------|---------|-----|
| one by one (1) | 4.12 M/s                | bare table | 5.00 M/s | 0.825 × | ≥ 0.7 × | yes |
| cold           | not measured: no cgroup |            |          |         |         |     |

(1) hot
`
	if got := b.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestNumbersKeepThreeDigits(t *testing.T) {
	for v, want := range map[float64]string{0: "0.00", 0.01234: "0.0123", 1.234: "1.23", 16.55: "16.6", 123456: "123456"} {
		if got := number(v); got != want {
			t.Errorf("number(%v) = %s, want %s", v, got, want)
		}
	}
}
