package otelhttpkey_test

import (
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"time"

	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/adapter/otelhttpkey"
	"github.com/hapaxmq/hapax/httpkey"
	"github.com/hapaxmq/hapax/ledger"
)

// See in a trace what became of a request, and of its copy. Metrics beside traces are
// httpkey.Observers(otelhttpkey.New(…), metrics.Observer()).
func Example() {
	spans := tracetest.NewInMemoryExporter() // or one of OTLP
	provider := sdk.NewTracerProvider(sdk.WithSyncer(spans))
	keys, err := ledger.Open("", ledger.Options{Window: hapax.Window{Time: time.Hour}})
	if err != nil {
		log.Fatal(err)
	}
	defer keys.Close()
	once, err := httpkey.New(keys, httpkey.Options{
		Name: "charges", Tenant: httpkey.OneTenant, Window: time.Hour,
		Observer: otelhttpkey.New(otelhttpkey.Options{TracerProvider: provider}),
	})
	if err != nil {
		log.Fatal(err)
	}
	api := once.Wrap(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusCreated) }))
	for range 2 {
		r := httptest.NewRequest(http.MethodPost, "/charges", http.NoBody)
		r.Header.Set("Idempotency-Key", `"order 1"`)
		api.ServeHTTP(httptest.NewRecorder(), r)
	}
	for _, s := range spans.GetSpans() {
		for _, a := range s.Attributes {
			if a.Key == otelhttpkey.Outcome {
				fmt.Println(s.Name, a.Value.String())
			}
		}
	}
	// Output:
	// idempotency charges executed
	// idempotency charges replayed
}
