package broker

import (
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/hapaxmq/hapax/broker/code"
	"github.com/hapaxmq/hapax/broker/txn"
)

// AddOffsetsToTxn (25), versions 0 to 4: puts a group into a transaction, which
// begins with it if none is open. Its offsets come by TxnOffsetCommit.
//
//	2  PRODUCER_FENCED
//	3  flexible
//	4  TRANSACTION_ABORTABLE
func (t *transactions) addOffsetsToTxn(req *kmsg.AddOffsetsToTxnRequest) answer {
	resp := req.ResponseKind().(*kmsg.AddOffsetsToTxnResponse)
	asked := txn.GroupRequest{
		Version: req.Version, ID: strings.Clone(req.TransactionalID),
		Producer: txn.Producer{ID: req.ProducerID, Epoch: req.ProducerEpoch}, Group: strings.Clone(req.Group),
	}
	var refused code.Error
	end, err := t.change(asked.ID, func(c *txn.Coordinator, now int64) (event *txn.Event) {
		refused, event = c.DecideAddOffsets(asked, now)
		return event
	})
	return t.b.whenDurable(resp, end, err, func(err error) {
		resp.ErrorCode = int16(refused)
		if err != nil {
			resp.ErrorCode = int16(codeOf(err))
		}
	})
}
