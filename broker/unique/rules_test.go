package unique

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hapaxmq/hapax"
)

// set is settings by their names without "hapax.".
func set(pairs ...string) map[string]string {
	own := make(map[string]string)
	for i := 0; i < len(pairs); i += 2 {
		own["hapax."+pairs[i]] = pairs[i+1]
	}
	return own
}

func parse(tb testing.TB, pairs ...string) *Rules {
	tb.Helper()
	r, err := Parse("orders", false, set(pairs...))
	if err != nil || r == nil {
		tb.Fatalf("%v: %v, %v", pairs, r, err)
	}
	return r
}

func TestParse(t *testing.T) {
	if r, err := Parse("orders", true, map[string]string{"retention.ms": "5", SettingIdentity: "", SettingScope: ""}); r != nil || err != nil {
		t.Errorf("no window: %v, %v", r, err)
	}
	r := parse(t, "identity", "header:id", "window.ms", "86400000")
	if r.Window != (hapax.Window{Time: 24 * time.Hour}) || r.Identity.String() != "header:id" || r.Scope.String() != "topic" {
		t.Errorf("by default: %+v", r)
	}
	if r.Duplicates != (Policy{}) || r.Conflicts != (Policy{}) || r.Missing != (Policy{Fate: Accept}) || r.Shadow || r.Evict || r.MaxMemory != 256<<20 || r.MaxDisk != 0 {
		t.Errorf("by default: %+v", r)
	}
	r = parse(t, "identity", "json:a,b.c+header:x|value", "window.ms", "5", "window.count", "6", "window.bytes", "7", "window.kind", "renewed",
		"window.full", "evict", "window.memory.bytes", "8388608", "window.disk.bytes", "67108864",
		"scope", "json:user.id", "duplicates", "topic:copies", "conflicts", "topic:odd", "missing", "reject", "mode", "shadow")
	if r.Window != (hapax.Window{Time: 5 * time.Millisecond, Count: 6, Bytes: 7, Kind: hapax.Renewed}) || !r.Evict || !r.Shadow || r.MaxMemory != 8<<20 || r.MaxDisk != 64<<20 {
		t.Errorf("all: %+v", r)
	}
	if r.Identity.String() != "json:a,b.c+header:x|content" || r.Scope.String() != "json:user.id" || r.Missing.Fate != Reject || !slices.Equal(r.Routes(), []string{"copies", "odd"}) {
		t.Errorf("all: %+v", r)
	}
	if r := parse(t, "identity", "key", "window.count", "9", "window.disk.bytes", "-1", "duplicates", "mark", "conflicts", "reject"); r.Duplicates.Fate != Mark || r.Conflicts.Fate != Reject || r.MaxDisk != 0 {
		t.Errorf("%+v", r)
	}
}

