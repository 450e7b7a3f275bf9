package broker

import (
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/hapaxmq/hapax/broker/code"
)

// CreatePartitions (37), versions 0 to 3: gives topics more partitions, each for
// itself.
//
//	2  flexible
func createPartitions(c *conn, req *kmsg.CreatePartitionsRequest) answer {
	resp := req.ResponseKind().(*kmsg.CreatePartitionsResponse)
	named := make(map[string]int)
	for i := range req.Topics {
		named[req.Topics[i].Topic]++
	}
	for i := range req.Topics {
		asked := &req.Topics[i]
		done := kmsg.NewCreatePartitionsResponseTopic()
		done.Topic = strings.Clone(asked.Topic)
		err := refuse(code.InvalidRequest, "topic %q is named twice", done.Topic)
		if named[done.Topic] == 1 {
			err = c.b.topics.growAs(asked, req.ValidateOnly)
		}
		done.ErrorCode, done.ErrorMessage = int16(codeOf(err)), messageOf(err)
		resp.Topics = append(resp.Topics, done)
	}
	return ready(resp)
}

func (ts *topics) growAs(asked *kmsg.CreatePartitionsRequestTopic, only bool) error {
	name := strings.Clone(asked.Topic)
	if t := ts.named(name); t != nil && asked.Assignment != nil {
		if more := int(asked.Count) - len(t.partitions); more > 0 && len(asked.Assignment) != more {
			return refuse(code.InvalidReplicaAssignment, "replicas of %d partitions, and %d are new", len(asked.Assignment), more)
		}
	}
	return ts.grow(name, asked.Count, only)
}
