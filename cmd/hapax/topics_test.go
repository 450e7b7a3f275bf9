package main

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hapaxmq/hapax/broker"
)

// Topics are listed with what their windows have counted.
func TestTopics(t *testing.T) {
	t.Parallel()
	a := ask(t)
	a.want(0, "There are no topics.\n", "topics")
	a.topic("plain")
	a.send("plain", 0, "1=x", "1=x")
	const plain = "plain  2 partitions, 2 offsets, … B\n"
	a.want(0, plain, "topics")
	a.topic("orders", "hapax.identity=header:id", "hapax.window.ms=86400000")
	a.send("orders", 1, "7=x", "8=x", "7=x")
	a.pass(90 * time.Minute)
	a.send("orders", 0, "8=x", "7=x", "7=other", "no id")
	const orders = `orders  2 partitions, 7 offsets, … B
  window      header:id, 24h0m0s, first; one record of each id in the topic
  state       enforced
  unique      2
  duplicates  3  42.9 %  (drop)
  conflicts   1  14.3 %  (drop)
  without id  1  14.3 %  (accept)
  remembered  2, of which 0 on disk only
  reaches     back to 2026-03-01T12:00:00Z, 1.5h
  memory      … B
  disk        … B
  duplicates by age, and how many are no older; ages are up to 11m too large
    5m to 15m  1  33.3 %  ████████████████████
    15m to 1h  0  33.3 %
    1h to 6h   2  100 %  ████████████████████████████████████████
`
	const counted = "\nRecords are counted since the node was started or, if that was later, their window began; ages since it was last opened.\n"
	a.want(0, orders+"\n"+plain+counted, "topics")
	a.want(0, orders+counted, "topics", "orders")
	a.want(0, plain, "topics", "plain")
	code, out, said := a.run("topics", "--json", "orders")
	var all []broker.TopicView
	if err := json.Unmarshal([]byte(out), &all); err != nil || code != 0 || said != "" || len(all) != 1 || all[0].Window.Records.Duplicates != 3 {
		t.Errorf("exit code %d, %v %s\n%s", code, err, said, out)
	}
}

// Lengths of time are short, and bars as long as what they stand for.
func TestSpanText(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0ms", 999 * time.Millisecond: "999ms", time.Second: "1s", 1500 * time.Millisecond: "1.5s", 42 * time.Second: "42s",
		90 * time.Minute: "1.5h", 36 * time.Hour: "1.5d", 400 * 24 * time.Hour: "400d",
	} {
		if got := spanText(d); got != want {
			t.Errorf("%v: %s, want %s", d, got, want)
		}
	}
	for age, want := range map[broker.WindowAge]string{{UpTo: 1000}: "up to 1s", {Above: 300_000, UpTo: 900_000}: "5m to 15m", {Above: 2_592_000_000}: "above 30d"} {
		if got := ageText(age); got != want {
			t.Errorf("%+v: %s, want %s", age, got, want)
		}
	}
	for _, test := range []struct {
		window broker.WindowView
		want   string
	}{
		{broker.WindowView{Live: 7, Reach: 90, State: "enforced"}, "back to 0001-01-01T00:00:00Z, 1.5m"},
		{broker.WindowView{State: "enforced"}, "back to 0001-01-01T00:00:00Z, 0ms"},
		{broker.WindowView{Live: 7, State: "enforced"}, "back to 0001-01-01T00:00:00Z: that all are remembered is sure only of those that come from now on"},
		{broker.WindowView{Live: 7, State: "warming"}, "not back yet: it has not read all that is there"},
	} {
		if got := reachesText(&test.window); got != test.want {
			t.Errorf("%s, want %s", got, test.want)
		}
	}
	if got := counted(1, "offset", "offsets") + counted(0, "offset", "offsets"); got != "1 offset0 offsets" {
		t.Error(got)
	}
	states := []string{stateText(&broker.WindowView{State: "failed", Failed: "x"}), stateText(&broker.WindowView{State: "counting"}), stateText(&broker.WindowView{State: "warming"})}
	if want := []string{"failed, and the topic takes nothing until that is mended and the node is started again, or hapax.identity is taken from it and set anew: x", "only counting: hapax.mode=shadow", "warming: records pass until it has read those that are there"}; !slices.Equal(states, want) {
		t.Errorf("%q", states)
	}
}

// In shadow nothing is said to be done to records, whatever the window's state; one that
// is full as it warms says what helps.
func TestShadowText(t *testing.T) {
	const takes = "until that is mended and the node is started again, or hapax.identity is taken from it and set anew: "
	for _, test := range []struct {
		window broker.WindowView
		want   string
	}{
		{broker.WindowView{State: "counting"}, "only counting: hapax.mode=shadow"},
		{broker.WindowView{State: "warming"}, "warming: records pass until it has read those that are there; then it only counts: hapax.mode=shadow"},
		{broker.WindowView{State: "warming", Short: "raise it"}, "warming, and full: records pass until there is room to read those that are there: raise it; then it only counts: hapax.mode=shadow"},
		{broker.WindowView{State: "failed", Failed: "x"}, "failed, and records pass uncounted " + takes + "x"},
	} {
		w := test.window
		w.Mode, w.Duplicates, w.Conflicts, w.Missing, w.From = "shadow", "drop", "reject", "reject", []int64{7}
		w.Records = broker.WindowRecords{Unique: 2, Duplicates: 1, Missing: 1}
		if got := stateText(&w); got != test.want {
			t.Errorf("%s, want %s", got, test.want)
		}
		why := whyText(&broker.IDView{Topic: "t", ID: []string{"7"}, Remembered: true, Seen: []broker.SeenView{{}}, Window: w}) +
			whyText(&broker.IDView{Topic: "t", ID: []string{"7"}, Window: w})
		if w.State != "counting" && !strings.Contains(why, test.want) {
			t.Errorf("%s lacks %s", why, test.want)
		}
		all := why + topicsText([]broker.TopicView{{Name: "t", Window: &w}})
		for _, not := range []string{"(drop)", "(reject)", "are dropped", "are refused", "dealt with", "takes nothing"} {
			if strings.Contains(all, not) {
				t.Errorf("%s: it says %s:\n%s", w.State, not, all)
			}
		}
	}
	full := broker.WindowView{State: "warming", Short: "raise it", Mode: "enforce"}
	const want = "warming, and full: records pass until there is room to read those that are there: raise it"
	if got := stateText(&full); got != want {
		t.Error(got)
	}
}
