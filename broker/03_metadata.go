package broker

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/hapaxmq/hapax/broker/code"
)

// nodeID is this node's: there is no other.
const nodeID = 1

// Metadata (3), versions 0 to 13: where the partitions of topics are.
//
//	1   null asks for all topics; rack, controller, which topics are internal
//	2   cluster id
//	4   whether a topic that does not exist is made
//	7   leader epoch
//	9   flexible
//	10  topic ids
//	13  an error for all of it
func (c *conn) metadata(_ context.Context, req *kmsg.MetadataRequest) answer {
	resp := req.ResponseKind().(*kmsg.MetadataResponse)
	host := kmsg.NewMetadataResponseBroker()
	host.NodeID = nodeID
	host.Host, host.Port = c.listen.host, c.listen.port
	resp.Brokers = append(resp.Brokers, host)
	resp.ControllerID = nodeID
	resp.ClusterID = &c.b.identity.Cluster

	all := req.Topics == nil || req.Version == 0 && len(req.Topics) == 0
	if all {
		for _, t := range c.b.topics.list() {
			resp.Topics = append(resp.Topics, describeTopic(t))
		}
		return ready(resp)
	}
	mayMake := c.b.settings.autoCreate && (req.Version < 4 || req.AllowAutoTopicCreation)
	for i := range req.Topics {
		resp.Topics = append(resp.Topics, c.b.describe(&req.Topics[i], mayMake))
	}
	return ready(resp)
}

// describe answers for one topic, which it makes if it may.
func (b *Broker) describe(asked *kmsg.MetadataRequestTopic, mayMake bool) kmsg.MetadataResponseTopic {
	if asked.Topic == nil {
		if t := b.topics.byID(asked.TopicID); t != nil {
			return describeTopic(t)
		}
		return noTopic(nil, asked.TopicID, code.UnknownTopicID)
	}
	name := strings.Clone(*asked.Topic)
	if t := b.topics.named(name); t != nil {
		return describeTopic(t)
	}
	if !mayMake {
		return noTopic(&name, asked.TopicID, code.UnknownTopicOrPartition)
	}
	t, err := b.topics.make(newTopic{name: name, partitions: b.settings.partitions})
	if errors.Is(err, code.TopicAlreadyExists) { // somebody else was quicker
		if t := b.topics.named(name); t != nil {
			return describeTopic(t)
		}
	}
	if err != nil {
		return noTopic(&name, asked.TopicID, codeOf(err))
	}
	return describeTopic(t)
}

func noTopic(name *string, id [16]byte, e code.Error) kmsg.MetadataResponseTopic {
	t := kmsg.NewMetadataResponseTopic()
	t.ErrorCode, t.Topic, t.TopicID = int16(e), name, id
	return t
}

func describeTopic(t *topic) kmsg.MetadataResponseTopic {
	d := kmsg.NewMetadataResponseTopic()
	d.Topic, d.TopicID = &t.name, t.id
	d.Partitions = slices.Grow(d.Partitions, len(t.partitions))
	for i := range t.partitions {
		p := kmsg.NewMetadataResponseTopicPartition()
		p.Partition, p.Leader, p.LeaderEpoch = int32(i), nodeID, leaderEpoch
		p.Replicas, p.ISR, p.OfflineReplicas = []int32{nodeID}, []int32{nodeID}, []int32{}
		d.Partitions = append(d.Partitions, p)
	}
	return d
}
