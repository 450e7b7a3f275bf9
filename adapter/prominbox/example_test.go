package prominbox_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/adapter/prominbox"
	"github.com/hapaxmq/hapax/inbox"
	"github.com/hapaxmq/hapax/ledger"
)

// See what an inbox does, on a page for Prometheus.
func Example() {
	registry := prometheus.NewRegistry() // or prometheus.DefaultRegisterer
	metrics, err := prominbox.New(prominbox.Options{})
	if err != nil {
		log.Fatal(err)
	}
	registry.MustRegister(metrics)

	seen, err := ledger.Open("", ledger.Options{Window: hapax.Window{Time: time.Hour}})
	if err != nil {
		log.Fatal(err)
	}
	defer seen.Close()
	mails, err := inbox.Lease(seen, inbox.Options{
		Name: "mails", Identity: "header:id", Window: time.Hour, Observer: metrics.Observer(),
	}, func(context.Context, hapax.Claim, *hapax.Message) (hapax.Receipt, error) { return nil, nil })
	if err != nil {
		log.Fatal(err)
	}
	defer mails.Close()
	for range 3 {
		_, _ = mails.Handle(context.Background(), message("1", "welcome"))
	}

	page := httptest.NewRecorder()
	promhttp.HandlerFor(registry, promhttp.HandlerOpts{}).ServeHTTP(page, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	for line := range strings.Lines(page.Body.String()) {
		if strings.Contains(line, `="executed"`) || strings.Contains(line, `="replayed"`) || strings.Contains(line, `="lost"`) {
			fmt.Print(line)
		}
	}
	// Output:
	// hapax_inbox_deliveries_total{guarantee="lease",inbox="mails",outcome="executed"} 1
	// hapax_inbox_deliveries_total{guarantee="lease",inbox="mails",outcome="lost"} 0
	// hapax_inbox_deliveries_total{guarantee="lease",inbox="mails",outcome="replayed"} 2
}
