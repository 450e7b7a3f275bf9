package broker

import (
	"cmp"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/hapaxmq/hapax/broker/code"
	"github.com/hapaxmq/hapax/broker/txn"
)

// WriteTxnMarkers (27), versions 1 and 2: an operator aborts a producer's open
// transaction, as kafka-transactions does. It ends as a whole, whatever partitions
// are named. A commit is the client's alone.
//
//	1  flexible
func (t *transactions) writeTxnMarkers(req *kmsg.WriteTxnMarkersRequest) answer {
	resp := req.ResponseKind().(*kmsg.WriteTxnMarkersResponse)
	var end int64
	var failed error
	for i := range req.Markers {
		asked := &req.Markers[i]
		refused := code.InvalidRequest
		if !asked.Committed {
			var at int64
			var err error
			refused, at, err = t.abort(txn.Producer{ID: asked.ProducerID, Epoch: asked.ProducerEpoch})
			end, failed = max(end, at), cmp.Or(failed, err)
		}
		resp.Markers = append(resp.Markers, marked(asked, refused))
	}
	return t.b.whenDurable(resp, end, failed, func(err error) {
		if err != nil {
			failMarkers(resp, codeOf(err))
		}
	})
}

// marked answers for one producer.
func marked(asked *kmsg.WriteTxnMarkersRequestMarker, c code.Error) kmsg.WriteTxnMarkersResponseMarker {
	done := kmsg.NewWriteTxnMarkersResponseMarker()
	done.ProducerID = asked.ProducerID
	for i := range asked.Topics {
		t := kmsg.NewWriteTxnMarkersResponseMarkerTopic()
		t.Topic = strings.Clone(asked.Topics[i].Topic)
		for _, number := range asked.Topics[i].Partitions {
			p := kmsg.NewWriteTxnMarkersResponseMarkerTopicPartition()
			p.Partition, p.ErrorCode = number, int16(c)
			t.Partitions = append(t.Partitions, p)
		}
		done.Topics = append(done.Topics, t)
	}
	return done
}

func failMarkers(resp *kmsg.WriteTxnMarkersResponse, c code.Error) {
	for i := range resp.Markers {
		for j := range resp.Markers[i].Topics {
			partitions := resp.Markers[i].Topics[j].Partitions
			for k := range partitions {
				partitions[k].ErrorCode = int16(c)
			}
		}
	}
}
