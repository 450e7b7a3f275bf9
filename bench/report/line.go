// Package report turns measurements into one table.
package report

import (
	"fmt"
	"math"
	"strings"
)

// Line is one comparison: our figure for some work beside a peer's, or alone.
type Line struct {
	Row   string  `json:"row"`  // the row's name, as -rows matches it
	Work  string  `json:"work"` // in words
	Ours  *Figure `json:"ours,omitempty"`
	Peer  string  `json:"peer,omitempty"`
	Their *Figure `json:"their,omitempty"`
	Ratio float64 `json:"ratio,omitempty"` // 0: none; above 1 is better for us only where more is better
	Bound *Bound  `json:"bound,omitempty"`
	Note  string  `json:"note,omitempty"`
	Error string  `json:"error,omitempty"` // nothing was measured, and why
}

// Figure is a number and its unit: "M/s", "ns", "B/key" …
type Figure struct {
	Value float64 `json:"value"`
	Unit  string  `json:"unit"`
}

// Of makes a figure.
func Of(value float64, unit string) *Figure { return &Figure{value, unit} }

func (f *Figure) String() string {
	if f == nil {
		return ""
	}
	return strings.TrimSpace(number(f.Value) + " " + f.Unit)
}

// number prints three significant digits, all of those before the point.
func number(v float64) string {
	digits := 2
	if v != 0 {
		digits = 2 - int(math.Floor(math.Log10(math.Abs(v))))
	}
	return fmt.Sprintf("%.*f", min(max(digits, 0), 6), v)
}

// Bound is what a line must reach: of its ratio if Unit is "×", else of our
// own figure.
type Bound struct {
	AtLeast float64 `json:"at_least,omitempty"` // one of the two is set
	AtMost  float64 `json:"at_most,omitempty"`
	Unit    string  `json:"unit"`
}

// AtLeast is a lower bound, AtMost an upper one.
func AtLeast(v float64, unit string) *Bound { return &Bound{AtLeast: v, Unit: unit} }

// AtMost is an upper bound.
func AtMost(v float64, unit string) *Bound { return &Bound{AtMost: v, Unit: unit} }

func (b *Bound) String() string {
	if b == nil {
		return ""
	}
	sign, v := "≥", b.AtLeast
	if b.AtLeast == 0 {
		sign, v = "≤", b.AtMost
	}
	return fmt.Sprintf("%s %.4g %s", sign, v, b.Unit)
}

// Met says whether the line reaches its bound; ok is false if it has none or
// nothing was measured.
func (l *Line) Met() (met, ok bool) {
	if l.Bound == nil || l.Ours == nil {
		return false, l.Bound != nil && l.Error != ""
	}
	v := l.Ours.Value
	if l.Bound.Unit == "×" {
		v = l.Ratio
	}
	if l.Bound.AtLeast != 0 {
		return v >= l.Bound.AtLeast, true
	}
	return v <= l.Bound.AtMost, true
}
