package broker

import (
	"context"
	"errors"
	"fmt"
	"math/rand"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/hapaxmq/hapax/broker/code"
	"github.com/hapaxmq/hapax/broker/group"
	"github.com/hapaxmq/hapax/internal/vfs"
)

// consumer is a member of a group of the consumer protocol that notes what it reads.
type consumer struct {
	*kgo.Client
	stop context.CancelFunc
	done chan struct{}
}

// readings is what consumers have read.
type readings struct {
	mu   sync.Mutex
	read map[string]int
	more chan struct{} // something was read
}

func (n *node) consumer(r *readings, opts ...kgo.Opt) *consumer {
	ctx, cancel := context.WithCancel(n.Context())
	c := &consumer{stop: cancel, done: make(chan struct{})}
	c.Client = n.client(append([]kgo.Opt{
		kgo.ConsumerGroup("billing"), kgo.ServerSideBalancer(), kgo.Balancers(kgo.StickyBalancer()), kgo.BlockRebalanceOnPoll(),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.DisableAutoCommit(), kgo.MetadataMinAge(50 * time.Millisecond), kgo.MetadataMaxAge(time.Second),
	}, opts...)...)
	go func() {
		defer close(c.done)
		for ctx.Err() == nil {
			fetches := c.PollFetches(ctx)
			r.mu.Lock()
			fetches.EachRecord(func(record *kgo.Record) { r.read[string(record.Value)]++ })
			r.mu.Unlock()
			if err := c.CommitUncommittedOffsets(n.Context()); err != nil && n.Context().Err() == nil {
				n.Error("commit:", err)
			}
			c.AllowRebalance()
			select {
			case r.more <- struct{}{}:
			default:
			}
		}
	}()
	return c
}

// quit leaves the group.
func (c *consumer) quit() {
	c.stop()
	<-c.done
	c.Close()
}

// wait waits until count values were read.
func (r *readings) wait(ctx context.Context, t *testing.T, count int) {
	t.Helper()
	for {
		r.mu.Lock()
		n := len(r.read)
		r.mu.Unlock()
		if n >= count {
			return
		}
		select {
		case <-r.more:
		case <-ctx.Done():
			t.Fatalf("%d of %d values were read", n, count)
		}
	}
}

func (n *node) produce(ctx context.Context, topic string, from, to int) {
	n.Helper()
	c := n.client(kgo.RecordPartitioner(kgo.RoundRobinPartitioner()))
	defer c.Close()
	for i := from; i < to; i++ {
		c.Produce(ctx, &kgo.Record{Topic: topic, Value: fmt.Append(nil, i)}, func(_ *kgo.Record, err error) {
			if err != nil {
				n.Error(err)
			}
		})
	}
	if err := c.Flush(ctx); err != nil {
		n.Fatal(err)
	}
}

// settled waits until a group is stable with so many members, and describes it.
func (n *node) settled(ctx context.Context, members int) (d group.ConsumerDescription) {
	n.Helper()
	for tick := time.NewTicker(5 * time.Millisecond); ; {
		n.broker.groups.look(func(g *group.Groups, _ int64) { d, _ = g.DescribeConsumers("billing") })
		if d.State == group.Stable && len(d.Members) == members {
			return d
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			n.Fatalf("%+v", d)
		}
	}
}

