package broker

import (
	"errors"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/hapaxmq/hapax/broker/txn"
)

// EndTxn (26), versions 0 to 5: commits or aborts a transaction. It is answered when
// the end is durable, and seen then by readers of all its partitions and groups.
//
//	2  PRODUCER_FENCED
//	3  flexible
//	4  TRANSACTION_ABORTABLE
//	5  the epoch is raised, and told (KIP-890)
func (t *transactions) endTxn(req *kmsg.EndTxnRequest) answer {
	resp := req.ResponseKind().(*kmsg.EndTxnResponse)
	resp.ProducerID, resp.ProducerEpoch = -1, -1
	asked := txn.EndRequest{
		Version: req.Version, ID: strings.Clone(req.TransactionalID),
		Producer: txn.Producer{ID: req.ProducerID, Epoch: req.ProducerEpoch}, Commit: req.Commit,
	}
	var reply txn.Reply
	var end int64
	err := errAgain
	for errors.Is(err, errAgain) {
		if asked.Commit {
			foresee(&t.b.windows, asked.Producer.ID)
		}
		end, err = t.change(asked.ID, func(c *txn.Coordinator, now int64) (event *txn.Event) {
			reply, event = c.DecideEnd(asked, now)
			return event
		})
	}
	return t.b.whenDurable(resp, end, err, func(err error) {
		if err != nil {
			reply = txn.Reply{Code: codeOf(err), Producer: txn.NoProducer()}
		}
		resp.ErrorCode = int16(reply.Code)
		resp.ProducerID, resp.ProducerEpoch = reply.Producer.ID, reply.Producer.Epoch
	})
}
