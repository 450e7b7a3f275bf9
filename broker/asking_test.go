package broker

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/broker/unique"
	"github.com/hapaxmq/hapax/ledger"
)

// handClock is a clock that is moved by hand.
type handClock struct{ ns atomic.Int64 }

func newHandClock() *handClock {
	c := &handClock{}
	c.ns.Store(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC).UnixNano())
	return c
}

func (c *handClock) now() time.Time { return time.Unix(0, c.ns.Load()).UTC() }

func (c *handClock) pass(d time.Duration) { c.ns.Add(int64(d)) }

// windowed is a node with a clock that is moved by hand, and a topic "orders" of
// three partitions with a window of an hour and some settings more.
func windowed(t *testing.T, more map[string]string) (*node, *handClock) {
	c := newHandClock()
	n := startWith(t, func(o *Options) { o.Clock = c.now })
	settings := map[string]string{"hapax.identity": "header:id", "hapax.window.ms": "3600000", "message.timestamp.after.max.ms": "9223372036854775807"}
	for k, v := range more {
		settings[k] = v
	}
	n.makeTopic("orders", 3, settings)
	return n, c
}

// order has a new producer send a record to a partition of orders. An id that is ""
// is none.
func (n *node) order(partition int32, id, value string, more ...kgo.RecordHeader) {
	n.Helper()
	c := n.client(kgo.RecordPartitioner(kgo.ManualPartitioner()))
	defer c.Close()
	r := &kgo.Record{Topic: "orders", Partition: partition, Value: []byte(value), Timestamp: n.broker.options.Clock(), Headers: more}
	if id != "" {
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: "id", Value: []byte(id)})
	}
	if err := c.ProduceSync(n.Context(), r).FirstErr(); err != nil {
		n.Fatal(err)
	}
}

// ask is the status and the error that a path is answered with.
func (n *node) ask(path string) (int, string) {
	n.Helper()
	return n.answered(http.MethodGet, path)
}

func idPath(id string) string { return "/api/v1/topics/orders/ids/" + id }

// What became of an id can be asked, over restarts too, until its window has ended;
// of any other id, from when on it is sure that it did not come.
func TestAskAboutID(t *testing.T) {
	n, clock := windowed(t, nil)
	began := clock.now()
	n.order(1, "7", "first")
	clock.pass(10 * time.Minute)
	n.order(2, "7", "first")
	n.order(0, "7", "first")
	n.order(0, "7", "another")
	n.order(0, "", "none")
	for _, restarted := range []bool{false, true} {
		got := getJSON[IDView](n, idPath("7"))
		if !got.Remembered || len(got.Seen) != 1 || got.Early {
			t.Fatalf("restarted %v: %+v", restarted, got)
		}
		seen := got.Seen[0]
		if !seen.First.Equal(began) || seen.Partition == nil || *seen.Partition != 1 || *seen.Offset != 0 || seen.Copies != 2 || seen.As != "" {
			t.Errorf("restarted %v: %+v", restarted, seen)
		}
		if expires := seen.Expires.Sub(began); expires < time.Hour || expires > time.Hour+time.Hour/128 {
			t.Errorf("it expires after %v", expires)
		}
		want := WindowRecords{Unique: 1, Duplicates: 2, Conflicts: 1, Missing: 1}
		if restarted {
			want = WindowRecords{}
		}
		if got.Window.Records != want {
			t.Errorf("restarted %v: %+v, want %+v", restarted, got.Window.Records, want)
		}
		n.restart()
	}
	never := getJSON[IDView](n, idPath("8"))
	if never.Remembered || len(never.Seen) > 0 || !never.Window.Since.Equal(began) || never.Window.Reach != 600 {
		t.Errorf("never: %+v", never)
	}
	clock.pass(2 * time.Hour)
	if gone := getJSON[IDView](n, idPath("7")); gone.Remembered || gone.Window.Reach != 3600 || gone.Window.Live != 0 {
		t.Errorf("gone: %+v", gone)
	}
}

