package broker

import (
	"math/rand"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hapaxmq/hapax/internal/vfs"
)

// The power goes as a window becomes shorter, when the node's log says so and the ledger
// lacks what came before. A copy that came then is none of a first record for it, though
// the first one has left the shorter window: its id is free when it would be without a crash.
func TestShorterWindowOverPowerLoss(t *testing.T) {
	for _, fate := range []string{"drop", "mark", "topic:copies"} {
		t.Run(fate, func(t *testing.T) {
			var armed atomic.Bool
			var left atomic.Pointer[vfs.Mem]
			disk, clock, r := vfs.NewMem(), newHandClock(), rand.New(rand.NewSource(1))
			n := startWith(t, func(o *Options) {
				o.Clock = clock.now
				o.FS = vfs.NewFault(disk, func(op vfs.Op, name string) error {
					if op.Changes() && strings.Contains(name, windowsName) && armed.CompareAndSwap(true, false) {
						left.Store(disk.PowerLoss(r))
					}
					return nil
				})
			})
			n.makeTopic("copies", 1, nil)
			n.makeTopic("orders", 3, map[string]string{
				"hapax.identity": "header:id", "hapax.window.ms": "12000", "hapax.duplicates": fate,
				"message.timestamp.after.max.ms": "9223372036854775807",
			})
			n.order(0, "7", "a")
			clock.pass(5 * time.Second)
			n.order(1, "7", "a")
			armed.Store(true)
			n.alter("orders", map[string]string{"hapax.window.ms": "4000"})
			if left.Load() == nil {
				t.Fatal("nothing was written of the window")
			}
			if err := n.stop(); err != nil {
				t.Fatal(err)
			}
			disk = left.Load()
			n.start()
			if w := n.broker.topics.named("orders").rules.window.Window; w.Time != 4*time.Second {
				t.Fatalf("the window is %v", w)
			}
			clock.pass(2 * time.Second)
			n.order(2, "7", "a")
			if got := getJSON[IDView](n, idPath("7")); !got.Remembered || *got.Seen[0].Partition != 2 {
				t.Errorf("the first record that is known is %+v", got.Seen)
			}
		})
	}
}
