package broker

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/hapaxmq/hapax/broker/code"
)

func (n *node) get(path string) string {
	n.Helper()
	w := httptest.NewRecorder()
	n.broker.Handler().ServeHTTP(w, httptest.NewRequestWithContext(n.Context(), "GET", path, nil))
	if w.Code != 200 {
		n.Fatalf("GET %s: %d %s", path, w.Code, w.Body)
	}
	return w.Body.String()
}

// getJSON reads an answer, of which nothing may be left over.
func getJSON[V any](n *node, path string) (v V) {
	n.Helper()
	d := json.NewDecoder(strings.NewReader(n.get(path)))
	d.DisallowUnknownFields()
	if err := d.Decode(&v); err != nil {
		n.Fatalf("GET %s: %v", path, err)
	}
	return v
}

// answered is the status and the error that a request is answered with, as JSON.
func (n *node) answered(method, path string) (int, string) {
	n.Helper()
	w := httptest.NewRecorder()
	n.broker.Handler().ServeHTTP(w, httptest.NewRequestWithContext(n.Context(), method, path, nil))
	var told struct{ Error string }
	if err := json.Unmarshal(w.Body.Bytes(), &told); err != nil || w.Header().Get("Content-Type") != "application/json" {
		n.Errorf("%s %s: %v\n%s", method, path, err, w.Body)
	}
	return w.Code, told.Error
}

// What cannot be answered below /api is told as JSON too.
func TestAPIErrors(t *testing.T) {
	n := start(t)
	for _, test := range []struct {
		method, path string
		code         int
		want         string
	}{
		{"GET", "/api/v1/nodes", http.StatusNotFound, "there is nothing at /api/v1/nodes: want /api/v1/ and node, topics"},
		{"GET", "/api/topics", http.StatusNotFound, "there is nothing at /api/topics: want /api/v1/"},
		{"GET", "/api/", http.StatusNotFound, "want /api/v1/"},
		{"GET", "/api/v1/producers?topic=none", http.StatusNotFound, `there is no topic "none"`},
		{"GET", "/api/v1/topics/none/ids/7", http.StatusNotFound, `there is no topic "none"`},
		{"POST", "/api/v1/topics", http.StatusMethodNotAllowed, "POST is not served: want GET"},
		{"DELETE", "/api/v1/topics/orders/ids/7", http.StatusMethodNotAllowed, "DELETE is not served: want GET"},
	} {
		if code, text := n.answered(test.method, test.path); code != test.code || !strings.Contains(text, test.want) {
			t.Errorf("%s %s: %d %s", test.method, test.path, code, text)
		}
	}
}

// Operators see what is there, and that clients can write.
func TestHandler(t *testing.T) {
	n, ctx := start(t), testContext(t)
	n.topic(ctx, "orders", 1)
	w := n.writer("till", true, minute)
	w.write("orders", 0, "one")
	w.want(code.None, int16(w.end(true)))
	w.write("orders", 0, "two")
	var read kadm.Offsets
	read.AddOffset("orders", 0, 1, -1)
	if err := n.admin().CommitAllOffsets(ctx, "billing", read); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/healthz", "/readyz"} {
		if got := n.get(path); got != "ok\n" {
			t.Errorf("GET %s: %q", path, got)
		}
	}
	if got := getJSON[nodeView](n, "/api/v1/node"); got.Topics != 1 || got.Partitions != 1 || got.Groups != 1 || got.Transactions.Open != 1 || got.Log.Files != 1 {
		t.Errorf("node: %+v", got)
	}
	topics := getJSON[[]TopicView](n, "/api/v1/topics")
	if p := topics[0].Partitions[0]; p.Start != 0 || p.High != 3 || p.Stable != 2 || p.Bytes <= 0 || len(topics) != 1 {
		t.Errorf("topics: %+v", topics)
	}
	groups := getJSON[[]groupView](n, "/api/v1/groups")
	if want := []offsetView{{"orders", 0, 1, 2}}; len(groups) != 1 || groups[0].Name != "billing" || !slices.Equal(groups[0].Offsets, want) {
		t.Errorf("groups: %+v", groups)
	}
	open := getJSON[[]transactionView](n, "/api/v1/transactions")
	if want := []placeView{{"orders", 0}}; len(open) != 1 || open[0].State != "Ongoing" || open[0].Started == nil || !slices.Equal(open[0].Partitions, want) {
		t.Errorf("transactions: %+v", open)
	}
	for _, path := range []string{"/api/v1/producers", "/api/v1/producers?topic=orders"} {
		all := getJSON[[]producersView](n, path)
		if len(all) != 1 || all[0].Known != 1 || all[0].Producers[0].ID != w.producer.ID || *all[0].Producers[0].OpenSince != 2 {
			t.Errorf("%s: %+v", path, all)
		}
	}
	metrics := n.get("/metrics")
	for _, line := range []string{
		"hapax_log_read_only 0", "hapax_topics 1", `hapax_partition_high_watermark{topic="orders",partition="0"} 3`,
		`hapax_requests_total{api="Produce"} 2`, "# TYPE hapax_requests_total counter", `hapax_batches_total{result="appended"} 2`,
		`hapax_batches_total{result="repeated"} 0`, `hapax_transactions_ended_total{result="committed"} 1`,
		`hapax_group_lag{group="billing",topic="orders",partition="0"} 2`,
	} {
		if !strings.Contains(metrics, line+"\n") {
			t.Errorf("the metrics lack %s", line)
		}
	}
}

// Metrics of one name follow each other behind one line of their kind, as
// Prometheus' format wants it.
func TestMetricsFormat(t *testing.T) {
	n := start(t)
	n.fill(t.Context(), "orders", 1)
	n.fill(t.Context(), "others", 1)
	var text strings.Builder
	viewer{n.broker}.writeMetrics(&text)
	kinds, last := make(map[string]int), ""
	for line := range strings.Lines(text.String()) {
		if name, ok := strings.CutPrefix(line, "# TYPE "); ok {
			last, _, _ = strings.Cut(name, " ")
			kinds[last]++
			continue
		}
		if !strings.HasPrefix(line, "#") && !strings.HasPrefix(line, last) {
			t.Errorf("behind %s: %s", last, line)
		}
	}
	for name, times := range kinds {
		if times > 1 {
			t.Errorf("the kind of %s is told %d times", name, times)
		}
	}
	if kinds["hapax_partition_start_offset"] == 0 || kinds["go_goroutines"] == 0 {
		t.Errorf("kinds: %v", kinds)
	}
	const want = `{group="a\\b\"c\nd` + "\uFFFD\a" + `"}`
	if got := labels("group", "a\\b\"c\nd\xff\a"); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
