package brokertest

import "testing"

// What mutants replace stands in the source. Who has changed that gives the mutant the
// new text, such that its fault is the same.
func TestMutantsCanBePlanted(t *testing.T) {
	for _, m := range append(append(Mutants(), Unsynced()...), Sound()) {
		if _, err := m.Plant("../.."); err != nil {
			t.Error(err)
		}
	}
}