// A path says any id: what it may not hold is escaped.
func TestAskAboutOddIDs(t *testing.T) {
	n, _ := windowed(t, nil)
	for id, path := range map[string]string{"a/b c": "a%2Fb%20c", "..": "%2E%2E", "ü?x=1": "%C3%BC%3Fx=1", "a//b": "a%2F%2Fb"} {
		n.order(0, id, "x")
		if got := getJSON[IDView](n, idPath(path)); !got.Remembered || got.ID[0] != id {
			t.Errorf("%s: %+v", path, got)
		}
	}
}

// Whatever makes an id can be asked about: parts, fallbacks, fields and bytes.
func TestAskByIdentity(t *testing.T) {
	record := func(key, value string, headers ...string) *kgo.Record {
		r := &kgo.Record{Topic: "orders", Value: []byte(value)}
		if key != "" {
			r.Key = []byte(key)
		}
		for i := 0; i < len(headers); i += 2 {
			r.Headers = append(r.Headers, kgo.RecordHeader{Key: headers[i], Value: []byte(headers[i+1])})
		}
		return r
	}
	for _, test := range []struct {
		identity, scope string
		records         []*kgo.Record
		known, other    string
		as              []string
	}{
		{"header:a+key", "topic", []*kgo.Record{record("k", "x", "a", "v")}, "?part=v&part=k", "?part=k&part=v", []string{""}},
		{"header:a+key", "header:b", []*kgo.Record{record("k", "x", "a", "v", "b", "s")}, "?part=v&part=k&scope=s", "?part=v&part=k&scope=v", []string{""}},
		{"json:a,b.c", "topic", []*kgo.Record{record("", `{"a":7,"b":{"c":"x y"}}`)}, "?part=7&part=x+y", "?part=%227%22&part=x+y", []string{""}},
		{"cloudevents", "topic", []*kgo.Record{record("", "x", "ce_source", "/s", "ce_id", "1")}, "?part=/s&part=1", "?part=/s&part=2", []string{""}},
		{"header:a|key", "topic", []*kgo.Record{record("k", "x"), record("v", "x"), record("k", "x", "a", "v")}, "/v", "/w", []string{"header:a", "key"}},
		{"header:a|key", "topic", []*kgo.Record{record("k", "x"), record("k", "x", "a", "v")}, "/k", "/x", []string{"key"}},
		{"key", "topic", []*kgo.Record{record("\x00\xff", "x")}, "/00ff?encoding=hex", "/00fe?encoding=hex", []string{""}},
		{"key", "header:b", []*kgo.Record{record("\x00\xff", "x", "b", "\xfe")}, "/AP8=?encoding=base64&scope=/g==", "/AP8=?encoding=base64&scope=/w==", []string{""}},
	} {
		t.Run(test.identity, func(t *testing.T) {
			n, _ := windowed(t, map[string]string{"hapax.identity": test.identity, "hapax.scope": test.scope})
			if err := n.client().ProduceSync(t.Context(), test.records...).FirstErr(); err != nil {
				t.Fatal(err)
			}
			var as []string
			known, other := getJSON[IDView](n, "/api/v1/topics/orders/ids"+test.known), getJSON[IDView](n, "/api/v1/topics/orders/ids"+test.other)
			for _, seen := range known.Seen {
				as = append(as, seen.As)
			}
			if !known.Remembered || !slices.Equal(as, test.as) || other.Remembered || len(other.Seen) > 0 {
				t.Errorf("%+v\n%+v", known, other)
			}
		})
	}
}

// An id is asked about within the scope that it was named in.
func TestAskWithinScope(t *testing.T) {
	for _, test := range []struct{ scope, known, other, wrong, lacks string }{
		{"topic", "7", "8", "7?partition=0", "partition is of no account: hapax.scope=topic"},
		{"partition", "7?partition=1", "7?partition=2", "7", "say within which partition: hapax.scope=partition"},
		{"partition", "7?partition=1", "7?partition=0", "7?partition=3", `partition "3": topic "orders" has those from 0 to 2`},
		{"header:tenant", "7?scope=ann", "7?scope=bob", "7", "say within which scope: hapax.scope=header:tenant"},
	} {
		t.Run(test.scope, func(t *testing.T) {
			n, _ := windowed(t, map[string]string{"hapax.scope": test.scope})
			n.order(1, "7", "x", kgo.RecordHeader{Key: "tenant", Value: []byte("ann")})
			if !getJSON[IDView](n, idPath(test.known)).Remembered || getJSON[IDView](n, idPath(test.other)).Remembered {
				t.Error("it is not known where it came, or elsewhere")
			}
			if code, text := n.ask(idPath(test.wrong)); code != http.StatusBadRequest || !strings.Contains(text, test.lacks) {
				t.Errorf("%d %s", code, text)
			}
		})
	}
}

