package producer

import (
	"testing"

	"github.com/hapaxmq/hapax/broker/code"
)

// A batch that stands beside a producer's own in its transaction opens that, and
// leaves its sequence as it is, over a snapshot too. Beyond the bound none is let in.
func TestBeside(t *testing.T) {
	rules := Rules{Most: 2, Expiry: 1000}
	table := New(rules)
	own := Batch{ProducerID: 1, First: 0, Count: 3, Transactional: true}
	table.Apply(own, Place{Offset: 0, Time: 1, Position: 1})
	table.End(Marker{ProducerID: 1}, Place{Offset: 3, Time: 1, Position: 2}, 2)
	table.Beside(1, 0, Place{Offset: 4, Time: 2, Position: 3}) // known
	table.Beside(2, 5, Place{Offset: 6, Time: 2, Position: 4}) // not known
	for range 2 {
		if first, ok := table.FirstUnstable(9); !ok || first != 4 {
			t.Errorf("open from %d on, %t", first, ok)
		}
		if v := table.Check(Batch{ProducerID: 1, First: 3, Count: 1, Transactional: true}, 3); v != (Verdict{}) {
			t.Errorf("the next batch: %+v", v)
		}
		if v := table.Check(own, 3); !v.Duplicate {
			t.Errorf("the same batch again: %+v", v)
		}
		if v := table.Check(Batch{ProducerID: 2, Epoch: 5, First: 0, Count: 1, Transactional: true}, 3); v != (Verdict{}) {
			t.Errorf("the first batch: %+v", v)
		}
		for id, want := range map[int64]code.Error{1: code.None, 2: code.None, 3: code.NotEnoughReplicas} {
			if got := table.CheckBeside(id, 3); got != want {
				t.Errorf("producer %d: %v, want %v", id, got, want)
			}
		}
		var err error
		if table, err = Read(rules, table.AppendTo(nil)); err != nil {
			t.Fatal(err)
		}
	}
	table.Beside(2, 6, Place{Offset: 8, Time: 4, Position: 5})
	if v := table.Check(Batch{ProducerID: 2, Epoch: 5, First: 0, Count: 1}, 4); v.Code != code.InvalidProducerEpoch {
		t.Errorf("an epoch that is over: %+v", v)
	}
	if first, ok := table.End(Marker{ProducerID: 2, Epoch: 6}, Place{Offset: 9, Time: 4, Position: 6}, 9); !ok || first != 6 {
		t.Errorf("it was open from %d on, %t", first, ok)
	}
}
