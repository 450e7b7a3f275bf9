package promhttpkey_test

import (
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/adapter/promhttpkey"
	"github.com/hapaxmq/hapax/httpkey"
	"github.com/hapaxmq/hapax/ledger"
)

// See what becomes of requests with keys, on a page for Prometheus.
func Example() {
	registry := prometheus.NewRegistry() // or prometheus.DefaultRegisterer
	metrics, err := promhttpkey.New(promhttpkey.Options{})
	if err != nil {
		log.Fatal(err)
	}
	registry.MustRegister(metrics)

	keys, err := ledger.Open("", ledger.Options{Window: hapax.Window{Time: time.Hour}, Digests: true})
	if err != nil {
		log.Fatal(err)
	}
	defer keys.Close()
	once, err := httpkey.New(keys, httpkey.Options{
		Name: "charges", Tenant: httpkey.OneTenant, Window: time.Hour, Observer: metrics.Observer(),
	})
	if err != nil {
		log.Fatal(err)
	}
	api := once.Wrap(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusCreated) }))
	for _, body := range []string{"30 euros", "30 euros", "31 euros"} {
		r := httptest.NewRequest(http.MethodPost, "/charges", strings.NewReader(body))
		r.Header.Set("Idempotency-Key", `"order 1"`)
		api.ServeHTTP(httptest.NewRecorder(), r)
	}

	page := httptest.NewRecorder()
	promhttp.HandlerFor(registry, promhttp.HandlerOpts{}).ServeHTTP(page, httptest.NewRequest(http.MethodGet, "/metrics", http.NoBody))
	for line := range strings.Lines(page.Body.String()) {
		if strings.HasPrefix(line, "hapax_httpkey_requests_total") && !strings.HasSuffix(line, " 0\n") {
			fmt.Print(line)
		}
	}
	// Output:
	// hapax_httpkey_requests_total{name="charges",outcome="conflicted"} 1
	// hapax_httpkey_requests_total{name="charges",outcome="executed"} 1
	// hapax_httpkey_requests_total{name="charges",outcome="replayed"} 1
}
