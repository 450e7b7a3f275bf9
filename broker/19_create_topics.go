package broker

import (
	"context"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/hapaxmq/hapax/broker/code"
)

// CreateTopics (19), versions 0 to 7: makes topics, each for itself.
//
//	1  only checks, if asked to
//	4  −1 partitions and replicas are the defaults
//	5  flexible; tells what was made
//	7  topic ids
//
// Whatever number of replicas is asked for, there is one, and the answer says so.
func (c *conn) createTopics(_ context.Context, req *kmsg.CreateTopicsRequest) answer {
	resp := req.ResponseKind().(*kmsg.CreateTopicsResponse)
	named := make(map[string]int)
	for i := range req.Topics {
		named[req.Topics[i].Topic]++
	}
	left := int32(maxPartitions) // of the request
	for i := range req.Topics {
		asked := &req.Topics[i]
		made := kmsg.NewCreateTopicsResponseTopic()
		made.Topic = strings.Clone(asked.Topic)
		if named[asked.Topic] > 1 {
			made.ErrorCode = int16(code.InvalidRequest)
		} else {
			c.b.createTopic(asked, req.ValidateOnly, left, &made)
			left -= max(made.NumPartitions, 0)
		}
		resp.Topics = append(resp.Topics, made)
	}
	return ready(resp)
}

// createTopic makes a topic, of as many partitions at most as are left to the request.
func (b *Broker) createTopic(asked *kmsg.CreateTopicsRequestTopic, only bool, left int32, made *kmsg.CreateTopicsResponseTopic) {
	n, err := b.newTopicOf(asked)
	switch {
	case err != nil:
	case n.partitions > left && n.partitions <= maxPartitions:
		err = refuse(code.PolicyViolation, "%d partitions beside those of other topics: one request makes at most %d", n.partitions, maxPartitions)
	case only:
		err = b.topics.check(n)
	default:
		var t *topic
		if t, err = b.topics.make(n); err == nil {
			made.TopicID = t.id
			made.Configs = madeConfigs(b.settings.describeTopic(t.settings))
		}
	}
	made.NumPartitions, made.ReplicationFactor = n.partitions, 1
	made.ErrorCode, made.ErrorMessage = int16(codeOf(err)), messageOf(err)
	if err != nil {
		made.NumPartitions, made.ReplicationFactor = -1, -1
	}
}

func (b *Broker) newTopicOf(asked *kmsg.CreateTopicsRequestTopic) (n newTopic, err error) {
	n = newTopic{name: strings.Clone(asked.Topic), partitions: asked.NumPartitions, settings: make(map[string]string)}
	if n.partitions == -1 {
		n.partitions = b.settings.partitions
	}
	if asked.ReplicationFactor == 0 || asked.ReplicationFactor < -1 {
		return n, refuse(code.InvalidReplicationFactor, "%d replicas", asked.ReplicationFactor)
	}
	if len(asked.ReplicaAssignment) > 0 {
		if asked.NumPartitions != -1 || asked.ReplicationFactor != -1 {
			return n, refuse(code.InvalidRequest, "an assignment of replicas stands for the number of partitions and replicas: both must be -1")
		}
		n.partitions = int32(len(asked.ReplicaAssignment))
	}
	for _, s := range asked.Configs {
		if s.Value != nil {
			n.settings[strings.Clone(s.Name)] = strings.Clone(*s.Value)
		}
	}
	return n, nil
}

func madeConfigs(described []configEntry) (all []kmsg.CreateTopicsResponseTopicConfig) {
	for _, e := range described {
		c := kmsg.NewCreateTopicsResponseTopicConfig()
		c.Name, c.Value, c.Source = e.setting.name, textOrNil(e.value), int8(e.source)
		all = append(all, c)
	}
	return all
}
