package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/hapaxmq/hapax/broker"
)

// asked is a node in this process, with a clock that is moved by hand.
type asked struct {
	*testing.T
	node  *broker.Broker
	http  string // its address
	clock atomic.Int64
}

func ask(t *testing.T) *asked {
	a := &asked{T: t}
	a.clock.Store(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC).UnixNano())
	b, err := broker.Open(filepath.Join(t.TempDir(), "data"), broker.Options{
		Listeners: []broker.Listener{{Address: "127.0.0.1:0"}}, Clock: func() time.Time { return time.Unix(0, a.clock.Load()) },
		Logger: slog.New(slog.NewTextHandler(t.Output(), nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	a.node = b
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); b.Serve(ctx) }()
	s := httptest.NewServer(b.Handler())
	a.http = s.Listener.Addr().String()
	t.Cleanup(func() {
		s.Close()
		cancel()
		<-done
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return a
}

func (a *asked) pass(d time.Duration) { a.clock.Add(int64(d)) }

func (a *asked) client() *kgo.Client {
	a.Helper()
	c, err := kgo.NewClient(kgo.SeedBrokers(a.node.Addresses()...), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.DisableClientMetrics())
	if err != nil {
		a.Fatal(err)
	}
	a.Cleanup(c.Close)
	return c
}

// topic makes one of two partitions, with settings NAME=VALUE.
func (a *asked) topic(name string, settings ...string) {
	a.Helper()
	set := make(map[string]*string)
	for _, s := range settings {
		name, value, _ := strings.Cut(s, "=")
		set[name] = &value
	}
	if _, err := kadm.NewClient(a.client()).CreateTopic(a.Context(), 2, 1, set, name); err != nil {
		a.Fatal(err)
	}
}

// send sends records ID=VALUE to a partition. One without "=" has no id.
func (a *asked) send(topic string, partition int32, records ...string) {
	a.Helper()
	c := a.client()
	for _, text := range records {
		id, value, ok := strings.Cut(text, "=")
		r := &kgo.Record{Topic: topic, Partition: partition, Value: []byte(value), Timestamp: time.Unix(0, a.clock.Load())}
		if ok {
			r.Headers = []kgo.RecordHeader{{Key: "id", Value: []byte(id)}}
		}
		if err := c.ProduceSync(a.Context(), r).FirstErr(); err != nil {
			a.Fatal(err)
		}
	}
}

// run runs a command against the node.
func (a *asked) run(args ...string) (code int, out, said string) {
	var stdout, stderr bytes.Buffer
	code = run(a.Context(), append([]string{args[0], "--broker", a.http}, args[1:]...), nil, &stdout, &stderr)
	return code, stdout.String(), stderr.String()
}

// want demands an exit code and all that is printed.
func (a *asked) want(code int, want string, args ...string) {
	a.Helper()
	got, out, said := a.run(args...)
	out = regexp.MustCompile(`(?m)(, |memory +|disk +)[\d.]+ K?B$`).ReplaceAllString(out, "$1… B")
	if got != code || out != want || said != "" {
		a.Errorf("hapax %s: exit code %d, want %d; %s\n%s\nwant\n%s", strings.Join(args, " "), got, code, said, out, want)
	}
}

// What a topic knows of an id is said in sentences, and by the exit code.
func TestWhy(t *testing.T) {
	t.Parallel()
	a := ask(t)
	a.topic("orders", "hapax.identity=header:id", "hapax.window.ms=86400000")
	a.send("orders", 1, "7=x", "8=x")
	a.want(0, `orders: 8 was first seen at 2026-03-01T12:00:00Z, in partition 1 at offset 1.
No copy came since. Copies are dropped, and their producers see success.
Records with a known id and another value are dropped too: 0 in the topic since the node was started or the window began.
It is remembered until 2026-03-02T12:11:15Z.
The window: header:id, 24h0m0s, first; one record of each id in the topic.
`, "why", "orders", "8")
	a.pass(90 * time.Minute)
	a.send("orders", 0, "7=x", "7=x", "7=other")
	a.want(0, `orders: 7 was first seen at 2026-03-01T12:00:00Z, in partition 1 at offset 0.
2 copies came since. Copies are dropped, and their producers see success.
Records with a known id and another value are dropped too: 1 in the topic since the node was started or the window began.
It is remembered until 2026-03-02T12:11:15Z.
The window: header:id, 24h0m0s, first; one record of each id in the topic.
`, "why", "orders", "7")
	a.want(1, `orders: 9 is not remembered.
It did not come since 2026-03-01T12:00:00Z, which is when the window began.
The window: header:id, 24h0m0s, first; one record of each id in the topic.
`, "why", "orders", "9")
	a.pass(48 * time.Hour)
	a.want(1, `orders: 7 is not remembered.
It did not come since 2026-03-02T13:30:00Z, which is as far as the window reaches back.
The window: header:id, 24h0m0s, first; one record of each id in the topic.
`, "why", "orders", "7")
}

// Where ids are within others, and of content, and only counted.
func TestWhyWithin(t *testing.T) {
	t.Parallel()
	a := ask(t)
	a.topic("chats", "hapax.identity=value", "hapax.window.count=1000", "hapax.window.bytes=1000000", "hapax.scope=header:id", "hapax.mode=shadow", "hapax.duplicates=mark")
	a.send("chats", 1, "ann=hello", "ann=hello")
	a.want(0, `chats: hello within ann was first seen at 2026-03-01T12:00:00Z, in partition 1 at offset 0.
1 copy came since. Copies are kept, for the window only counts them: hapax.mode=shadow.
It is remembered until 1,000 other ids came or 1 MB of other records came.
The window: value, 1000 ids or 1000000 bytes, first; one record of each id among those with the same header:id.
`, "why", "--scope", "ann", "chats", "hello")
	a.want(1, `chats: "hel\nlo" within bob is not remembered.
It did not come since 2026-03-01T12:00:00Z, which is when the window began.
The window: value, 1000 ids or 1000000 bytes, first; one record of each id among those with the same header:id.
`, "why", "--scope", "bob", "chats", "hel\nlo")
}

// An id of several parts is asked about by each, one of fallbacks as each of them, and
// one of any bytes in a code of them.
func TestWhyParts(t *testing.T) {
	t.Parallel()
	a := ask(t)
	a.topic("events", "hapax.identity=header:id+json:n", "hapax.window.count=9000000")
	a.send("events", 1, "eu=7")
	const events = "The window: header:id+json:n, 9000000 ids, first; one record of each id in the topic.\n"
	a.send("events", 1, `eu={"n":"a b"}`)
	a.want(0, `events: eu + a b was first seen at 2026-03-01T12:00:00Z, in partition 1 at offset 1.
No copy came since. Copies are dropped, and their producers see success.
Records with a known id and another value are dropped too: 0 in the topic since the node was started or the window began.
It is remembered until 9,000,000 other ids came.
`+events, "why", "events", "eu", "a b")
	a.want(1, `events: eu + 8 is not remembered.
In a field 8 is no string: for that ask about '"8"'.
It did not come since 2026-03-01T12:00:00Z, which is when the window began.
1 record came without an id since the node was started or the window began. Such records are kept.
`+events, "why", "events", "eu", "8")
	if code, out, said := a.run("why", "events", "eu"); code != exitUnasked || out != "" || !strings.Contains(said, "want header:id and json:n, each by itself") {
		t.Errorf("exit code %d, %s %s", code, out, said)
	}
	a.topic("orders", "hapax.identity=json:n|header:id", "hapax.window.ms=86400000", "hapax.conflicts=accept")
	a.send("orders", 0, `no={"n":"7"}`, `7={}`)
	const seven = `orders: 37 as %s was first seen at 2026-03-01T12:00:00Z, in partition 0 at offset %d.
No copy came since. Copies are dropped, and their producers see success.
Records with a known id and another value are kept: 0 in the topic since the node was started or the window began.
It is remembered until 2026-03-02T12:11:15Z.
`
	const orders = "The window: json:n|header:id, 24h0m0s, first; one record of each id in the topic.\n"
	a.want(0, fmt.Sprintf(seven, "header:id", 1)+orders, "why", "--encoding", "hex", "orders", "37")
	a.send("orders", 0, `no={"n":7}`)
	a.want(0, fmt.Sprintf(seven, "json:n", 2)+fmt.Sprintf(seven, "header:id", 1)+orders, "why", "--encoding", "hex", "orders", "37")
}

// The JSON is the node's own.
func TestWhyJSON(t *testing.T) {
	t.Parallel()
	a := ask(t)
	a.topic("orders", "hapax.identity=header:id", "hapax.window.ms=86400000", "hapax.scope=partition")
	a.send("orders", 1, "7/..=x")
	for code, partition := range []string{"1", "0"} {
		got, out, said := a.run("why", "--json", "--partition", partition, "orders", "7/..")
		var seen broker.IDView
		if err := json.Unmarshal([]byte(out), &seen); err != nil || got != code || said != "" || seen.Remembered != (code == 0) || seen.ID[0] != "7/.." {
			t.Errorf("partition %s: exit code %d, %v %s\n%s", partition, got, err, said, out)
		}
	}
}

// Of a window that was begun in the place of another it is said since when it is what it
// is, and nothing of what the other had left out.
func TestWhyBegunAnew(t *testing.T) {
	t.Parallel()
	a := ask(t)
	a.topic("orders", "hapax.identity=header:id", "hapax.window.ms=86400000")
	a.send("orders", 1, "7=x", "7=x")
	a.pass(time.Hour)
	kind := "renewed"
	if _, err := kadm.NewClient(a.client()).AlterTopicConfigs(a.Context(), []kadm.AlterConfig{{Name: "hapax.window.kind", Value: &kind}}, "orders"); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); runtime.Gosched() {
		if _, out, _ := a.run("topics", "orders"); strings.Contains(out, "\n  state       enforced; begun anew at 2026-03-01T13:00:00Z because hapax.window.kind was changed; copies passed until it was warm\n") {
			break
		}
	}
	const window = `The window: header:id, 24h0m0s, renewed; one record of each id in the topic.
It was begun anew at 2026-03-01T13:00:00Z because hapax.window.kind was changed: copies are dealt with from offset 0 of partition 0, 2 of partition 1 on.
`
	a.want(0, `orders: 7 was first seen at 2026-03-01T12:00:00Z, in partition 1 at offset 0.
No copy came since, but for those that were left out before 2026-03-01T13:00:00Z, which are not counted. Copies are dropped, and their producers see success.
Records with a known id and another value are dropped too: 0 in the topic since the node was started or the window began.
Copies that came before the offsets that are named below stand in the topic.
It is remembered until 2026-03-02T12:11:15Z.
`+window, "why", "orders", "7")
	a.want(1, `orders: 8 is not remembered.
It did not come since 2026-03-01T13:00:00Z, when the window was begun anew, and no record that was there then has it, back to 2026-03-01T12:00:00Z; copies that were left out before are not known.
`+window, "why", "orders", "8")
}

// Of a window that only counted before it was enforced it is said from where on copies are
// dealt with, and that those before stand.
func TestWhyOutOfShadow(t *testing.T) {
	t.Parallel()
	a := ask(t)
	a.topic("orders", "hapax.identity=header:id", "hapax.window.ms=86400000", "hapax.mode=shadow")
	a.send("orders", 1, "7=x", "7=x")
	mode := "enforce"
	if _, err := kadm.NewClient(a.client()).AlterTopicConfigs(a.Context(), []kadm.AlterConfig{{Name: "hapax.mode", Value: &mode}}, "orders"); err != nil {
		t.Fatal(err)
	}
	a.send("orders", 1, "7=x", "8=x")
	const window = `The window: header:id, 24h0m0s, first; one record of each id in the topic.
It was turned on, or hapax.mode=enforce was set, later than the topic was made: copies are dealt with from offset 0 of partition 0, 2 of partition 1 on.
`
	a.want(0, `orders: 7 was first seen at 2026-03-01T12:00:00Z, in partition 1 at offset 0.
2 copies came since. Copies are dropped, and their producers see success.
Records with a known id and another value are dropped too: 0 in the topic since the node was started or the window began.
Copies that came before the offsets that are named below stand in the topic.
It is remembered until 2026-03-02T12:11:15Z.
`+window, "why", "orders", "7")
	a.want(0, `orders: 8 was first seen at 2026-03-01T12:00:00Z, in partition 1 at offset 3.
No copy came since. Copies are dropped, and their producers see success.
Records with a known id and another value are dropped too: 0 in the topic since the node was started or the window began.
It is remembered until 2026-03-02T12:11:15Z.
`+window, "why", "orders", "8")
}

// Sentences that a small window has no reason to say.
func TestWhyText(t *testing.T) {
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	window := broker.WindowView{
		Identity: "key", Scope: "partition", Window: "1h0m0s or 5 ids, renewed", Duplicates: "topic:copies", Conflicts: "reject", Mode: "enforce",
		State: "failed", Failed: "the disk is gone", Began: at, Since: at.Add(time.Hour), Early: 1234,
	}
	expires := at.Add(3 * time.Hour)
	for _, test := range []struct {
		view broker.IDView
		want string
	}{
		{broker.IDView{Topic: "t", ID: []string{"7"}, Early: true, Window: window}, `t: 7 is not remembered.
It did not come since 2026-03-01T13:00:00Z, which is as far as the window reaches back.
It may have come before, and have been forgotten early: 1,234 ids have left before their window ended since it was turned on, for the window's memory or disk was used up.
The window: key, 1h0m0s or 5 ids, renewed; one record of each id in each partition.
It has failed, and the topic takes nothing until that is mended and the node is started again, or hapax.identity is taken from it and set anew: the disk is gone.
`},
		{broker.IDView{Topic: "t", ID: []string{"7"}, Open: 2, Window: broker.WindowView{Identity: "key", Scope: "topic", Window: "1h0m0s, first", From: []int64{7, 0}, State: "enforced", Began: at, Since: at, Set: at.Add(time.Hour)}}, `t: 7 is not remembered.
2 open transactions have records with it, and it is remembered once one of them commits.
No other came since 2026-03-01T13:00:00Z, when the window was turned on, and no record that was there then has it, back to 2026-03-01T12:00:00Z.
The window: key, 1h0m0s, first; one record of each id in the topic.
It was turned on, or hapax.mode=enforce was set, later than the topic was made: copies are dealt with from offset 7 of partition 0, 0 of partition 1 on.
`},
		{broker.IDView{Topic: "t", ID: []string{"7"}, Window: broker.WindowView{Identity: "key", Scope: "topic", Window: "5 ids, tumbling", State: "enforced", Began: at, Since: at, Refused: 3, Relief: "raise it", Missing: "accept", Records: broker.WindowRecords{Missing: 2}}}, `t: 7 is not remembered.
It did not come since 2026-03-01T12:00:00Z, which is when the window began.
2 records came without an id since the node was started or the window began. Such records are kept.
It may have come in a batch that was refused, for the window's memory or disk was used up: 3 were since the node was started or the window began. What helps: raise it.
The window: key, 5 ids, tumbling; one record of each id in the topic.
`},
		{broker.IDView{Topic: "t", ID: []string{"7"}, Open: 1, Window: broker.WindowView{Identity: "key", Scope: "topic", Window: "1h0m0s, first", State: "warming"}}, `t: 7 is not remembered.
An open transaction has a record with it, and it is remembered once that commits.
The window: key, 1h0m0s, first; one record of each id in the topic.
It is warming: records pass until it has read those that are there.
`},
		{broker.IDView{Topic: "t", ID: []string{"7"}, Remembered: true, Seen: []broker.SeenView{{First: at, Expires: &expires}}, Window: window}, `t: 7 was first seen at 2026-03-01T12:00:00Z.
No copy came since. Copies go to topic copies.
Records with a known id and another value are refused, with all of their batch: 0 in the topic since the node was started or the window began.
It is remembered until 2026-03-01T15:00:00Z, or until 5 other ids came.
The window: key, 1h0m0s or 5 ids, renewed; one record of each id in each partition.
It has failed, and the topic takes nothing until that is mended and the node is started again, or hapax.identity is taken from it and set anew: the disk is gone.
`},
		{broker.IDView{Topic: "t", ID: []string{"7"}, Remembered: true, Seen: []broker.SeenView{{First: at}}, Window: broker.WindowView{Identity: "key", Scope: "topic", Window: "5 ids or 1000 bytes, tumbling", Duplicates: "reject", State: "enforced"}}, `t: 7 was first seen at 2026-03-01T12:00:00Z.
No copy came since. Copies are refused, with all of their batch, and not counted here.
It is remembered until 5 ids have come to its window and one more comes or 1 KB of records have come to its window and one more comes.
The window: key, 5 ids or 1000 bytes, tumbling; one record of each id in the topic.
`},
	} {
		if got := whyText(&test.view); got != test.want {
			t.Errorf("%s\nwant\n%s", got, test.want)
		}
	}
}
