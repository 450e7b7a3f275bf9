package txn

import "github.com/hapaxmq/hapax/broker/code"

// An AddPartitionsRequest is an AddPartitionsToTxn of a client (versions 0 to 3).
type AddPartitionsRequest struct {
	Version    int16
	ID         string
	Producer   Producer
	Partitions []uint32
}

// DecideAddPartitions puts partitions into the transaction and opens it if there
// is none: all of them or, with the code for each, none.
func (c *Coordinator) DecideAddPartitions(r AddPartitionsRequest, now int64) (code.Error, *Event) {
	e, refused := c.holder(r.ID, r.Producer)
	if refused != code.None {
		return understood(refused, r.Version, 2), nil
	}
	return c.add(e, r.ID, r.Partitions, nil, code.PolicyViolation, now)
}

// A GroupRequest is an AddOffsetsToTxn, or a TxnOffsetCommit without its offsets.
type GroupRequest struct {
	Version  int16
	ID       string
	Producer Producer
	Group    string
}

// DecideAddOffsets puts a group into the transaction and opens it if there is none.
func (c *Coordinator) DecideAddOffsets(r GroupRequest, now int64) (code.Error, *Event) {
	e, refused := c.holder(r.ID, r.Producer)
	switch {
	case refused != code.None:
		return understood(refused, r.Version, 2), nil
	case !validName(r.Group):
		return code.InvalidRequest, nil
	}
	return c.add(e, r.ID, nil, []string{r.Group}, code.PolicyViolation, now)
}

// DecideOffsetCommit says if a TxnOffsetCommit may go to its group. From version
// 5 on it puts the group into the transaction. Before, the group must be there;
// if it is not, clients learn from version 4 on that they may abort and go on.
func (c *Coordinator) DecideOffsetCommit(r GroupRequest, now int64) (code.Error, *Event) {
	e, refused := c.writer(r.ID, r.Producer)
	switch {
	case refused != code.None:
		return refused, nil
	case !validName(r.Group):
		return code.InvalidRequest, nil
	case r.Version >= 5:
		return c.add(e, r.ID, nil, []string{r.Group}, code.TransactionAbortable, now)
	case len(missing(e.groups, []string{r.Group})) == 0:
		return code.None, nil
	case r.Version == 4:
		return code.TransactionAbortable, nil
	}
	return code.InvalidTxnState, nil
}

// A ProduceRequest is what a Produce with a transactional id is about.
type ProduceRequest struct {
	Version    int16
	ID         string
	Producer   Producer // of the batches
	Partitions []uint32 // those with a transactional batch
}

// A ProduceReply says which batches may be written. With an error and Outside
// set, those partitions are refused with it, and the others may be written;
// with an error alone, all are refused.
type ProduceReply struct {
	Code    code.Error
	Outside []uint32 // sorted
}

// DecideProduce says which transactional batches may be written. From version 12
// on their partitions are put into the transaction. Before, they must be there;
// if not, clients learn from version 11 on that they may abort and go on.
func (c *Coordinator) DecideProduce(r ProduceRequest, now int64) (ProduceReply, *Event) {
	e, refused := c.writer(r.ID, r.Producer)
	if refused != code.None {
		return ProduceReply{Code: refused}, nil
	}
	if r.Version >= 12 {
		refused, event := c.add(e, r.ID, r.Partitions, nil, code.TransactionAbortable, now)
		return ProduceReply{Code: refused}, event
	}
	outside := missing(e.partitions, r.Partitions)
	switch {
	case len(outside) == 0:
		return ProduceReply{}, nil
	case r.Version == 11:
		return ProduceReply{Code: code.TransactionAbortable, Outside: outside}, nil
	}
	return ProduceReply{Code: code.InvalidTxnState, Outside: outside}, nil
}

// writer is holder for the requests that write. Their clients know a lost epoch
// as InvalidProducerEpoch, whatever their version.
func (c *Coordinator) writer(id string, p Producer) (*entry, code.Error) {
	e, refused := c.holder(id, p)
	if refused == code.ProducerFenced {
		refused = code.InvalidProducerEpoch
	}
	return e, refused
}

// add puts what is new of partitions and groups into the open transaction of e,
// or a new one. It refuses with full if that would be more than the limits allow.
func (c *Coordinator) add(e *entry, id string, partitions []uint32, groups []string, full code.Error, now int64) (code.Error, *Event) {
	partitions, groups = missing(e.partitions, partitions), missing(e.groups, groups)
	switch {
	case len(partitions) == 0 && len(groups) == 0:
		return code.None, nil
	case len(e.partitions)+len(partitions) > c.settings.Partitions, len(e.groups)+len(groups) > c.settings.Groups:
		return full, nil
	}
	return code.None, &Event{
		Kind: Added, Time: now, ID: id, Producer: e.producer, Previous: NoProducer(),
		Partitions: partitions, Groups: groups,
	}
}
