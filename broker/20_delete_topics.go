package broker

import (
	"context"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/hapaxmq/hapax/broker/code"
)

// DeleteTopics (20), versions 0 to 6: deletes topics and their records.
//
//	4  flexible
//	5  messages with errors
//	6  by topic id
func (c *conn) deleteTopics(_ context.Context, req *kmsg.DeleteTopicsRequest) answer {
	resp := req.ResponseKind().(*kmsg.DeleteTopicsResponse)
	for i := range req.TopicNames {
		resp.Topics = append(resp.Topics, c.b.deleteTopic(&req.TopicNames[i], [16]byte{}))
	}
	for i := range req.Topics {
		resp.Topics = append(resp.Topics, c.b.deleteTopic(req.Topics[i].Topic, req.Topics[i].TopicID))
	}
	return ready(resp)
}

func (b *Broker) deleteTopic(name *string, id [16]byte) kmsg.DeleteTopicsResponseTopic {
	done := kmsg.NewDeleteTopicsResponseTopic()
	done.TopicID = id
	var t *topic
	missing := code.UnknownTopicID
	if name != nil {
		own := strings.Clone(*name)
		done.Topic, missing = &own, code.UnknownTopicOrPartition
		t = b.topics.named(own)
	} else {
		t = b.topics.byID(id)
	}
	err := refuse(missing, "there is no such topic")
	switch {
	case !b.settings.mayDelete:
		err = refuse(code.TopicDeletionDisabled, "delete.topic.enable is false")
	case t != nil:
		done.Topic, done.TopicID = &t.name, t.id
		err = b.topics.drop(t.id)
	}
	done.ErrorCode, done.ErrorMessage = int16(codeOf(err)), messageOf(err)
	return done
}