// Who asks amiss is told what to do.
func TestAskAmiss(t *testing.T) {
	n, _ := windowed(t, map[string]string{"hapax.identity": "json:id,part"})
	n.makeTopic("plain", 1, nil)
	for _, test := range []struct {
		path string
		code int
		want string
	}{
		{"/api/v1/topics/none/ids/1", http.StatusNotFound, `there is no topic "none"`},
		{"/api/v1/topics/plain/ids/1", http.StatusNotFound, "set hapax.identity and hapax.window.ms"},
		{idPath("7"), http.StatusBadRequest, `id "7" of topic "orders", hapax.identity=json:id,part: want json:id and json:part, each by itself; or the whole value: `},
		{"/api/v1/topics/orders/ids?part=7&part=8&part=9", http.StatusBadRequest, `id "7" + "8" + "9" of topic "orders", hapax.identity=json:id,part: want json:id and json:part, each by itself`},
		{"/api/v1/topics/orders/ids", http.StatusBadRequest, "no id: want …/ids/ID, or …/ids?part=A&part=B"},
		{idPath("7?encoding=rot13"), http.StatusBadRequest, `encoding "rot13": want hex or base64`},
		{idPath("7?encoding=hex"), http.StatusBadRequest, `"7" is not hex: `},
	} {
		if code, text := n.ask(test.path); code != test.code || !strings.Contains(text, test.want) {
			t.Errorf("%s: %d %s", test.path, code, text)
		}
	}
	if err := n.broker.topics.named("orders").window.close(errWindowOver); err != nil {
		t.Fatal(err)
	}
	if code, text := n.ask(idPath("%7B%22id%22:1,%22part%22:2%7D")); code != http.StatusServiceUnavailable || !strings.Contains(text, "has just ended") {
		t.Errorf("%d %s", code, text)
	}
	if w := getJSON[[]TopicView](n, "/api/v1/topics")[0].Window; w.State != "failed" || w.Failed == "" {
		t.Errorf("%+v", w)
	}
}

// Topics and metrics say how windows do.
func TestViewWindows(t *testing.T) {
	n, clock := windowed(t, map[string]string{"hapax.mode": "shadow", "hapax.duplicates": "mark"})
	for _, id := range []string{"1", "2", "3", "1", "2"} {
		n.order(0, id, "x")
	}
	clock.pass(30 * time.Minute)
	n.order(0, "1", "x")
	n.order(0, "1", "y")
	w := getJSON[[]TopicView](n, "/api/v1/topics")[0].Window
	if w == nil || w.Identity != "header:id" || w.Scope != "topic" || w.Window != "1h0m0s, first" || w.Duplicates != "mark" || w.Conflicts != "drop" || w.Mode != "shadow" || w.Full != "refuse" || w.State != "counting" ||
		w.Live != 3 || w.Cold != 0 || w.Early != 0 || w.Memory <= 0 || w.Disk <= 0 || w.Reach != 1800 {
		t.Errorf("%+v", w)
	}
	const second, minute, hour, day = 1000, 60_000, 3_600_000, 86_400_000
	if want := []WindowAge{
		{0, second, 0}, {second, 10 * second, 0}, {10 * second, minute, 2}, {minute, 5 * minute, 0}, {5 * minute, 15 * minute, 0},
		{15 * minute, hour, 1}, {hour, 6 * hour, 0}, {6 * hour, day, 0}, {day, 7 * day, 0}, {7 * day, 30 * day, 0}, {30 * day, 0, 0},
	}; !slices.Equal(w.Ages, want) {
		t.Errorf("ages: %+v", w.Ages)
	}
	n.broker.topics.named("orders").window.count.refused.Store(2)
	metrics := n.get("/metrics")
	for _, line := range []string{
		`hapax_window_batches_refused_total{topic="orders"} 2`,
		"# HELP hapax_window_ids Ids that the topic remembers.", "# TYPE hapax_window_records_total counter",
		`hapax_window_records_total{topic="orders",verdict="unique"} 3`, `hapax_window_records_total{topic="orders",verdict="duplicate"} 3`,
		`hapax_window_records_total{topic="orders",verdict="conflict"} 1`, `hapax_window_records_total{topic="orders",verdict="missing"} 0`,
		`hapax_window_ids{topic="orders"} 3`, `hapax_window_cold_ids{topic="orders"} 0`, `hapax_window_ids_forgotten_early_total{topic="orders"} 0`,
		`hapax_window_reach_seconds{topic="orders"} 1800`, `hapax_window_failed{topic="orders"} 0`,
		"# TYPE hapax_window_duplicate_age_seconds histogram",
		`hapax_window_duplicate_age_seconds_bucket{topic="orders",le="1"} 0`, `hapax_window_duplicate_age_seconds_bucket{topic="orders",le="900"} 2`,
		`hapax_window_duplicate_age_seconds_bucket{topic="orders",le="3600"} 3`, `hapax_window_duplicate_age_seconds_bucket{topic="orders",le="2592000"} 3`,
		`hapax_window_duplicate_age_seconds_bucket{topic="orders",le="+Inf"} 3`, `hapax_window_duplicate_age_seconds_count{topic="orders"} 3`,
	} {
		if !strings.Contains(metrics, line+"\n") {
			t.Errorf("the metrics lack %s", line)
		}
	}
}

