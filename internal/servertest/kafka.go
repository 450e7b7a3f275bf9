//go:build unix

package servertest

import (
	"fmt"
	"net"
	"os"
	"testing"

	"github.com/hapaxmq/hapax/internal/brokertest"
)

// StartKafka starts one node of Apache Kafka, whose jars are in the folder that HAPAX_KAFKA
// names. It keeps what it has been told over [Server.Kill]. Where nobody names the jars
// the test is skipped, in CI too: make test-clients runs those tests.
func StartKafka(tb testing.TB) *Server {
	tb.Helper()
	jars := os.Getenv("HAPAX_KAFKA")
	if jars == "" {
		tb.Skip("skipped: no Apache Kafka: set HAPAX_KAFKA to a folder with its jars, as make test-clients does")
	}
	port := freePort(tb)
	at := brokertest.Addresses{Proxied: "127.0.0.1:" + freePort(tb), Direct: "127.0.0.1:" + port}
	at.Advertise = at.Proxied
	kafka := brokertest.Kafka(jars, tb.TempDir())
	if err := kafka.Setup(tb.Context(), at); err != nil {
		tb.Fatalf("set up Apache Kafka of %s: %v", jars, err)
	}
	return begin(tb, "Apache Kafka", port, kafka.Command(at).Args, kafkaAnswers)
}

// kafkaAnswers asks for the brokers, by version 0 of Metadata: a node that has started
// but may not serve yet knows none.
func kafkaAnswers(conn net.Conn) error {
	const metadata = "\x00\x00\x00\x0e" + "\x00\x03\x00\x00\x00\x00\x00\x00" + "\xff\xff" + "\x00\x00\x00\x00"
	answer := make([]byte, 12) // length, correlation, number of brokers
	if err := exchange(conn, metadata, answer); err != nil {
		return err
	}
	if string(answer[4:]) != "\x00\x00\x00\x00\x00\x00\x00\x01" {
		return fmt.Errorf("answered %q, not that it has one broker", answer)
	}
	return nil
}
