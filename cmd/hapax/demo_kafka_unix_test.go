//go:build unix

package main

import (
	"context"
	"net"
	"os"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/hapaxmq/hapax/internal/brokertest"
)

// TestDemoOnApacheKafka plays the demo on Apache Kafka, and wants no topic and no group of
// it left there.
func TestDemoOnApacheKafka(t *testing.T) {
	jars := os.Getenv("HAPAX_KAFKA")
	if jars == "" {
		t.Skip("set HAPAX_KAFKA to a directory with the jars of Apache Kafka, as make test-clients does")
	}
	at := brokertest.Addresses{Proxied: freePort(t), Direct: freePort(t)}
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
	isGood(t, played(t, "--seed", "4", "--kafka", at.Direct))
	admin := kadm.NewClient(client)
	topics, err := admin.ListTopics(t.Context())
	if err != nil || len(topics) > 0 {
		t.Errorf("topics left: %v, %v", topics.Names(), err)
	}
	groups, err := admin.ListGroups(t.Context())
	if err != nil || len(groups) > 0 {
		t.Errorf("groups left: %v, %v", groups.Groups(), err)
	}
}

// freePort is an address that nobody listens on.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