// A window says that it reaches no further back than it does.
func TestSince(t *testing.T) {
	at := func(hours int) time.Time { return time.Unix(1_800_000_000, 0).Add(time.Duration(hours) * time.Hour) }
	for _, test := range []struct {
		name   string
		window hapax.Window
		evict  bool
		stats  ledger.Stats
		want   time.Time
	}{
		{"it began within its time", hapax.Window{Time: 48 * time.Hour}, false, ledger.Stats{Since: at(20)}, at(0)},
		{"its time", hapax.Window{Time: 5 * time.Hour}, false, ledger.Stats{Since: at(23)}, at(19)},
		{"aligned", hapax.Window{Time: 10 * time.Hour, Kind: hapax.Tumbling}, false, ledger.Stats{}, at(20)},
		{"fewer than its count", hapax.Window{Count: 100}, false, ledger.Stats{Live: 99, Since: at(20)}, at(0)},
		{"its count", hapax.Window{Count: 100}, false, ledger.Stats{Live: 100, Since: at(20)}, at(20)},
		{"bytes", hapax.Window{Bytes: 100}, false, ledger.Stats{Live: 1, Since: at(3)}, at(3)},
		{"bytes, and nothing came", hapax.Window{Bytes: 100}, false, ledger.Stats{}, at(0)},
		{"ids may have gone early", hapax.Window{Time: 20 * time.Hour}, true, ledger.Stats{Since: at(6)}, at(6)},
		{"ids have gone early", hapax.Window{Time: 20 * time.Hour}, false, ledger.Stats{EvictedLive: 1, Since: at(6)}, at(6)},
		{"and that is past", hapax.Window{Time: 5 * time.Hour}, true, ledger.Stats{Since: at(6)}, at(19)},
	} {
		r := &unique.Rules{Window: test.window, Evict: test.evict}
		if got := since(r, &test.stats, at(0), at(24)); !got.Equal(test.want) {
			t.Errorf("%s: %v, want %v", test.name, got, test.want)
		}
	}
}

// What is seen of an id reads the same wherever it is asked.
func TestIDViewJSON(t *testing.T) {
	b, err := json.Marshal(IDView{Topic: "orders", ID: []string{"7"}})
	if want := `{"topic":"orders","id":["7"],"remembered":false,"open_transactions":0,"perhaps_forgotten_early":false,"window":`; err != nil || !strings.HasPrefix(string(b), want) {
		t.Errorf("%s: %v", b, err)
	}
}

