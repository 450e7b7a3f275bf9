package txn

import "github.com/hapaxmq/hapax/broker/code"

// An EndRequest is an EndTxn.
type EndRequest struct {
	Version  int16
	ID       string
	Producer Producer
	Commit   bool
}

// DecideEnd ends the open transaction.
//
// Up to version 4 the epoch stays. The same end again is answered alike, for as
// long as no new transaction is open; then it ends that one, which is what
// version 5 is for: each end raises the epoch, and the reply tells it. The same
// end again, with the epoch that it was sent with, gets the same reply until the
// new epoch is seen in use. An abort of nothing is granted, and raises the epoch
// too: the client cannot know if its writes have arrived. If a timeout or an
// operator was quicker, the client's own abort gets the epoch to go on with, and
// its commit is refused as PRODUCER_FENCED, which programs know how to take.
func (c *Coordinator) DecideEnd(r EndRequest, now int64) (Reply, *Event) {
	bumps := r.Version >= 5
	if e := c.ids[r.ID]; e != nil && bumps && e.isComplete() && e.repeats(r.Producer) {
		if r.Commit && e.state == CompleteAbort {
			return refuse(code.ProducerFenced), nil // the abort was not its own, or not its last word
		}
		return e.again(r.Commit), nil
	}
	e, refused := c.holder(r.ID, r.Producer)
	switch {
	case refused != code.None:
		return refuse(understood(refused, r.Version, 2)), nil
	case !e.isOpen() && bumps && r.Commit:
		return refuse(code.InvalidTxnState), nil
	case !e.isOpen() && !bumps:
		if !e.isComplete() || e.previous != NoProducer() {
			return refuse(code.InvalidTxnState), nil // nothing was done in this epoch
		}
		return e.again(r.Commit), nil
	}
	end := End{Commit: r.Commit, Cause: ByClient, Marker: e.producer}
	if !bumps {
		return welcome(e.producer), e.end(r.ID, end, now)
	}
	end.Marker = e.producer.fence()
	event := e.end(r.ID, end, now)
	event.Producer, event.Previous = c.successor(e.producer), e.producer
	return welcome(event.Producer), event
}

// again answers the end that made e complete once more.
func (e *entry) again(commit bool) Reply {
	if commit != (e.state == CompleteCommit) {
		return refuse(code.InvalidTxnState)
	}
	return welcome(e.producer)
}

// DecideAbort aborts the open transaction of p for an operator, as when
// kafka-transactions abort sends WriteTxnMarkers. Where Kafka writes a marker
// into the one partition named and leaves the coordinator alone, the transaction
// ends here as a whole. That it has ended already is no error. DecideAbort looks
// at every open transaction.
func (c *Coordinator) DecideAbort(p Producer, now int64) (code.Error, *Event) {
	for id, e := range c.open {
		switch {
		case e.producer.ID != p.ID:
		case e.producer != p:
			return code.InvalidProducerEpoch, nil
		default:
			return code.None, c.fence(id, e, ByOperator, now)
		}
	}
	return code.None, nil
}

// fence aborts the open transaction of e and raises the epoch, so that nothing of
// it is written any more. Its client has not asked for that; if it asks for an
// end or a new epoch and nobody else has meanwhile, it may go on.
func (c *Coordinator) fence(id string, e *entry, by Cause, now int64) *Event {
	event := e.end(id, End{Cause: by, Marker: e.producer.fence()}, now)
	event.Producer, event.Previous = c.successor(e.producer), e.producer
	return event
}

// end is the event of an end, with the holder as it is, and no way to ask again.
func (e *entry) end(id string, end End, now int64) *Event {
	for _, p := range e.partitions {
		end.Markers = append(end.Markers, Marker{Partition: p, Offset: -1})
	}
	for _, g := range e.groups {
		end.Groups = append(end.Groups, GroupOffsets{Group: g})
	}
	return &Event{
		Kind: Ended, Time: now, ID: id, Producer: e.producer, Previous: NoProducer(),
		TimeoutMs: e.timeoutMs, End: &end,
	}
}
