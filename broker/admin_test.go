package broker

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func (n *node) admin() *kadm.Client { return kadm.NewClient(n.client()) }

// fill makes a topic of one partition with so many records.
func (n *node) fill(ctx context.Context, topic string, records int) {
	n.Helper()
	c := n.client()
	for range records {
		c.Produce(ctx, &kgo.Record{Topic: topic, Partition: 0, Value: []byte("value")}, func(_ *kgo.Record, err error) {
			if err != nil {
				n.Error(err)
			}
		})
	}
	if err := c.Flush(ctx); err != nil {
		n.Fatal(err)
	}
}

// read joins a group, reads one record of a topic and commits it.
func (n *node) read(ctx context.Context, name, topic string) *kgo.Client {
	n.Helper()
	c := n.client(kgo.ConsumerGroup(name), kgo.ConsumeTopics(topic), kgo.DisableAutoCommit(),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err := c.PollRecords(ctx, 1).Err(); err != nil {
		n.Fatal(err)
	}
	if err := c.CommitUncommittedOffsets(ctx); err != nil {
		n.Fatal(err)
	}
	return c
}

func testContext(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func TestAdminGroups(t *testing.T) {
	n, ctx := start(t), testContext(t)
	n.fill(ctx, "orders", 1)
	member := n.read(ctx, "billing", "orders")
	adm := n.admin()

	described, err := adm.DescribeGroups(ctx, "billing", "nobody")
	if err != nil {
		t.Fatal(err)
	}
	billing := described["billing"]
	if billing.State != "Stable" || billing.ProtocolType != "consumer" || len(billing.Members) != 1 {
		t.Errorf("billing: %+v", billing)
	}
	if got := billing.AssignedPartitions(); !got.Lookup("orders", 0) {
		t.Errorf("billing has %v", got)
	}
	if err := described["nobody"].Err; !errors.Is(err, kerr.GroupIDNotFound) {
		t.Errorf("nobody: %v", err)
	}
	if listed, err := adm.ListGroups(ctx, "stable"); err != nil || listed["billing"].State != "Stable" {
		t.Errorf("stable groups: %v, %v", listed, err)
	}
	if listed, err := adm.ListGroups(ctx, "Empty"); err != nil || len(listed) > 0 {
		t.Errorf("empty groups: %v, %v", listed, err)
	}

	deleted, err := adm.DeleteOffsets(ctx, "billing", kadm.TopicsSet{"orders": {0: {}}})
	if err := errors.Join(err, deleted.Error()); !errors.Is(err, kerr.GroupSubscribedToTopic) {
		t.Errorf("delete offsets of a topic that is read: %v", err)
	}
	if _, err := adm.DeleteGroup(ctx, "billing"); !errors.Is(err, kerr.NonEmptyGroup) {
		t.Errorf("delete a group with members: %v", err)
	}
	member.Close()
	deleted, err = adm.DeleteOffsets(ctx, "billing", kadm.TopicsSet{"orders": {0: {}}})
	if err := errors.Join(err, deleted.Error()); err != nil {
		t.Errorf("delete offsets: %v", err)
	}
	n.restart()
	adm = n.admin()
	if left, err := adm.FetchOffsets(ctx, "billing"); err != nil || len(left) > 0 {
		t.Errorf("offsets left: %v, %v", left, err)
	}
	if _, err := adm.DeleteGroup(ctx, "billing"); err != nil {
		t.Error(err)
	}
	if _, err := adm.DeleteGroup(ctx, "billing"); !errors.Is(err, kerr.GroupIDNotFound) {
		t.Errorf("delete it again: %v", err)
	}
}

// Offsets in a deleted topic are gone, also for a topic of the same name.
func TestOffsetsOfDeletedTopic(t *testing.T) {
	n, ctx := start(t), testContext(t)
	n.fill(ctx, "orders", 1)
	n.read(ctx, "billing", "orders").Close()
	if _, err := n.admin().DeleteTopic(ctx, "orders"); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		left, err := n.admin().FetchOffsets(ctx, "billing")
		if err != nil || len(left) > 0 {
			t.Errorf("offsets left: %v, %v", left, err)
		}
		n.restart()
	}
}

func TestDescribeNode(t *testing.T) {
	n, ctx := start(t), testContext(t)
	n.fill(ctx, "orders", 3)
	adm := n.admin()

	req := kmsg.NewPtrDescribeClusterRequest()
	req.IncludeClusterAuthorizedOperations = true
	cluster, err := req.RequestWith(ctx, n.client())
	if err != nil || len(cluster.Brokers) != 1 || cluster.ClusterID == "" || cluster.ClusterAuthorizedOperations != clusterOperations {
		t.Errorf("cluster: %+v, %v", cluster, err)
	}
	req.EndpointType = 2
	if cluster, err = req.RequestWith(ctx, n.client()); err != nil || cluster.ErrorCode != kerr.MismatchedEndpointType.Code {
		t.Errorf("controllers: %+v, %v", cluster, err)
	}

	dirs, err := adm.DescribeAllLogDirs(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	size := int64(0)
	dirs.Each(func(d kadm.DescribedLogDir) { size += d.Size() })
	if size <= 0 {
		t.Errorf("%d bytes", size)
	}
	ends, err := adm.OffsetForLeaderEpoch(ctx, epochRequest("orders", 0, 0))
	if got := ends["orders"][0]; err != nil || got.EndOffset != 3 {
		t.Errorf("end of epoch 0: %+v, %v", got, err)
	}
	acls, err := kmsg.NewPtrDescribeACLsRequest().RequestWith(ctx, n.client())
	if err != nil || acls.ErrorCode != kerr.SecurityDisabled.Code {
		t.Errorf("ACLs: %+v, %v", acls, err)
	}
	resources, err := kmsg.NewPtrListConfigResourcesRequest().RequestWith(ctx, n.client())
	if err != nil || len(resources.ConfigResources) != 2 {
		t.Errorf("resources: %+v, %v", resources, err)
	}
}

func epochRequest(topic string, partition, epoch int32) kadm.OffsetForLeaderEpochRequest {
	var r kadm.OffsetForLeaderEpochRequest
	r.Add(topic, partition, epoch)
	return r
}

// One request makes so many partitions and no more, of however many topics.
func TestCreateTopicsIsBounded(t *testing.T) {
	n, ctx := start(t), testContext(t)
	names := []string{"a", "b", "c"}
	made, err := n.admin().ValidateCreateTopics(ctx, maxPartitions/2, 1, nil, names...)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []error{nil, nil, kerr.PolicyViolation} {
		if got := made[names[i]].Err; !errors.Is(got, want) {
			t.Errorf("%s: %v, want %v", names[i], got, want)
		}
	}
}
