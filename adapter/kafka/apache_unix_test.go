//go:build unix

package kafka_test

import (
	"testing"

	"github.com/hapaxmq/hapax/internal/servertest"
)

// Apache Kafka makes its redeliveries.
func TestRedeliveriesOfApacheKafka(t *testing.T) {
	redeliveries(t, servertest.StartKafka(t).Addr)
}
