package txn

import (
	"regexp"
	"slices"
	"testing"
)

func TestList(t *testing.T) {
	n := newNode(t, Settings{})
	for _, line := range [][]string{
		{"InitProducerId", "v5", "empty"}, {"InitProducerId", "v5", "open-1"}, {"InitProducerId", "v5", "open-2"},
		{"InitProducerId", "v5", "done"}, {"Produce", "v12", "open-1", "as=2/0", "4"}, {"wait", "1000"},
		{"Produce", "v12", "open-2", "as=3/0", "4"}, {"Produce", "v12", "done", "as=4/0", "4"},
		{"EndTxn", "v5", "done", "as=4/0", "commit"}, {"wait", "500"},
	} {
		n.run(line)
	}
	for name, c := range map[string]struct {
		filter Filter
		want   []string
	}{
		"all":            {Filter{OpenForMs: -1}, []string{"done", "empty", "open-1", "open-2"}},
		"states":         {Filter{OpenForMs: -1, States: []State{Empty, CompleteCommit}}, []string{"done", "empty"}},
		"a state of 2PC": {Filter{OpenForMs: -1, States: []State{2}}, nil},
		"producer ids":   {Filter{OpenForMs: -1, ProducerIDs: []int64{3, 4, 99}}, []string{"done", "open-2"}},
		"open for 0":     {Filter{}, []string{"open-1", "open-2"}},
		"open for 500":   {Filter{OpenForMs: 500}, []string{"open-1"}},
		"pattern":        {Filter{OpenForMs: -1, Pattern: regexp.MustCompile("^open-.$")}, []string{"open-1", "open-2"}},
		"two of them":    {Filter{OpenForMs: -1, ProducerIDs: []int64{3, 4}, States: []State{Ongoing}}, []string{"open-2"}},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, l := range n.c.List(c.filter, n.now) {
				got = append(got, l.ID)
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
	if ids, open := n.c.Len(); ids != 4 || open != 2 {
		t.Errorf("%d ids, %d open", ids, open)
	}
}

func TestStateNames(t *testing.T) {
	for s := range State(8) {
		if got, known := ParseState(s.String()); got != s || !known {
			t.Errorf("%d is %v, which is %d", s, s, got)
		}
	}
	if _, known := ParseState("Torn"); known {
		t.Error("Torn is a state")
	}
	if s := State(8).String(); s != "Unknown" {
		t.Errorf("8 is %s", s)
	}
}
