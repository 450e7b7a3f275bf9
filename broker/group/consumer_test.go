package group

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/hapaxmq/hapax/broker/code"
)

// held are partitions of the topic 0 that a member has since an epoch.
func held(since int32, indexes ...int32) (all []Held) {
	for _, i := range indexes {
		all = append(all, Held{Partition{Index: i}, since})
	}
	return all
}

func partitions(indexes ...int32) []Partition {
	all := []Partition{}
	for _, i := range indexes {
		all = append(all, Partition{Index: i})
	}
	return all
}

// A member goes one step with each heartbeat. The target is of epoch 5, and
// partition 9 is another's.
func TestReconcile(t *testing.T) {
	for _, test := range []struct {
		name   string
		is     Holding
		target []Partition
		owned  []Partition
		want   Holding
	}{
		{"it is there", Holding{5, 4, Settled, held(3, 0), nil}, partitions(0), nil, Holding{5, 4, Settled, held(3, 0), nil}},
		{"nothing changes for it", Holding{4, 3, Settled, held(3, 0), nil}, partitions(0), nil, Holding{5, 4, Settled, held(3, 0), nil}},
		{"it gets more", Holding{4, 3, Settled, held(3, 1), nil}, partitions(0, 1), nil, Holding{5, 4, Settled, slices.Concat(held(5, 0), held(3, 1)), nil}},
		{"it is to get what another has", Holding{4, 3, Settled, nil, nil}, partitions(0, 9), nil, Holding{5, 4, Waiting, held(5, 0), nil}},
		{"it must give back", Holding{4, 3, Settled, held(3, 0, 1), nil}, partitions(0, 2), nil, Holding{4, 3, Revoking, held(3, 0), held(3, 1)}},
		{"it must give back what it never took", Holding{4, 3, Settled, held(3, 0, 1), nil}, partitions(0), partitions(0), Holding{5, 4, Settled, held(3, 0), nil}},
		{"it does not say that it gave back", Holding{4, 3, Revoking, held(3, 0), held(3, 1)}, partitions(0, 2), nil, Holding{4, 3, Revoking, held(3, 0), held(3, 1)}},
		{"it has not", Holding{4, 3, Revoking, held(3, 0), held(3, 1)}, partitions(0, 2), partitions(0, 1), Holding{4, 3, Revoking, held(3, 0), held(3, 1)}},
		{"it has", Holding{4, 3, Revoking, held(3, 0), held(3, 1)}, partitions(0, 2), partitions(0), Holding{5, 4, Settled, slices.Concat(held(3, 0), held(5, 2)), nil}},
		{"it has, and must give back more", Holding{3, 2, Revoking, held(3, 0), held(3, 1)}, partitions(2), partitions(0), Holding{4, 3, Revoking, nil, held(3, 0)}},
		{"it gets back what it gave", Holding{3, 2, Revoking, nil, held(3, 1)}, partitions(1), partitions(), Holding{5, 3, Settled, held(5, 1), nil}},
		{"it waited", Holding{5, 4, Waiting, held(3, 0), nil}, partitions(0, 1), nil, Holding{5, 4, Settled, slices.Concat(held(3, 0), held(5, 1)), nil}},
		{"it waits on", Holding{5, 4, Waiting, held(3, 0), nil}, partitions(0, 9), nil, Holding{5, 4, Waiting, held(3, 0), nil}},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := test.is.reconcile(goal{
				epoch: 5, partitions: test.target, owned: test.owned, free: func(p Partition) bool { return p.Index != 9 },
			})
			if !got.same(test.want) {
				t.Errorf("%+v, want %+v", got, test.want)
			}
		})
	}
}

// consumerJoins is a heartbeat of a member that joins.
func consumerJoins(member string) ConsumerHeartbeat {
	return ConsumerHeartbeat{Version: 1, Group: theGroup, Member: member, RebalanceTimeout: 60_000, Topics: []string{"orders"}, Owned: []Partition{}}
}

