package broker

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/hapaxmq/hapax/broker/partition"
)

// A window that does not fit its budget while it is warming says so wherever it is asked,
// with what helps and in the names of its settings, until there is room; one that only
// counts, too.
func TestWarmingWindowIsFull(t *testing.T) {
	if raced {
		t.Skip("one goroutine, and long")
	}
	const helps = "raise hapax.window.memory.bytes, shorten it, or set hapax.window.full=evict"
	for mode, warm := range map[string]string{"enforce": "enforced from 200000", "shadow": "counting"} {
		t.Run(mode, func(t *testing.T) {
			n := &shadowed{}
			n.node = startWith(t, func(o *Options) { o.Logger = slog.New(slog.NewTextHandler(&n.log, nil)) })
			n.makeTopic("orders", 1, map[string]string{"max.message.bytes": "10000000"})
			const each = 20_000
			for first := 0; first < 10*each; first += each {
				ids := make([]int, each)
				for i := range ids {
					ids[i] = first + i
				}
				n.send(ids...)
			}
			n.alter("orders", map[string]string{"hapax.identity": "header:id", "hapax.window.count": "1000000", "hapax.window.memory.bytes": "4194304", "hapax.mode": mode})
			n.waitFor("it to be full", func() bool { return n.view().Short != "" })
			n.waitFor("the log to tell", func() bool { return n.log.has("full before it is warm: records pass, and it is tried again; " + helps) })
			if n.log.has("MaxMemory") {
				t.Error("the log tells of what is no setting")
			}
			if v := n.view(); v.State != "warming" || v.Short != helps {
				t.Errorf("%+v", v)
			}
			if v := getJSON[IDView](n.node, idPath("none")); v.Window.Short != helps {
				t.Errorf("%+v", v)
			}
			if state := n.state(); !strings.HasPrefix(state, "warming, and full: ") || !strings.HasSuffix(state, helps) {
				t.Errorf("it is described as %q", state)
			}
			n.wantMetric(1)
			n.alter("orders", map[string]string{"hapax.window.memory.bytes": "67108864"})
			n.enforced("orders")
			if v := n.view(); v.Short != "" || v.State == "warming" || n.state() != warm {
				t.Errorf("with room it is described as %q; %+v", n.state(), v)
			}
			n.wantMetric(0)
		})
	}
}

func (n *shadowed) state() string {
	n.Helper()
	state := n.topicConfig("orders", "hapax.window.state")
	return state.MaybeValue()
}

func (n *shadowed) wantMetric(full int) {
	n.Helper()
	if line := fmt.Sprintf("\nhapax_window_warming_full{topic=\"orders\"} %d\n", full); !strings.Contains(n.get("/metrics"), line) {
		n.Errorf("the metrics lack %s", line)
	}
}

// A window in shadow is described as what it is everywhere: it counts.
func TestShadowIsDescribed(t *testing.T) {
	n := &shadowed{node: startWith(t, nil)}
	n.makeTopic("orders", 1, map[string]string{"hapax.identity": "header:id", "hapax.window.count": "1000", "hapax.mode": "shadow"})
	n.send(1, 1)
	for range 2 {
		if state, v := n.state(), n.view(); state != "counting" || v.State != "counting" {
			t.Errorf("%q, and %q", state, v.State)
		}
		n.alter("orders", map[string]string{"hapax.window.kind": "renewed"})
		n.enforced("orders")
		if state := n.state(); !strings.HasPrefix(state, "counting; begun anew at ") || strings.Contains(state, "copies") {
			t.Errorf("%q", state)
		}
		n.alter("orders", map[string]string{"hapax.identity": "", "hapax.window.count": "", "hapax.mode": "", "hapax.window.kind": ""})
		n.alter("orders", map[string]string{"hapax.identity": "header:id", "hapax.window.count": "1000", "hapax.mode": "shadow"})
		n.enforced("orders")
	}
}

// A window that is enforced after it has only counted says from which offsets on, over
// restarts; a batch that was prepared before that comes again.
func TestEnforcedOutOfShadow(t *testing.T) {
	n := &shadowed{node: startWith(t, nil)}
	n.makeTopic("orders", 2, map[string]string{"hapax.identity": "header:id", "hapax.window.count": "1000", "hapax.mode": "shadow"})
	n.send(1, 1, 2)
	before := n.broker.topics.named("orders")
	n.alter("orders", map[string]string{"hapax.mode": "enforce"})
	n.send(2, 1, 3)
	for range 2 {
		if state, v := n.state(), n.view(); state != "enforced from 3,0" || v.State != "enforced" || !slices.Equal(v.From, []int64{3, 0}) {
			t.Errorf("%q, and %q from %v", state, v.State, v.From)
		}
		n.restart()
	}
	if ids := n.idsOf("orders", 2); ids["1"] != 2 || ids["2"] != 1 || ids["3"] != 1 {
		t.Errorf("of each id there are %v", ids)
	}
	s := sieve{ws: &n.broker.windows, w: n.window(), rules: before.rules.window}
	was := *n.broker.topics.named("orders")
	was.rules = before.rules
	s.topic = &was
	if _, err := s.Pass(partition.Turn{}, nil); !errors.Is(err, errWindowReopens) {
		t.Errorf("a batch that was prepared in shadow: %v", err)
	}
	n.alter("orders", map[string]string{"hapax.mode": "shadow"})
	n.send(3)
	if state := n.state(); state != "counting" {
		t.Errorf("%q", state)
	}
	n.alter("orders", map[string]string{"hapax.mode": "enforce"})
	if state := n.state(); state != "enforced from 8,1" {
		t.Errorf("%q", state)
	}
}
