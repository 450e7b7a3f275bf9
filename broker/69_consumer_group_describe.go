package broker

import (
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/hapaxmq/hapax/broker/code"
	"github.com/hapaxmq/hapax/broker/group"
)

// ConsumerGroupDescribe (69), versions 0 and 1: the state and the members of groups
// of the consumer protocol (KIP-848). A classic one is not found: DescribeGroups has
// it.
//
//	1  the type of a member, which is always "consumer"
func consumerGroupDescribe(c *conn, req *kmsg.ConsumerGroupDescribeRequest) answer {
	resp := req.ResponseKind().(*kmsg.ConsumerGroupDescribeResponse)
	end := c.b.groups.look(func(g *group.Groups, _ int64) {
		for _, name := range req.Groups {
			resp.Groups = append(resp.Groups, describedConsumers(g, c.b.topics, strings.Clone(name), req))
		}
	})
	return c.b.whenDurable(resp, end, nil, func(err error) {
		for i := range resp.Groups {
			if err != nil {
				resp.Groups[i].ErrorCode = int16(codeOf(err))
			}
		}
	})
}

func describedConsumers(g *group.Groups, ts *topics, name string, req *kmsg.ConsumerGroupDescribeRequest) kmsg.ConsumerGroupDescribeResponseGroup {
	d := kmsg.NewConsumerGroupDescribeResponseGroup()
	d.Group, d.AuthorizedOperations = name, notTold
	found, ok := g.DescribeConsumers(name)
	if !ok {
		err := refuse(code.GroupIDNotFound, "there is no group %q of the consumer protocol", name)
		d.ErrorCode, d.ErrorMessage = int16(codeOf(err)), messageOf(err)
		return d
	}
	if req.IncludeAuthorizedOperations {
		d.AuthorizedOperations = groupOperations
	}
	d.State, d.Epoch, d.AssignmentEpoch, d.AssignorName = found.State.String(), found.Epoch, found.TargetEpoch, found.Assignor
	for i := range found.Members {
		m := &found.Members[i]
		member := kmsg.NewConsumerGroupDescribeResponseGroupMember()
		member.MemberID, member.InstanceID, member.RackID = m.Member, textOrNil(m.Instance), textOrNil(m.Rack)
		member.MemberEpoch, member.ClientID, member.ClientHost = m.Epoch, m.ClientID, m.ClientHost
		member.SubscribedTopics, member.SubscribedTopicRegex = m.Topics, textOrNil(m.Pattern)
		member.Assignment = assignment(ts, m.Partitions())
		member.TargetAssignment = assignment(ts, m.Target)
		member.MemberType = 1 // of the consumer protocol
		d.Members = append(d.Members, member)
	}
	return d
}

// assignment brings partitions under their topics, as far as those are there. They
// come by topic.
func assignment(ts *topics, all []group.Partition) (done kmsg.Assignment) {
	for _, p := range all {
		t := ts.byID(p.Topic)
		if t == nil {
			continue
		}
		if n := len(done.TopicPartitions); n == 0 || done.TopicPartitions[n-1].TopicID != p.Topic {
			in := kmsg.NewAssignmentTopicPartition()
			in.TopicID, in.Topic = t.id, t.name
			done.TopicPartitions = append(done.TopicPartitions, in)
		}
		last := &done.TopicPartitions[len(done.TopicPartitions)-1]
		last.Partitions = append(last.Partitions, p.Index)
	}
	return done
}
