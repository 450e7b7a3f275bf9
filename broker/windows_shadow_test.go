package broker

import (
	"fmt"
	"log/slog"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hapaxmq/hapax/broker/batch"
	"github.com/hapaxmq/hapax/broker/code"
	"github.com/hapaxmq/hapax/internal/vfs"
)

// A topic whose window only counts takes records, and commits transactions, whatever
// becomes of the window: it tells that it has failed or is full, and how many records it
// was not asked about. When it is of use again it knows what has passed, and is enforced
// with that if it is to be.
func TestShadowPassesWhatever(t *testing.T) {
	orders := map[string]string{"hapax.identity": "value", "hapax.window.count": "1000000", "hapax.mode": "shadow", "hapax.window.memory.bytes": "4194304"}
	for _, test := range []struct {
		name, state string
		fail        func(n *shadowed)
		mend        func(n *shadowed)
	}{
		{"its disk is full", "failed", func(n *shadowed) {
			n.broken.SetHook(func(_ vfs.Op, name string) error {
				if strings.Contains(name, windowsName) {
					return syscall.ENOSPC
				}
				return nil
			})
			n.send(3)
			n.broker.windows.keep()
		}, func(n *shadowed) {
			n.broken.SetHook(nil)
			n.restart()
		}},
		{"its directory is gone", "failed", func(n *shadowed) {
			n.moved(n.dirOfWindow(), "/aside")
			n.waitFor("the window to be given up", func() bool { return !n.window().enforced.Load() })
		}, func(n *shadowed) {
			n.moved("/aside", n.dirOfWindow())
		}},
		{"it is full", "warming", (*shadowed).fillUp, func(n *shadowed) {
			n.alter("orders", map[string]string{"hapax.window.memory.bytes": "268435456"})
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			if raced && test.name == "it is full" {
				t.Skip("long")
			}
			fault := vfs.NewFault(vfs.NewMem(), nil)
			n := &shadowed{broken: fault}
			n.node = startWith(t, func(o *Options) { o.FS, o.Logger = fault, slog.New(slog.NewTextHandler(&n.log, nil)) })
			n.makeTopic("orders", 1, orders)
			open := n.writer("till", true, minute)
			open.write("orders", 0, "value of 9")
			n.send(1, 2)
			test.fail(n)
			open.reconnect(n.node)
			n.send(4, 4, 1)
			open.want(code.None, int16(open.end(true)))
			n.waitFor("the window to be "+test.state, func() bool { return n.view().State == test.state })
			if v := n.view(); v.Records.Unasked < 3 || v.Mode != "shadow" || test.state == "failed" && v.Failed == "" {
				t.Errorf("%+v", v)
			}
			if !strings.Contains(n.get("/metrics"), fmt.Sprintf(`hapax_window_records_total{topic="orders",verdict="unasked"} %d`, n.view().Records.Unasked)) {
				t.Error("the metrics do not tell")
			}
			if told := map[string]string{"failed": "records pass uncounted", "warming": "they are counted as unasked"}[test.state]; !n.log.has(told) {
				t.Error("the log does not tell")
			}
			test.mend(n)
			if n.log.has("records=0") {
				t.Error("the log tells of records, of which there are none")
			}
			n.waitFor("the window to count again", func() bool { return n.view().State == "counting" })
			n.alter("orders", map[string]string{"hapax.mode": "enforce"})
			before := n.view().Records
			n.send(1, 2, 4, 9)
			if got := n.view().Records; got.Duplicates != before.Duplicates+4 || got.Unique != before.Unique {
				t.Errorf("%+v, and before it was enforced %+v", got, before)
			}
		})
	}
}

// waitFor waits until something is so.
func (n *node) waitFor(what string, so func() bool) {
	n.Helper()
	for ctx, tick := testContext(n.T), time.NewTicker(5*time.Millisecond); !so(); {
		select {
		case <-ctx.Done():
			n.Fatalf("waited in vain for %s", what)
		case <-tick.C:
		}
	}
}

// shadowed is a node with a topic "orders" whose window only counts.
type shadowed struct {
	*node
	broken *vfs.Fault
	log    said
}

func (n *shadowed) window() *window { return n.broker.topics.named("orders").window }

func (n *shadowed) dirOfWindow() string { return n.window().dir }

// view is what is told of the window.
func (n *shadowed) view() *WindowView {
	n.Helper()
	return getJSON[[]TopicView](n.node, "/api/v1/topics")[0].Window
}

// send sends records with some ids, which are taken.
func (n *shadowed) send(ids ...int) {
	n.Helper()
	if d := n.wire().produced("orders", named(n.T, batch.Header{ProducerID: batch.None}, ids...)); d.ErrorCode != 0 {
		n.Fatalf("%v: %s", code.Error(d.ErrorCode), *d.ErrorMessage)
	}
}

// fillUp sends new ids until the window takes no more.
func (n *shadowed) fillUp() {
	n.Helper()
	for id := 10; n.window().count.unasked.Load() == 0; id += 20_000 {
		var ids []int
		for i := range 20_000 {
			ids = append(ids, id+i)
		}
		n.send(ids...)
	}
}

// moved moves a directory while the node is not running.
func (n *shadowed) moved(from, to string) {
	n.Helper()
	if err := n.stop(); err != nil {
		n.Fatal(err)
	}
	moveFiles(n.T, n.broken, from, to)
	n.start()
}
