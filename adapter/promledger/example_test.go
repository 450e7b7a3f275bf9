package promledger_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/adapter/promledger"
	"github.com/hapaxmq/hapax/ledger"
)

// See what a ledger remembers, beside the program's other metrics.
func Example() {
	seen, err := ledger.Open("", ledger.Options{Window: hapax.Window{Time: time.Hour}})
	if err != nil {
		log.Fatal(err)
	}
	defer seen.Close()
	registry := prometheus.NewRegistry() // or prometheus.DefaultRegisterer
	registry.MustRegister(promledger.New("payments", seen))

	order := hapax.Request{Scope: "payments", Identity: hapax.Identity("order 42"), Lease: time.Minute}
	for range 3 {
		_, _ = hapax.Do(context.Background(), seen, order, func(context.Context, hapax.Claim) (hapax.Receipt, error) { return nil, nil })
	}
	all, err := registry.Gather() // as promhttp does
	if err != nil {
		log.Fatal(err)
	}
	for _, f := range all {
		if f.GetName() == "hapax_ledger_ids" {
			fmt.Println(f.GetHelp(), f.GetMetric()[0].GetGauge().GetValue())
		}
	}
	// Output: Ids that are remembered. 1
}
