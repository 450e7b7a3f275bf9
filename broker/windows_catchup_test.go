package broker

import (
	"encoding/json"
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/hapaxmq/hapax/internal/vfs"
)

// What a window does not have on disk when the node dies it does again as it did it:
// records in conflict are no copies, and renew nothing; what says the same as the
// first record in other bytes is one, and does.
func TestCatchUpAgrees(t *testing.T) {
	for _, kind := range []string{"first", "renewed"} {
		for _, duplicates := range []string{"drop", "mark", "topic:copies"} {
			for _, conflicts := range []string{"drop", "accept"} {
				t.Run(kind+","+duplicates+","+conflicts, func(t *testing.T) {
					testCatchUpAgrees(t, kind, duplicates, conflicts)
				})
			}
		}
	}
}

func testCatchUpAgrees(t *testing.T, kind, duplicates, conflicts string) {
	disk, clock := vfs.NewMem(), newHandClock()
	n := startWith(t, func(o *Options) { o.FS, o.Clock = disk, clock.now })
	n.makeTopic("copies", 1, nil)
	n.makeTopic("orders", 1, map[string]string{
		"hapax.identity": "header:id", "hapax.window.ms": "3600000", "message.timestamp.type": "LogAppendTime",
		"hapax.window.kind": kind, "hapax.duplicates": duplicates, "hapax.conflicts": conflicts,
	})
	const ids = 5
	c := n.client()
	send := func(all ...*kgo.Record) {
		t.Helper()
		for _, r := range all {
			r.Partition = 0
		}
		if err := c.ProduceSync(t.Context(), all...).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	for id := range ids - 1 {
		send(order(id, 0, false))
	}
	n.broker.windows.keep()
	clock.pass(30 * time.Minute)
	send(order(0, 1, false)) // in conflict
	send(order(1, 0, true))  // the same
	send(order(2, 1, false), order(2, 0, true), order(4, 0, false), order(4, 0, true), order(3, 0, false), order(4, 1, true))
	killed := disk.KillCopy()
	var want, got [ids]IDView
	known := func(all *[ids]IDView) {
		for id := range all {
			all[id] = getJSON[IDView](n, idPath(fmt.Sprint(id)))
			all[id].Window = WindowView{}
		}
	}
	known(&want)
	if err := n.stop(); err != nil {
		t.Fatal(err)
	}
	disk = killed
	n.start()
	known(&got)
	for id := range ids {
		if !reflect.DeepEqual(got[id], want[id]) {
			t.Errorf("%s, want %s", describeID(&got[id]), describeID(&want[id]))
		}
	}
}

func describeID(v *IDView) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(b)
}
