package broker

import (
	"regexp"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/hapaxmq/hapax/broker/code"
	"github.com/hapaxmq/hapax/broker/txn"
)

// ListTransactions (66), versions 0 to 2: the transactional ids that are known
// (KIP-664).
//
//	1  those open for some time
//	2  by a pattern
func (t *transactions) listTransactions(req *kmsg.ListTransactionsRequest) answer {
	resp := req.ResponseKind().(*kmsg.ListTransactionsResponse)
	f := txn.Filter{ProducerIDs: req.ProducerIDFilters, OpenForMs: req.DurationFilterMillis}
	for _, name := range req.StateFilters {
		if state, known := txn.ParseState(name); known {
			f.States = append(f.States, state)
		} else {
			resp.UnknownStateFilters = append(resp.UnknownStateFilters, strings.Clone(name))
		}
	}
	if len(req.StateFilters) > 0 && len(f.States) == 0 {
		return ready(resp) // nothing is in such a state
	}
	if pattern := text(req.TransactionalIDPattern); pattern != "" {
		var err error
		if f.Pattern, err = regexp.Compile("^(?:" + pattern + ")$"); err != nil {
			resp.ErrorCode = int16(code.InvalidRegularExpression)
			return ready(resp)
		}
	}
	end := t.look(func(c *txn.Coordinator, now int64) {
		for _, l := range c.List(f, now) {
			s := kmsg.NewListTransactionsResponseTransactionState()
			s.TransactionalID, s.ProducerID, s.TransactionState = l.ID, l.ProducerID, l.State.String()
			resp.TransactionStates = append(resp.TransactionStates, s)
		}
	})
	return t.b.whenDurable(resp, end, nil, func(error) {})
}
