package txn

import (
	"testing"

	"github.com/hapaxmq/hapax/broker/code"
)

// A batch within its transaction costs no memory, whatever the version.
func TestProduceAllocates(t *testing.T) {
	n := newNode(t, Settings{})
	n.run([]string{"InitProducerId", "v5", "orders"})
	n.run([]string{"Produce", "v12", "orders", "as=1/0", "7", "4", "9"})
	for _, version := range []int16{11, 12} {
		r := ProduceRequest{Version: version, ID: "orders", Producer: Producer{1, 0}, Partitions: []uint32{9, 4}}
		allocs := testing.AllocsPerRun(100, func() {
			if reply, event := n.c.DecideProduce(r, n.now); reply.Code != code.None || event != nil {
				t.Fatalf("%+v, %+v", reply, event)
			}
		})
		if allocs > 0 {
			t.Errorf("version %d: %v allocations", version, allocs)
		}
	}
}