// Consumers share partitions out, one after the other takes over, topics and
// partitions come, the broker restarts: each value is read, and read once, and
// nobody loses its place over the restart.
func TestConsumerProtocol(t *testing.T) {
	n := start(t)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	if _, err := n.broker.topics.make(newTopic{name: "orders", partitions: 4}); err != nil {
		t.Fatal(err)
	}
	r := &readings{read: map[string]int{}, more: make(chan struct{}, 1)}
	first, second := n.consumer(r, kgo.ConsumeTopics("orders")), n.consumer(r, kgo.ConsumeTopics("orders"))
	if d := n.settled(ctx, 2); len(d.Members[0].Assigned) != 2 || len(d.Members[1].Assigned) != 2 {
		t.Fatalf("%+v", d)
	}
	n.produce(ctx, "orders", 0, 500)
	r.wait(ctx, t, 500)

	// The members are the same ones after a restart, at their epochs.
	before := n.settled(ctx, 2)
	n.restart()
	n.produce(ctx, "orders", 500, 1000)
	r.wait(ctx, t, 1000)
	if after := n.settled(ctx, 2); after.Epoch != before.Epoch || after.Members[0].Member != before.Members[0].Member || after.Members[1].Epoch != before.Members[1].Epoch {
		t.Errorf("%+v\nis after the restart\n%+v", before, after)
	}

	if err := n.broker.topics.grow("orders", 7, false); err != nil {
		t.Fatal(err)
	}
	third := n.consumer(r, kgo.ConsumeRegex(), kgo.ConsumeTopics("ord.*"))
	if d := n.settled(ctx, 3); shares(d) != "[2 2 3]" {
		t.Errorf("shares of %v", shares(d))
	}
	n.produce(ctx, "orders", 1000, 1500)
	r.wait(ctx, t, 1500)
	first.quit()
	second.quit()
	if d := n.settled(ctx, 1); shares(d) != "[7]" {
		t.Errorf("shares of %v", shares(d))
	}
	n.produce(ctx, "orders", 1500, 2000)
	r.wait(ctx, t, 2000)
	third.quit()
	for value, times := range r.read {
		if times != 1 {
			t.Errorf("%s was read %d times", value, times)
		}
	}
}

// shares are how many partitions members have, the fewest first.
func shares(d group.ConsumerDescription) string {
	var all []int
	for i := range d.Members {
		all = append(all, len(d.Members[i].Assigned))
	}
	slices.Sort(all)
	return fmt.Sprint(all)
}

// A transaction commits the offsets of a member of the consumer protocol, and none
// of one that is none any more.
func TestTransactionsOfConsumers(t *testing.T) {
	n := start(t)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	n.produce(ctx, "orders", 0, 10)
	s, err := kgo.NewGroupTransactSession(
		kgo.SeedBrokers(n.addr), kgo.ConsumerGroup("billing"), kgo.ServerSideBalancer(), kgo.Balancers(kgo.StickyBalancer()),
		kgo.ConsumeTopics("orders"), kgo.TransactionalID("biller"), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.AllowAutoTopicCreation(),
	)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for read := 0; read < 10; {
		fetches := s.PollFetches(ctx)
		if err := errors.Join(fetches.Err(), s.Begin()); err != nil {
			t.Fatal(err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			read++
			s.Produce(ctx, &kgo.Record{Topic: "bills", Value: r.Value}, nil)
		})
		if committed, err := s.End(ctx, kgo.TryCommit); err != nil || !committed {
			t.Fatal(committed, err)
		}
	}
	topic := n.broker.topics.named("orders")
	n.broker.groups.look(func(g *group.Groups, _ int64) {
		_, all := g.Fetch(group.FetchRequest{Group: "billing", Epoch: -1, Partitions: []group.Partition{{Topic: topic.id}}})
		if all[0].Offset != 10 {
			t.Errorf("the group is at %+v", all)
		}
	})
}

// soleMember makes the group "billing" of the consumer protocol, whose member m1
// reads "orders", and returns its heartbeat.
func (n *node) soleMember(ctx context.Context, c *kgo.Client) *kmsg.ConsumerGroupHeartbeatRequest {
	n.Helper()
	if _, err := n.broker.topics.make(newTopic{name: "orders", partitions: 2}); err != nil {
		n.Fatal(err)
	}
	beat := kmsg.NewPtrConsumerGroupHeartbeatRequest()
	beat.Group, beat.MemberID, beat.RebalanceTimeoutMillis = "billing", "m1", 1000
	beat.SubscribedTopicNames, beat.Topics = []string{"orders"}, []kmsg.ConsumerGroupHeartbeatRequestTopic{}
	joined, err := beat.RequestWith(ctx, c)
	if err != nil || joined.ErrorCode != 0 || joined.MemberEpoch != 1 || joined.HeartbeatIntervalMillis != 50 || len(joined.Assignment.Topics) != 1 {
		n.Fatalf("%+v, %v", joined, err)
	}
	return beat
}

