package broker

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/hapaxmq/hapax/broker/code"
)

// Partitions are described in parts, each from where the one before ended.
func TestDescribeTopicPartitions(t *testing.T) {
	n, ctx := start(t), testContext(t)
	for name, partitions := range map[string]int32{"b": 3, "a": 2, "c": 1} {
		if _, err := n.admin().CreateTopic(ctx, partitions, 1, nil, name); err != nil {
			t.Fatal(err)
		}
	}
	c := n.client()
	for _, test := range []struct {
		asked, want string
		limit       int32
	}{
		{"", "a0 a1 b0 b1 b2 c0", 0},
		{"", "a0 a1 / b0 b1 / b2 c0", 2},
		{"", "a0 / a1 / b0 / b1 / b2 / c0", 1},
		{"c b", "b0 b1 b2 / c0", 3},
		{"a x", "a0 a1 x:3", 2},
	} {
		req := kmsg.NewPtrDescribeTopicPartitionsRequest()
		req.ResponsePartitionLimit = test.limit
		for name := range strings.FieldsSeq(test.asked) {
			topic := kmsg.NewDescribeTopicPartitionsRequestTopic()
			topic.Topic = name
			req.Topics = append(req.Topics, topic)
		}
		var parts []string
		for {
			resp, err := req.RequestWith(ctx, c)
			if err != nil {
				t.Fatal(err)
			}
			parts = append(parts, partitionsTold(resp))
			if resp.NextCursor == nil {
				break
			}
			cursor := kmsg.NewDescribeTopicPartitionsRequestCursor()
			cursor.Topic, cursor.Partition = resp.NextCursor.Topic, resp.NextCursor.Partition
			req.Cursor = &cursor
		}
		if got := strings.Join(parts, " / "); got != test.want {
			t.Errorf("topics %q, %d at once: %s, want %s", test.asked, test.limit, got, test.want)
		}
	}
}

func partitionsTold(resp *kmsg.DescribeTopicPartitionsResponse) string {
	var all []string
	for _, topic := range resp.Topics {
		if topic.ErrorCode != 0 {
			all = append(all, fmt.Sprintf("%s:%d", *topic.Topic, topic.ErrorCode))
		}
		for _, p := range topic.Partitions {
			all = append(all, fmt.Sprintf("%s%d", *topic.Topic, p.Partition))
		}
	}
	return strings.Join(all, " ")
}

// One node leads all there is, and nothing moves.
func TestElectLeaders(t *testing.T) {
	n, ctx := start(t), testContext(t)
	if _, err := n.admin().CreateTopic(ctx, 1, 1, nil, "orders"); err != nil {
		t.Fatal(err)
	}
	c := n.client()
	req := kmsg.NewPtrElectLeadersRequest()
	topic := kmsg.NewElectLeadersRequestTopic()
	topic.Topic, topic.Partitions = "orders", []int32{0, 1}
	req.Topics = append(req.Topics, topic)
	resp, err := req.RequestWith(ctx, c)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []code.Error{code.ElectionNotNeeded, code.UnknownTopicOrPartition} {
		if got := resp.Topics[0].Partitions[i]; got.ErrorCode != int16(want) {
			t.Errorf("partition %d: %d, want %v", i, got.ErrorCode, want)
		}
	}
	req.Topics = nil
	if resp, err = req.RequestWith(ctx, c); err != nil || len(resp.Topics) > 0 || resp.ErrorCode != 0 {
		t.Errorf("all partitions: %+v, %v", resp, err)
	}
	moving, err := kmsg.NewPtrListPartitionReassignmentsRequest().RequestWith(ctx, c)
	if err != nil || len(moving.Topics) > 0 || moving.ErrorCode != 0 {
		t.Errorf("reassignments: %+v, %v", moving, err)
	}
}

// A node has so many partitions and no more, however they are asked for.
func TestPartitionsAreBounded(t *testing.T) {
	most := "10"
	n := startWith(t, func(o *Options) { o.Settings["max.partitions"] = most })
	ctx := testContext(t)
	auto := func() error {
		return n.client(kgo.DefaultProduceTopic("auto"), kgo.UnknownTopicRetries(0)).ProduceSync(ctx, kgo.StringRecord("one")).FirstErr()
	}
	create := func(name string, partitions int32) error {
		made, err := n.admin().CreateTopic(ctx, partitions, 1, nil, name)
		return errors.Join(err, made.Err)
	}
	grow := func(name string, to int) error {
		grown, err := n.admin().UpdatePartitions(ctx, to, name)
		return errors.Join(err, grown.Error())
	}
	want := func(what string, got, want error) {
		t.Helper()
		if !errors.Is(got, want) {
			t.Errorf("%s: %v, want %v", what, got, want)
		}
	}
	want("6 of 10", create("a", 6), nil)
	want("5 more", create("b", 5), kerr.PolicyViolation)
	validated, err := n.admin().ValidateCreateTopics(ctx, 5, 1, nil, "b")
	want("5 more, only to check", errors.Join(err, validated.Error()), kerr.PolicyViolation)
	want("3 more", create("b", 3), nil)
	want("2 more of a topic", grow("a", 8), kerr.PolicyViolation)
	want("1 more of a topic", grow("a", 7), nil)
	want("1 more by itself", auto(), kerr.PolicyViolation)
	if _, err := n.admin().DeleteTopic(ctx, "b"); err != nil {
		t.Fatal(err)
	}
	want("1 more by itself, with room", auto(), nil)
	most = "5"
	n.restart()
	want("more than there may be", auto(), nil) // they stay
	want("1 more", create("c", 1), kerr.PolicyViolation)
}
