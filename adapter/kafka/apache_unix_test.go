//go:build unix

package kafka_test

import (
	"context"
	"net"
	"os"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/hapaxmq/hapax/internal/brokertest"
)

// Apache Kafka makes its redeliveries.
func TestRedeliveriesOfApacheKafka(t *testing.T) {
	jars := os.Getenv("HAPAX_KAFKA")
	if jars == "" {
		t.Skip("set HAPAX_KAFKA to a directory with the jars of Apache Kafka, as make test-clients does")
	}
	at := brokertest.Addresses{Proxied: freeAddress(t), Direct: freeAddress(t)}
	at.Advertise = at.Proxied
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	kafka := brokertest.Kafka(jars, t.TempDir())
	if err := kafka.Setup(ctx, at); err != nil {
		t.Fatal(err)
	}
	node := kafka.Command(at)
	if err := node.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		node.Process.Kill()
		node.Wait()
	})
	client, err := kgo.NewClient(kgo.SeedBrokers(at.Direct))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for client.Ping(ctx) != nil {
		if ctx.Err() != nil {
			t.Fatal("Apache Kafka does not answer")
		}
	}
	redeliveries(t, at.Direct)
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
