package auditor_test

import (
	"slices"
	"testing"

	"github.com/hapaxmq/hapax/demo/auditor"
)

// TestAudit plants one wrong after the other in books that are right, and wants it found.
func TestAudit(t *testing.T) {
	t.Parallel()
	payments := []auditor.Payment{{ID: "a", Customer: "ann", Cents: 100}, {ID: "b", Customer: "bob", Cents: 250}}
	right := []auditor.Effect{{Kind: "credit", Payment: "b", Cents: 250}, {Kind: "mail", Payment: "a", Cents: 100}, {Kind: "credit", Payment: "a", Cents: 100}}
	for _, test := range []struct {
		name    string
		effects []auditor.Effect
		want    auditor.Sum
		found   []auditor.Finding
	}{
		{"nothing", right, auditor.Sum{Happened: 2}, nil},
		{
			"twice", append(slices.Clone(right), right[0]),
			auditor.Sum{Happened: 3, Doubled: 1, Wrong: 250}, []auditor.Finding{{"credit", "b", 2, 250}},
		},
		{
			"three times", append(slices.Clone(right), right[0], right[0]),
			auditor.Sum{Happened: 4, Doubled: 1, Wrong: 500}, []auditor.Finding{{"credit", "b", 3, 500}},
		},
		{"lost", right[1:], auditor.Sum{Happened: 1, Lost: 1, Wrong: 250}, []auditor.Finding{{"credit", "b", 0, -250}}},
		{
			"another amount", append([]auditor.Effect{{Kind: "credit", Payment: "b", Cents: 249}}, right[1:]...),
			auditor.Sum{Happened: 2, Wrong: 1}, []auditor.Finding{{"credit", "b", 1, -1}},
		},
		{
			"once for another's", append([]auditor.Effect{{Kind: "credit", Payment: "a", Cents: 250}}, right[1:]...),
			auditor.Sum{Happened: 2, Doubled: 1, Lost: 1, Wrong: 500}, []auditor.Finding{{"credit", "a", 2, 250}, {"credit", "b", 0, -250}},
		},
		{
			"a payment that was not accepted", append(slices.Clone(right), auditor.Effect{Kind: "credit", Payment: "c", Cents: 7}),
			auditor.Sum{Happened: 3, Unknown: 1, Wrong: 7}, []auditor.Finding{{"credit", "c", 1, 7}},
		},
		{
			"too much here and too little there",
			[]auditor.Effect{{Kind: "credit", Payment: "a", Cents: 150}, {Kind: "credit", Payment: "b", Cents: 200}},
			auditor.Sum{Happened: 2, Wrong: 100}, []auditor.Finding{{"credit", "a", 1, 50}, {"credit", "b", 1, -50}},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			sum, found := auditor.Audit("credit", payments, test.effects)
			if sum != test.want || !slices.Equal(found, test.found) {
				t.Errorf("%+v, %+v; want %+v, %+v", sum, found, test.want, test.found)
			}
			if sum.Right() != (test.found == nil) {
				t.Errorf("right: %t", sum.Right())
			}
		})
	}
}

func TestMiscounted(t *testing.T) {
	t.Parallel()
	payments := []auditor.Payment{{"a", "ann", 1}, {"b", "ann", 1}, {"c", "bob", 1}}
	for _, test := range []struct {
		totals []auditor.Total
		want   int
	}{
		{[]auditor.Total{{"ann", 2, 2}, {"bob", 1, 1}}, 0},
		{[]auditor.Total{{"ann", 3, 3}, {"bob", 1, 1}}, 1},
		{[]auditor.Total{{"ann", 2, 2}}, 1},
		{[]auditor.Total{{"ann", 3, 3}, {"bob", 0, 0}}, 2},
		{[]auditor.Total{{"ann", 2, 2}, {"bob", 1, 1}, {"eve", 4, 4}}, 4},
		{nil, 3},
	} {
		if n := auditor.Miscounted(payments, test.totals); n != test.want {
			t.Errorf("%+v: %d, want %d", test.totals, n, test.want)
		}
	}
}

func TestMoves(t *testing.T) {
	t.Parallel()
	one, two, other := auditor.Move{1, "ann", "Elm"}, auditor.Move{2, "ann", "Oak"}, auditor.Move{3, "bob", "Quay"}
	moves := []auditor.Move{two, other, one} // in whatever order they were accepted
	for _, test := range []struct {
		seen            []auditor.Move
		at              map[string]string
		back, misplaced int
	}{
		{[]auditor.Move{one, two, other}, map[string]string{"ann": "Oak", "bob": "Quay"}, 0, 0},
		{[]auditor.Move{one, one, two, two, other}, map[string]string{"ann": "Oak", "bob": "Quay"}, 0, 0},
		{[]auditor.Move{one, two, one, two, other}, map[string]string{"ann": "Oak", "bob": "Quay"}, 1, 0},
		{[]auditor.Move{one, two, other, one}, map[string]string{"ann": "Elm", "bob": "Quay"}, 1, 1},
		{[]auditor.Move{one, two}, map[string]string{"ann": "Oak"}, 0, 1},
		{nil, nil, 0, 2},
	} {
		if n := auditor.SetBack(test.seen); n != test.back {
			t.Errorf("%v: set back %d times, want %d", test.seen, n, test.back)
		}
		if n := auditor.Misplaced(moves, test.at); n != test.misplaced {
			t.Errorf("%v: %d misplaced, want %d", test.at, n, test.misplaced)
		}
	}
}