func TestConsumerHeartbeatIsRefused(t *testing.T) {
	long, open := strings.Repeat("x", 5<<20), "(("
	heavy := strings.Repeat("(a|b){999}", 3)
	for _, test := range []struct {
		name string
		with func(*ConsumerHeartbeat, *Settings)
		want code.Error
	}{
		{"no group", func(r *ConsumerHeartbeat, _ *Settings) { r.Group = "" }, code.InvalidGroupID},
		{"a group's id too long", func(r *ConsumerHeartbeat, set *Settings) { r.Group, set.MaxGroupName = "hh", 1 }, code.InvalidGroupID},
		{"no such epoch", func(r *ConsumerHeartbeat, _ *Settings) { r.Epoch = -3 }, code.InvalidRequest},
		{"no id", func(r *ConsumerHeartbeat, _ *Settings) { r.Member = "" }, code.InvalidRequest},
		{"no id, and it is to have one", func(r *ConsumerHeartbeat, _ *Settings) { r.Version, r.Member, r.Epoch = 0, "", 1 }, code.InvalidRequest},
		{"no timeout", func(r *ConsumerHeartbeat, _ *Settings) { r.RebalanceTimeout = -1 }, code.InvalidRequest},
		{"no word of partitions", func(r *ConsumerHeartbeat, _ *Settings) { r.Owned = nil }, code.InvalidRequest},
		{"partitions of nobody", func(r *ConsumerHeartbeat, _ *Settings) { r.Owned = partitions(1) }, code.InvalidRequest},
		{"no subscription", func(r *ConsumerHeartbeat, _ *Settings) { r.Topics = nil }, code.InvalidRequest},
		{"too much of it", func(r *ConsumerHeartbeat, _ *Settings) { r.Topics = []string{long} }, code.InvalidRequest},
		{"too much of it for the group", func(_ *ConsumerHeartbeat, set *Settings) { set.MaxGroupBytes = 10 }, code.GroupMaxSizeReached},
		{"no expression", func(r *ConsumerHeartbeat, _ *Settings) { r.Pattern = &open }, code.InvalidRegularExpression},
		{"one that costs too much", func(r *ConsumerHeartbeat, _ *Settings) { r.Pattern = &heavy }, code.InvalidRegularExpression},
		{"no such assignor", func(r *ConsumerHeartbeat, _ *Settings) { r.Assignor = "sticky" }, code.UnsupportedAssignor},
		{"one that is not to be", func(r *ConsumerHeartbeat, set *Settings) { r.Assignor, set.Assignors = Range, []string{Uniform} }, code.UnsupportedAssignor},
		{"no such member", func(r *ConsumerHeartbeat, _ *Settings) { r.Epoch = 1 }, code.UnknownMemberID},
		{"no such group", func(r *ConsumerHeartbeat, _ *Settings) { r.Group, r.Epoch = "h", 1 }, code.UnknownMemberID},
		{"nobody leaves", func(r *ConsumerHeartbeat, _ *Settings) { r.Epoch = -1 }, code.UnknownMemberID},
		{"no such instance", func(r *ConsumerHeartbeat, _ *Settings) { r.Epoch, r.Instance = -2, "i2" }, code.UnknownMemberID},
		{"no instance", func(r *ConsumerHeartbeat, _ *Settings) { r.Epoch = -2 }, code.InvalidRequest},
		{"another's instance", func(r *ConsumerHeartbeat, _ *Settings) { r.Epoch, r.Instance = 1, "i" }, code.FencedInstanceID},
		{"another's instance, to join", func(r *ConsumerHeartbeat, _ *Settings) { r.Instance = "i" }, code.UnreleasedInstanceID},
		{"an epoch ahead", func(r *ConsumerHeartbeat, _ *Settings) { r.Member, r.Epoch = "a", 3 }, code.FencedMemberEpoch},
		{"an epoch behind, with what is another's", func(r *ConsumerHeartbeat, _ *Settings) { r.Member, r.Epoch, r.Owned = "a", 1, partitions(7) }, code.FencedMemberEpoch},
		{"an epoch behind, without a word", func(r *ConsumerHeartbeat, _ *Settings) { r.Member, r.Epoch, r.Owned = "a", 1, nil }, code.FencedMemberEpoch},
		{"one group too many", func(r *ConsumerHeartbeat, set *Settings) { r.Group, set.MaxGroups = "h", 1 }, code.PolicyViolation},
		{"one member too many", func(_ *ConsumerHeartbeat, set *Settings) { set.MaxConsumers = 1 }, code.GroupMaxSizeReached},
	} {
		t.Run(test.name, func(t *testing.T) {
			topics := NewTopics([]Topic{{Name: "orders", Partitions: 2}})
			r, set := consumerJoins("b"), Defaults()
			test.with(&r, &set)
			s := New(Defaults())
			a := consumerJoins("a")
			a.Instance = "i"
			for range 2 { // the second time with a new topic: the member is at epoch 2
				_, e := s.DecideConsumerHeartbeat(a, topics, 0)
				s.Apply(e)
				a.Epoch, topics = 1, NewTopics([]Topic{{Name: "orders", Partitions: 3}})
			}
			s.set = set
			before := describeAll(s)
			reply, e := s.DecideConsumerHeartbeat(r, topics, 0)
			if reply.Code != test.want || reply.Message == "" || e != nil || reply.Told {
				t.Errorf("%+v, %v, want %v", reply, e, test.want)
			}
			if after := describeAll(s); after != before {
				t.Errorf("%s\nbecame\n%s", before, after)
			}
		})
	}
}

func describeAll(s *Groups) string {
	d, _ := s.DescribeConsumers(theGroup)
	return fmt.Sprint(s.List(), d)
}