// ListGroups and both describes tell the types of groups apart.
func TestConsumerGroupsAreShown(t *testing.T) {
	n := start(t)
	ctx, c := t.Context(), n.client()
	n.soleMember(ctx, c)
	list := kmsg.NewPtrListGroupsRequest()
	list.TypesFilter = []string{"Consumer"}
	if resp, err := list.RequestWith(ctx, c); err != nil || len(resp.Groups) != 1 || resp.Groups[0].GroupType != "consumer" || resp.Groups[0].GroupState != "Stable" {
		t.Errorf("%+v, %v", resp, err)
	}
	list.TypesFilter = []string{"classic"}
	if resp, err := list.RequestWith(ctx, c); err != nil || len(resp.Groups) != 0 {
		t.Errorf("%+v, %v", resp, err)
	}
	describe := kmsg.NewPtrConsumerGroupDescribeRequest()
	describe.Groups = []string{"billing", "other"}
	if resp, err := describe.RequestWith(ctx, c); err != nil || len(resp.Groups) != 2 || resp.Groups[0].AssignorName != "uniform" ||
		resp.Groups[0].Members[0].Assignment.TopicPartitions[0].Topic != "orders" || code.Error(resp.Groups[1].ErrorCode) != code.GroupIDNotFound {
		t.Errorf("%+v, %v", resp, err)
	}
	classic := kmsg.NewPtrDescribeGroupsRequest()
	classic.Groups = []string{"billing"}
	if resp, err := classic.RequestWith(ctx, c); err != nil || code.Error(resp.Groups[0].ErrorCode) != code.GroupIDNotFound {
		t.Errorf("%+v, %v", resp, err)
	}
}

// Offsets are a member's, with its epoch; who names none may look at them.
func TestOffsetsOfConsumers(t *testing.T) {
	n := start(t)
	ctx, c := t.Context(), n.client()
	n.soleMember(ctx, c)
	id := n.broker.topics.named("orders").id
	for _, test := range []struct {
		member        string
		epoch         int32
		commit, fetch code.Error
	}{
		{"m1", 1, code.None, code.None},
		{"m1", 2, code.StaleMemberEpoch, code.StaleMemberEpoch},
		{"m2", 1, code.UnknownMemberID, code.UnknownMemberID},
		{"", -1, code.UnknownMemberID, code.None},
	} {
		commit := kmsg.NewPtrOffsetCommitRequest()
		commit.Group, commit.MemberID, commit.Generation = "billing", test.member, test.epoch
		commit.Topics = []kmsg.OffsetCommitRequestTopic{{Topic: "orders", TopicID: id, Partitions: []kmsg.OffsetCommitRequestTopicPartition{{Offset: 5}}}}
		if resp, err := commit.RequestWith(ctx, c); err != nil || code.Error(resp.Topics[0].Partitions[0].ErrorCode) != test.commit {
			t.Errorf("%s at %d commits: %+v, %v", test.member, test.epoch, resp, err)
		}
		fetch := kmsg.NewPtrOffsetFetchRequest()
		of := kmsg.NewOffsetFetchRequestGroup()
		of.Group, of.MemberID, of.MemberEpoch = "billing", textOrNil(test.member), test.epoch
		of.Topics = []kmsg.OffsetFetchRequestGroupTopic{{Topic: "orders", TopicID: id, Partitions: []int32{0, 1}}}
		fetch.Groups = []kmsg.OffsetFetchRequestGroup{of}
		if resp, err := fetch.RequestWith(ctx, c); err != nil || code.Error(resp.Groups[0].ErrorCode) != test.fetch {
			t.Errorf("%s at %d fetches: %+v, %v", test.member, test.epoch, resp, err)
		}
	}
}

