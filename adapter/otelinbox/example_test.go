package otelinbox_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"go.opentelemetry.io/otel/propagation"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/adapter/otelinbox"
	"github.com/hapaxmq/hapax/inbox"
	"github.com/hapaxmq/hapax/ledger"
)

// Follow a message from its producer to the handler, and see what became of each copy.
// Metrics beside traces are inbox.Observers(otelinbox.New(…), metrics.Observer()).
func Example() {
	spans := tracetest.NewInMemoryExporter() // or one of OTLP
	provider := sdk.NewTracerProvider(sdk.WithSyncer(spans))
	seen, err := ledger.Open("", ledger.Options{Window: hapax.Window{Time: time.Hour}})
	if err != nil {
		log.Fatal(err)
	}
	defer seen.Close()
	mails, err := inbox.Lease(seen, inbox.Options{
		Name: "mails", Identity: "header:id", Window: time.Hour,
		Observer: otelinbox.New(otelinbox.Options{
			TracerProvider: provider, Propagator: propagation.TraceContext{},
			System: "rabbitmq", Destination: "signups",
		}),
	}, func(context.Context, hapax.Claim, *hapax.Message) (hapax.Receipt, error) { return nil, nil })
	if err != nil {
		log.Fatal(err)
	}
	defer mails.Close()

	signup := message("1", "ann@example.org", "traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
	for range 2 {
		_, _ = mails.Handle(context.Background(), signup)
	}
	for _, s := range spans.GetSpans() {
		fmt.Println(s.Name, "for", s.Links[0].SpanContext.TraceID())
		for _, a := range s.Attributes {
			if a.Key == otelinbox.Outcome || a.Key == otelinbox.Runs {
				fmt.Println(" ", a.Key, a.Value.String())
			}
		}
	}
	// Output:
	// process signups for 4bf92f3577b34da6a3ce929d0e0e4736
	//   hapax.outcome executed
	//   hapax.handler.runs 1
	// process signups for 4bf92f3577b34da6a3ce929d0e0e4736
	//   hapax.outcome replayed
	//   hapax.handler.runs 0
}