// A large group's snapshot comes in parts, which make the same group.
func TestSnapshotOfConsumers(t *testing.T) {
	topics := NewTopics([]Topic{{Name: "orders", Partitions: 7}})
	s := New(Defaults())
	for i := range 5 {
		r := consumerJoins(fmt.Sprint("m", i))
		r.Topics = []string{"orders", strings.Repeat("x", changePart/3)}
		_, e := s.DecideConsumerHeartbeat(r, topics, 1_000)
		s.Apply(e)
	}
	again, parts := New(Defaults()), 0
	for e := range s.Snapshot() {
		if _, ok := e.(Changed); ok {
			parts++
		}
		again.Apply(e)
	}
	again.Recovered(1_000)
	if parts != 2 || describeAll(again) != describeAll(s) {
		t.Errorf("%d parts", parts)
	}
	if next := again.Next(); next != 46_000 {
		t.Errorf("due at %d", next)
	}
	for i := range 5 { // a group without members, which is empty since 2 s
		r := ConsumerHeartbeat{Version: 1, Group: theGroup, Member: fmt.Sprint("m", i), Epoch: -1, RebalanceTimeout: -1}
		_, e := again.DecideConsumerHeartbeat(r, topics, 2_000)
		again.Apply(e)
	}
	empty := New(Defaults())
	for e := range again.Snapshot() {
		empty.Apply(e)
	}
	empty.Recovered(9_000)
	if g := empty.byName[theGroup]; g.emptySince != 2_000 || g.state != Empty || g.generation != 10 || g.consumers == nil {
		t.Errorf("%+v", g)
	}
}

// Who commits or fetches offsets says which member it is, and at which epoch. The
// member a is at epoch 3, has partition 0 since epoch 1 and 1 since epoch 3.
func TestOffsetsOfConsumers(t *testing.T) {
	s := New(Defaults())
	s.Apply(Changed{
		Group: theGroup, Epoch: 3, TargetEpoch: 3, Profiles: []Profile{{Member: "a"}},
		Holdings: []Moved{{"a", Holding{Epoch: 3, Previous: 1, Assigned: slices.Concat(held(1, 0), held(3, 1))}}},
	})
	for _, test := range []struct {
		name              string
		member            string
		epoch             int32
		of                []Partition
		commit, tx, fetch code.Error
	}{
		{"its own", "a", 3, partitions(0, 1), code.None, code.None, code.None},
		{"one that it has not", "a", 3, partitions(7), code.None, code.None, code.None},
		{"its own since then", "a", 1, partitions(0), code.None, code.None, code.None},
		{"its own, but not since then", "a", 2, partitions(0, 1), code.StaleMemberEpoch, code.IllegalGeneration, code.StaleMemberEpoch},
		{"one that it has not, behind", "a", 2, partitions(7), code.StaleMemberEpoch, code.IllegalGeneration, code.StaleMemberEpoch},
		{"nothing, behind", "a", 2, nil, code.StaleMemberEpoch, code.IllegalGeneration, code.StaleMemberEpoch},
		{"before it was there", "a", 0, partitions(0), code.StaleMemberEpoch, code.IllegalGeneration, code.StaleMemberEpoch},
		{"ahead", "a", 4, partitions(0), code.StaleMemberEpoch, code.IllegalGeneration, code.StaleMemberEpoch},
		{"no epoch", "a", -1, partitions(0), code.StaleMemberEpoch, code.IllegalGeneration, code.StaleMemberEpoch},
		{"no member", "b", 3, partitions(0), code.UnknownMemberID, code.UnknownMemberID, code.UnknownMemberID},
		{"nobody", "", -1, partitions(0), code.UnknownMemberID, code.UnknownMemberID, code.None},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := CommitRequest{Version: 9, Group: theGroup, Member: test.member, Generation: test.epoch, Producer: NoProducer, Retention: -1}
			for _, p := range test.of {
				r.Offsets = append(r.Offsets, Offset{Partition: p})
			}
			if got := s.checkCommit(r, 0); got != test.commit {
				t.Errorf("commit: %v, want %v", got, test.commit)
			}
			r.Producer = 7
			if got := s.checkCommit(r, 0); got != test.tx {
				t.Errorf("commit in a transaction: %v, want %v", got, test.tx)
			}
			if r.Producer, r.Version = NoProducer, 8; test.commit != code.UnknownMemberID && s.checkCommit(r, 0) != code.UnsupportedVersion {
				t.Errorf("commit of a version without epochs: %v", s.checkCommit(r, 0))
			}
			if got, _ := s.Fetch(FetchRequest{Group: theGroup, Member: test.member, Epoch: test.epoch, Partitions: test.of}); got != test.fetch {
				t.Errorf("fetch: %v, want %v", got, test.fetch)
			}
		})
	}
}
