package broker

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/hapaxmq/hapax/broker/unique"
)

// A window that is begun in the place of another says so: in the node's log, as the
// topic is described, and to who asks, over restarts.
func TestWindowBeginsAnew(t *testing.T) {
	var log said
	clock := newHandClock()
	n := startWith(t, func(o *Options) {
		o.Clock, o.Logger = clock.now, slog.New(slog.NewTextHandler(&log, nil))
	})
	n.makeTopic("orders", 2, map[string]string{"hapax.identity": "header:id", "hapax.window.ms": "3600000"})
	n.order(1, "7", "x")
	made := clock.now()
	clock.pass(time.Minute)
	n.alter("orders", map[string]string{"hapax.window.ms": "7200000"})
	want := func(set time.Time, because, state string) {
		t.Helper()
		for range 2 {
			n.enforced("orders")
			if w := getJSON[IDView](n, idPath("7")).Window; !w.Set.Equal(set) || w.Anew != because {
				t.Errorf("set at %v, anew because %q; want %v, %q", w.Set, w.Anew, set, because)
			}
			if got := n.topicConfig("orders", "hapax.window.state"); got.MaybeValue() != state {
				t.Errorf("its state is %q, want %q", got.MaybeValue(), state)
			}
			n.restart()
		}
	}
	want(made, "", "enforced")
	if log.has("begins anew") {
		t.Error("the log tells of a window that goes on")
	}
	n.alter("orders", map[string]string{"hapax.window.kind": "renewed"})
	want(made.Add(time.Minute), "hapax.window.kind was changed",
		"enforced from 0,1; begun anew at 2026-03-01T12:01:00Z because hapax.window.kind was changed; copies passed until it was warm")
	if !log.has("level=WARN") || !log.has(`begins anew`) || !log.has(`topic=orders because="hapax.window.kind was changed"`) {
		t.Error("the log does not tell")
	}
}

// windowRules are those of settings without their first part.
func windowRules(t *testing.T, text string) *unique.Rules {
	t.Helper()
	own := map[string]string{"hapax.identity": "key"}
	for setting := range strings.FieldsSeq(text) {
		name, value, _ := strings.Cut(setting, "=")
		own["hapax."+name] = value
	}
	r, err := unique.Parse("orders", false, own)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// What makes a window begin anew has a name.
func TestAnewFor(t *testing.T) {
	rules := func(text string) *unique.Rules { return windowRules(t, text) }
	for _, test := range [][3]string{
		{"window.ms=1000", "window.ms=2000 duplicates=mark window.full=evict", ""},
		{"window.ms=1000", "window.ms=2000 window.bytes=7", ""},
		{"window.ms=1000 window.count=7", "window.ms=2000", ""},
		{"window.ms=1000", "window.count=1000", ""},
		{"window.count=1000", "window.count=1048577", ""},
		{"window.ms=1000", "window.ms=1000 window.kind=renewed", "hapax.window.kind was changed"},
		{"window.ms=1000", "window.count=7 window.kind=tumbling", "hapax.window.kind was changed"},
		{"window.ms=1000 window.kind=tumbling", "window.ms=2000 window.kind=tumbling", "hapax.window.ms was changed"},
		{"window.ms=1000 window.kind=tumbling", "window.count=2000 window.kind=tumbling", "hapax.window.ms was removed and hapax.window.count was added"},
		{"window.ms=1000", "window.ms=1000 identity=value scope=partition", "hapax.identity was changed and hapax.scope was changed"},
	} {
		if got := anewFor(rules(test[0]), rules(test[1])); got != test[2] {
			t.Errorf("%s to %s: %q, want %q", test[0], test[1], got, test[2])
		}
	}
	if got := anewFor(nil, rules("window.ms=1000")); got != "" {
		t.Errorf("where there was none: %q", got)
	}
}

// A window that no time bounds knows how old the copies are that it finds as it warms, and
// those that come then.
func TestWarmedAgesWithoutTime(t *testing.T) {
	clock := newHandClock()
	n := startWith(t, func(o *Options) { o.Clock = clock.now })
	n.makeTopic("orders", 1, nil)
	n.order(0, "7", "x")
	clock.pass(10 * time.Minute)
	n.order(0, "7", "x")
	n.alter("orders", map[string]string{"hapax.identity": "header:id", "hapax.window.count": "2000000"})
	n.enforced("orders")
	clock.pass(10 * time.Hour)
	n.order(0, "7", "x")
	for _, age := range getJSON[IDView](n, idPath("7")).Window.Ages {
		want := int64(0)
		if age.UpTo == 900_000 || age.UpTo == 86_400_000 {
			want = 1
		}
		if age.Duplicates != want {
			t.Errorf("%+v, want %d", age, want)
		}
	}
}