func TestParseRefuses(t *testing.T) {
	good := set("identity", "header:id", "window.ms", "1000")
	for _, test := range []struct {
		name, value string
		want        string
	}{
		{"identity", "", "setting hapax.window.ms=1000 says nothing without hapax.identity: set that too, or delete this"},
		{"identity", "id", "setting hapax.identity=id: no such kind: want key, header:NAME, json:PATH[,PATH…], cloudevents, value, content:-PATH[,PATH…] or content:+PATH[,PATH…], joined by + or, as a fallback, |"},
		{"identity", "header:", "setting hapax.identity=header:: the header's name is empty"},
		{"identity", "header:id,x", "setting hapax.identity=header:id,x: want one header: join several by +, as in header:a+header:b, or name one to fall back on by |"},
		{"identity", "json:", "setting hapax.identity=json:: path is empty"},
		{"identity", "key+", "setting hapax.identity=key+: nothing stands on one side of a + or |"},
		{"identity", "|", "setting hapax.identity=|: nothing stands on one side of a + or |"},
		{"identity", "key|foo", `setting hapax.identity=key|foo: "foo": no such kind: want key, header:NAME`},
		{"identity", "line", "setting hapax.identity=line: no such kind: want key, header:NAME"},
		{"identity", "key+sequence:a,b", `"sequence:a,b": no such kind`},
		{"window.ms", "", "set hapax.window.ms, hapax.window.count or hapax.window.bytes"},
		{"window.ms", "0", "setting hapax.window.ms=0: want a number from 1 to 3153600000000"},
		{"window.ms", "1d", "want a number from 1 to"},
		{"window.count", "-1", "setting hapax.window.count=-1: want a number from 1 to"},
		{"window.bytes", "9223372036854775808", "want a number from 1 to 9223372036854775807"},
		{"window.kind", "sliding", "setting hapax.window.kind=sliding: want first, renewed or tumbling"},
		{"window.full", "panic", "want refuse or evict"},
		{"window.memory.bytes", "1024", "want a number from 4194304 to"},
		{"window.disk.bytes", "0", "setting hapax.window.disk.bytes=0: want a number of at least 16777216, or -1 for no bound"},
		{"window.disk.bytes", "-2", "setting hapax.window.disk.bytes=-2: want a number of at least 16777216, or -1 for no bound"},
		{"window.disk.bytes", "16777215", "want a number of at least 16777216, or -1"},
		{"window.disk.bytes", "x", "want a number of at least 16777216, or -1"},
		{"window.disk.bytes", "9223372036854775808", "want a number of at least 16777216, or -1"},
		{"scope", "tenant", "setting hapax.scope=tenant: want topic, partition, header:NAME or json:PATH"},
		{"scope", "json:", "setting hapax.scope=json:: path is empty"},
		{"scope", "header:a+key", "setting hapax.scope=header:a+key: want one header or one field: put others into hapax.identity, joined by +"},
		{"scope", "json:a,b", "want one header or one field"},
		{"scope", "header:a|header:b", "want one header or one field"},
		{"duplicates", "accept", "setting hapax.duplicates=accept: want drop, mark, topic:NAME or reject"},
		{"duplicates", "topic:", "want drop, mark, topic:NAME or reject"},
		{"duplicates", "topic:orders", `topic "orders" cannot take what it does not keep itself: name another topic`},
		{"conflicts", "mark", "want drop, accept, topic:NAME or reject"},
		{"conflicts", "topic:orders", "name another topic"},
		{"missing", "drop", "want accept or reject"},
		{"mode", "off", "want enforce or shadow"},
	} {
		own := maps.Clone(good)
		own["hapax."+test.name] = test.value
		if r, err := Parse("orders", false, own); r != nil || err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s=%s: %v, want %s", test.name, test.value, err, test.want)
		}
	}
	if _, err := Parse("orders", false, set("identity", "value", "window.ms", "9", "conflicts", "reject")); err == nil || !strings.Contains(err.Error(), "is their whole value") {
		t.Errorf("conflicts of values: %v", err)
	}
	for spec, refused := range map[string]bool{"window.count": true, "window.bytes": true, "window.ms": false} {
		_, err := Parse("orders", false, set("identity", "key", spec, "9", "window.kind", "tumbling", "window.full", "evict"))
		if refused != (err != nil) || refused && !strings.Contains(err.Error(), "setting hapax.window.full=evict: a tumbling window of a count or of bytes ends for all of its ids at once") {
			t.Errorf("a tumbling window of %s that evicts: %v", spec, err)
		}
	}
	for spec, refused := range map[string]bool{"key": true, "header:id|key": true, "key+key": true, "key+header:id": false, "json:id": false} {
		_, err := Parse("orders", true, set("identity", spec, "window.ms", "9"))
		if refused != (err != nil) || refused && !strings.Contains(err.Error(), "cleanup.policy=compact") {
			t.Errorf("%s of a compacted topic: %v", spec, err)
		}
	}
}

// Only what ids are made of, and since when they stay, begins a window anew.
func TestSameWindow(t *testing.T) {
	own := set("identity", "header:id", "window.ms", "1000")
	was := parse(t, "identity", "header:id", "window.ms", "1000")
	for name, test := range map[string]struct {
		value string
		same  bool
	}{
		"identity": {"header:key", false}, "scope": {"partition", false}, "window.kind": {"renewed", false},
		"window.ms": {"2000", true}, "window.count": {"7", true}, "window.bytes": {"9", true}, "window.full": {"evict", true},
		"window.memory.bytes": {"5000000", true}, "window.disk.bytes": {"50000000", true},
		"duplicates": {"reject", true}, "conflicts": {"accept", true}, "missing": {"reject", true}, "mode": {"shadow", true},
	} {
		changed := maps.Clone(own)
		changed["hapax."+name] = test.value
		is, err := Parse("orders", false, changed)
		if err != nil || SameWindow(was, is) != test.same || SameWindow(is, was) != test.same {
			t.Errorf("%s=%s: %v, want the same %v", name, test.value, err, test.same)
		}
	}
	if len(Names()) != 13 {
		t.Error("a setting is not tried")
	}
	if SameWindow(was, nil) || SameWindow(nil, was) || !SameWindow(nil, nil) {
		t.Error("none is another one")
	}
	alias, named := parse(t, "identity", "value", "window.ms", "1"), parse(t, "identity", "content", "window.ms", "1", "scope", "topic")
	if !SameWindow(alias, named) || named.Digests() {
		t.Error("value is not content")
	}
}
