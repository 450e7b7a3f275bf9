//go:build unix

package main

import (
	"os"
	"testing"
	"time"

	"github.com/hapaxmq/hapax/internal/brokertest"
)

// TestTortureKafka tortures Apache Kafka in the same way, for as long as HAPAX_TORTURE
// says: what is found there is wrong with the torture.
func TestTortureKafka(t *testing.T) {
	limit := tortureTime(t)
	jars := os.Getenv("HAPAX_KAFKA")
	if jars == "" {
		t.Skip("set HAPAX_KAFKA to a directory with the jars of Apache Kafka, as make torture-kafka does")
	}
	var all brokertest.Report
	for began := time.Now(); time.Since(began) < limit && !t.Failed(); {
		c := brokertest.Course{Seed: uint64(time.Now().UnixNano()), Length: min(limit, time.Minute)}
		all = all.Add(torture(t, c, brokertest.Kafka(jars, t.TempDir())))
	}
	t.Logf("in all, %d kills: %v", all.Kills(), all)
}
