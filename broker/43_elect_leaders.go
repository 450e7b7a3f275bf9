package broker

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/hapaxmq/hapax/broker/code"
)

// ElectLeaders (43), versions 0 to 2: this node leads all there is, and stays. As
// Kafka does, who asks for all partitions is told of those only that get another
// leader, so of none.
//
//	1  the kind of election
//	2  flexible
func electLeaders(c *conn, req *kmsg.ElectLeadersRequest) answer {
	resp := req.ResponseKind().(*kmsg.ElectLeadersResponse)
	for i := range req.Topics {
		asked := &req.Topics[i]
		told := kmsg.NewElectLeadersResponseTopic()
		told.Topic = asked.Topic
		for _, number := range asked.Partitions {
			err := refuse(code.ElectionNotNeeded, "one node leads all partitions, always")
			if t := c.b.topics.named(asked.Topic); t == nil || number < 0 || int(number) >= len(t.partitions) {
				err = refuse(code.UnknownTopicOrPartition, "there is no partition %d of a topic %q", number, asked.Topic)
			}
			p := kmsg.NewElectLeadersResponseTopicPartition()
			p.Partition, p.ErrorCode, p.ErrorMessage = number, int16(codeOf(err)), messageOf(err)
			told.Partitions = append(told.Partitions, p)
		}
		resp.Topics = append(resp.Topics, told)
	}
	return ready(resp)
}