// As long as it has members a group keeps its protocol, the offsets of what it
// reads, and itself.
func TestConsumerGroupsStay(t *testing.T) {
	n := start(t)
	ctx, c := t.Context(), n.client()
	beat := n.soleMember(ctx, c)
	forget := kmsg.NewPtrOffsetDeleteRequest()
	forget.Group = "billing"
	forget.Topics = []kmsg.OffsetDeleteRequestTopic{{Topic: "orders", Partitions: []kmsg.OffsetDeleteRequestTopicPartition{{Partition: 0}}}}
	if resp, err := forget.RequestWith(ctx, c); err != nil || code.Error(resp.Topics[0].Partitions[0].ErrorCode) != code.GroupSubscribedToTopic {
		t.Errorf("%+v, %v", resp, err)
	}
	remove := kmsg.NewPtrDeleteGroupsRequest()
	remove.Groups = []string{"billing"}
	if resp, err := remove.RequestWith(ctx, c); err != nil || code.Error(resp.Groups[0].ErrorCode) != code.NonEmptyGroup {
		t.Errorf("%+v, %v", resp, err)
	}
	join := kmsg.NewPtrJoinGroupRequest()
	join.Group, join.ProtocolType, join.SessionTimeoutMillis = "billing", "consumer", 10_000
	join.Protocols = []kmsg.JoinGroupRequestProtocol{{Name: "range"}}
	if resp, err := join.RequestWith(ctx, c); err != nil || code.Error(resp.ErrorCode) != code.InconsistentGroupProtocol {
		t.Errorf("%+v, %v", resp, err)
	}
	beat.MemberEpoch = -1
	if resp, err := beat.RequestWith(ctx, c); err != nil || resp.ErrorCode != 0 || resp.MemberEpoch != -1 {
		t.Errorf("%+v, %v", resp, err)
	}
	if resp, err := remove.RequestWith(ctx, c); err != nil || resp.Groups[0].ErrorCode != 0 {
		t.Errorf("%+v, %v", resp, err)
	}
}

// A heartbeat is answered once what it changed is durable: whenever the power goes,
// members are at the epochs that they were told, with the partitions they were told.
func TestConsumersOutlastPowerLoss(t *testing.T) {
	m := vfs.NewMem()
	n := &node{T: t, dir: "/node", addr: "127.0.0.1:0", fs: m}
	n.start()
	ctx, c := testContext(t), n.client()
	if _, err := n.broker.topics.make(newTopic{name: "orders", partitions: 5}); err != nil {
		t.Fatal(err)
	}
	told := map[string]*kmsg.ConsumerGroupHeartbeatResponse{}
	for round := range 60 {
		member := fmt.Sprint("m", round*7%5)
		beat := kmsg.NewPtrConsumerGroupHeartbeatRequest()
		beat.Group, beat.MemberID, beat.RebalanceTimeoutMillis = "billing", member, 60_000
		beat.SubscribedTopicNames, beat.Topics = []string{"orders"}, []kmsg.ConsumerGroupHeartbeatRequestTopic{}
		if last := told[member]; last != nil {
			beat.MemberEpoch = last.MemberEpoch
			for _, topic := range last.Assignment.Topics {
				beat.Topics = append(beat.Topics, kmsg.ConsumerGroupHeartbeatRequestTopic{TopicID: topic.TopicID, Partitions: topic.Partitions})
			}
			if round%11 == 10 {
				beat.MemberEpoch = -1
			}
		}
		resp, err := beat.RequestWith(ctx, c)
		if err != nil || resp.ErrorCode != 0 {
			t.Fatalf("%+v, %v", resp, err)
		}
		if told[member] = resp; resp.MemberEpoch < 0 {
			delete(told, member)
		}
		checkTold(t, m.PowerLoss(rand.New(rand.NewSource(int64(round)))), told)
	}
	if err := n.stop(); err != nil {
		t.Fatal(err)
	}
}

// checkTold opens what power loss left.
func checkTold(t *testing.T, disk vfs.FS, told map[string]*kmsg.ConsumerGroupHeartbeatResponse) {
	t.Helper()
	b := openOn(t, disk)
	defer func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}()
	var d group.ConsumerDescription
	b.groups.look(func(g *group.Groups, _ int64) { d, _ = g.DescribeConsumers("billing") })
	if len(d.Members) != len(told) {
		t.Fatalf("%d members are left, want %d", len(d.Members), len(told))
	}
	for i := range d.Members {
		at, want := &d.Members[i], told[d.Members[i].Member]
		if want == nil || at.Epoch != want.MemberEpoch || fmt.Sprint(assigned(at.Partitions())) != fmt.Sprint(want.Assignment) {
			t.Fatalf("%+v, was told %+v", at, want)
		}
	}
}
