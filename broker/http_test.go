package broker

import (
	"context"
	"encoding/json"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Operators see what is there, and that clients can write.
func TestHandler(t *testing.T) {
	n := start(t)
	if err := n.client(kgo.DefaultProduceTopic("orders")).ProduceSync(context.Background(), kgo.StringRecord("one")).FirstErr(); err != nil {
		t.Fatal(err)
	}
	get := func(path string) string {
		w := httptest.NewRecorder()
		n.broker.Handler().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), "GET", path, nil))
		if w.Code != 200 {
			t.Fatalf("GET %s: %d %s", path, w.Code, w.Body)
		}
		return w.Body.String()
	}
	for _, path := range []string{"/healthz", "/readyz"} {
		if got := get(path); got != "ok\n" {
			t.Errorf("GET %s: %q", path, got)
		}
	}
	var v nodeView
	if err := json.Unmarshal([]byte(get("/api/node")), &v); err != nil || len(v.Topics) != 1 || v.Topics[0].Partitions[0].High != 1 {
		t.Errorf("%+v: %v", v, err)
	}
	for _, line := range []string{
		"hapax_log_read_only 0", "hapax_topics 1", `hapax_partition_high_watermark{topic="orders",partition="0"} 1`,
		`hapax_requests_total{api="Produce"} 1`, "# TYPE hapax_requests_total counter",
	} {
		if !strings.Contains(get("/metrics"), line+"\n") {
			t.Errorf("the metrics lack %s", line)
		}
	}
}
