//go:build unix

package main

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/hapaxmq/hapax/internal/servertest"
)

// TestDemoOnApacheKafka plays the demo on Apache Kafka, and wants no topic and no group of
// it left there.
func TestDemoOnApacheKafka(t *testing.T) {
	kafka := servertest.StartKafka(t).Addr
	isGood(t, played(t, "--seed", "4", "--kafka", kafka))
	client, err := kgo.NewClient(kgo.SeedBrokers(kafka))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
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
