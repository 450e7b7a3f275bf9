package broker

import (
	"context"
	"encoding/base64"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/hapaxmq/hapax/broker/group"
)

// ConsumerGroupHeartbeat (68), versions 0 and 1: a consumer lives, says what it
// wants and what it has, and hears what to read (KIP-848). It is how such a member
// joins and leaves, too.
//
//	1  subscription by pattern; members choose their ids
func (c *conn) consumerGroupHeartbeat(_ context.Context, req *kmsg.ConsumerGroupHeartbeatRequest) answer {
	resp := req.ResponseKind().(*kmsg.ConsumerGroupHeartbeatResponse)
	fresh := newID()
	asked := group.ConsumerHeartbeat{
		Version: req.Version, Group: strings.Clone(req.Group), Member: strings.Clone(req.MemberID), Instance: text(req.InstanceID),
		Rack: text(req.RackID), Epoch: req.MemberEpoch, Fresh: base64.RawURLEncoding.EncodeToString(fresh[:]),
		ClientID: c.client, ClientHost: hostOf(c.net.RemoteAddr()), RebalanceTimeout: req.RebalanceTimeoutMillis,
		Topics: clones(req.SubscribedTopicNames), Assignor: text(req.ServerAssignor), Owned: owned(req.Topics),
	}
	if req.SubscribedTopicRegex != nil {
		pattern := text(req.SubscribedTopicRegex)
		asked.Pattern = &pattern
	}
	var reply group.ConsumerReply
	end, err := c.b.groups.decide(func(g *group.Groups, now int64) (event group.Event) {
		reply, event = g.DecideConsumerHeartbeat(asked, c.b.topics.subscribable(), now)
		return event
	})
	return c.b.whenDurable(resp, end, err, func(err error) {
		if err != nil {
			resp.ErrorCode, resp.ErrorMessage = int16(codeOf(err)), messageOf(err)
			return
		}
		resp.ErrorCode, resp.ErrorMessage = int16(reply.Code), textOrNil(reply.Message)
		resp.MemberID, resp.MemberEpoch, resp.HeartbeatIntervalMillis = textOrNil(reply.Member), reply.Epoch, reply.Interval
		if reply.Told {
			resp.Assignment = assigned(reply.Assigned)
		}
	})
}

// clones are copies of strings, nil for nil.
func clones(all []string) []string {
	if all == nil {
		return nil
	}
	own := make([]string, len(all))
	for i, s := range all {
		own[i] = strings.Clone(s)
	}
	return own
}

// owned are the partitions that a member says it has, nil if it does not say.
func owned(topics []kmsg.ConsumerGroupHeartbeatRequestTopic) []group.Partition {
	if topics == nil {
		return nil
	}
	all := []group.Partition{}
	for i := range topics {
		for _, p := range topics[i].Partitions {
			all = append(all, group.Partition{Topic: topics[i].TopicID, Index: p})
		}
	}
	return all
}

// assigned is what a member is told to read. The partitions come by topic.
func assigned(all []group.Partition) *kmsg.ConsumerGroupHeartbeatResponseAssignment {
	told := new(kmsg.ConsumerGroupHeartbeatResponseAssignment)
	for _, p := range all {
		if n := len(told.Topics); n == 0 || told.Topics[n-1].TopicID != p.Topic {
			t := kmsg.NewConsumerGroupHeartbeatResponseAssignmentTopic()
			t.TopicID = p.Topic
			told.Topics = append(told.Topics, t)
		}
		last := &told.Topics[len(told.Topics)-1]
		last.Partitions = append(last.Partitions, p.Index)
	}
	return told
}
