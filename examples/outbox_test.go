package examples_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/hapaxmq/hapax/adapter/pgxdb"
	"github.com/hapaxmq/hapax/examples"
)

// TestOutboxIntoKafka: what is confirmed is booked by the consumer of another example, and
// what is not is not.
func TestOutboxIntoKafka(t *testing.T) {
	t.Parallel()
	pool := postgres(t, `CREATE TABLE payment (id text PRIMARY KEY, account text NOT NULL, cents bigint NOT NULL);
		CREATE TABLE account (name text PRIMARY KEY, cents bigint); INSERT INTO account VALUES ('ann', 0)`)
	address := node(t, "payments", "payments.dead")
	out, err := pgxdb.NewOutbox(pool, pgxdb.OutboxOptions{})
	must(t, err)
	must(t, out.Migrate(t.Context()))
	confirm := func(id string) error {
		return examples.ConfirmPayment(t.Context(), pool, out, id, examples.Payment{Account: "ann", Cents: 10})
	}
	for i := range 5 {
		must(t, confirm(fmt.Sprint("p-", i)))
	}
	if confirm("p-3") == nil {
		t.Error("a payment was confirmed twice")
	}
	consuming, stop := context.WithCancel(t.Context())
	consumed := make(chan error, 1)
	go func() { consumed <- examples.KafkaToPostgres(consuming, []string{address}, pool) }()
	run := func(ctx context.Context) error { return examples.PublishPayments(ctx, out, []string{address}) }
	must(t, during(t, run, func() bool {
		var cents int
		err := pool.QueryRow(t.Context(), "SELECT cents FROM account").Scan(&cents)
		if cents > 50 {
			t.Errorf("%d cents", cents)
		}
		return err == nil && cents >= 50
	}))
	stop()
	must(t, <-consumed)
	var booked int
	must(t, pool.QueryRow(t.Context(), "SELECT cents FROM account").Scan(&booked))
	if booked != 50 {
		t.Errorf("%d cents", booked)
	}
}
