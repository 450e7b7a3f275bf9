package broker

import (
	"context"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/hapaxmq/hapax/broker/code"
	"github.com/hapaxmq/hapax/broker/txn"
)

// InitProducerId (22), versions 0 to 5: gives a producer its id and epoch.
//
//	2  flexible
//	3  a producer says what it has, and gets the next epoch (KIP-360)
//	4  PRODUCER_FENCED
//	5  KIP-890
//
// With a transactional id it fences whoever held it before, and aborts what that
// one left open; the answer comes when both are durable.
func (c *conn) initProducerID(_ context.Context, req *kmsg.InitProducerIDRequest) answer {
	resp := req.ResponseKind().(*kmsg.InitProducerIDResponse)
	resp.ProducerID, resp.ProducerEpoch = -1, -1
	asked := txn.InitRequest{
		Version: req.Version, TimeoutMs: req.TransactionTimeoutMillis,
		Producer: txn.Producer{ID: req.ProducerID, Epoch: req.ProducerEpoch},
	}
	if req.TransactionalID != nil {
		asked.ID = strings.Clone(*req.TransactionalID)
	}
	var reply txn.Reply
	end, err := c.b.txns.change(asked.ID, func(t *txn.Coordinator, now int64) (event *txn.Event) {
		if req.TransactionalID == nil {
			reply, event = t.DecideProducerID(now)
		} else {
			reply, event = t.DecideInit(asked, now)
		}
		return event
	})
	return c.b.whenDurable(resp, end, err, func(err error) {
		if err != nil {
			resp.ErrorCode = int16(codeOf(err))
			return
		}
		resp.ErrorCode = int16(reply.Code)
		if reply.Code == code.None {
			resp.ProducerID, resp.ProducerEpoch = reply.Producer.ID, reply.Producer.Epoch
		}
	})
}