// A window that is turned on for a topic with records reaches as far back as these
// do: over restarts, and if some of them are gone.
func TestWarmedWindowReaches(t *testing.T) {
	clock := newHandClock()
	n := startWith(t, func(o *Options) { o.Clock = clock.now })
	n.makeTopic("orders", 3, nil)
	var at []time.Time
	for i := range 3 {
		at = append(at, clock.now())
		n.order(int32(i%2), fmt.Sprint(i), "x")
		clock.pass(10 * time.Minute)
	}
	window := map[string]string{"hapax.identity": "header:id", "hapax.window.ms": "7200000"}
	n.alter("orders", window)
	n.enforced("orders")
	want := func(began time.Time, from ...int64) {
		t.Helper()
		for range 2 {
			w := getJSON[IDView](n, idPath("9")).Window
			if !w.Began.Equal(began) || !w.Since.Equal(began) || !slices.Equal(w.From, from) || w.State != "enforced" {
				t.Errorf("it began %v, is sure since %v, is enforced from %v, and is %s; want %v, %v", w.Began, w.Since, w.From, w.State, began, from)
			}
			n.restart()
		}
	}
	want(at[0], 2, 1, 0)
	if got := getJSON[IDView](n, idPath("2")); !got.Remembered || !got.Seen[0].First.Equal(at[2]) || *got.Seen[0].Partition != 0 || *got.Seen[0].Offset != 1 {
		t.Errorf("%+v", got)
	}
	n.alter("orders", map[string]string{"hapax.identity": "", "hapax.window.ms": ""})
	var gone kadm.Offsets
	gone.AddOffset("orders", 0, 1, -1)
	if _, err := n.admin().DeleteRecords(t.Context(), gone); err != nil {
		t.Fatal(err)
	}
	n.alter("orders", window)
	n.enforced("orders")
	want(at[2], 2, 1, 0)
}

// An id of open transactions is told of, and is remembered once one commits. From then on
// the copies that come are counted, whatever becomes of their transactions.
func TestAskAboutOpenID(t *testing.T) {
	n, _ := windowed(t, nil)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	one, two := n.transaction(ctx, "one", 7, 8), n.transaction(ctx, "two", 7, 8)
	want := func(open int, remembered bool) {
		t.Helper()
		if got := getJSON[IDView](n, idPath("7")); got.Open != open || got.Remembered != remembered {
			t.Errorf("%d open, remembered %v; want %d, %v", got.Open, got.Remembered, open, remembered)
		}
	}
	want(2, false)
	if err := one.EndTransaction(ctx, kgo.TryAbort); err != nil {
		t.Fatal(err)
	}
	want(1, false)
	if err := two.EndTransaction(ctx, kgo.TryCommit); err != nil {
		t.Fatal(err)
	}
	want(0, true)
	three := n.transaction(ctx, "three", 7, 8)
	if err := three.EndTransaction(ctx, kgo.TryAbort); err != nil {
		t.Fatal(err)
	}
	if got := getJSON[IDView](n, idPath("7")); got.Seen[0].Copies != 1 {
		t.Errorf("%d copies came, want the one of a transaction that was aborted", got.Seen[0].Copies)
	}
}

// An id that is not remembered may have been forgotten early as long as the window is
// shorter for it, and no longer.
func TestEarly(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	began := now.Add(-240 * time.Hour)
	r := &unique.Rules{Window: hapax.Window{Time: 128 * time.Hour}}
	for _, test := range []struct {
		early int64
		since time.Time
		want  bool
	}{
		{0, now.Add(-time.Hour), false},
		{5, now.Add(-time.Hour), true},
		{5, now.Add(-125 * time.Hour), true},
		{5, now.Add(-127 * time.Hour), true},
		{5, now.Add(-128 * time.Hour), false},
	} {
		if got := early(r, &WindowView{Early: test.early, Began: began, Since: test.since}, now); got != test.want {
			t.Errorf("%d early, since %v: %v", test.early, test.since, got)
		}
	}
	began = now.Add(-time.Minute)
	for _, since := range []time.Time{began, began.Add(time.Second), now} { // it is young
		if !early(r, &WindowView{Early: 1, Began: began, Since: since}, now) || early(r, &WindowView{Began: began, Since: since}, now) {
			t.Errorf("of a young window, since %v", since)
		}
	}
}
