package txn

import "github.com/hapaxmq/hapax/broker/code"

// An InitRequest is an InitProducerId with a transactional id.
type InitRequest struct {
	Version   int16
	ID        string
	TimeoutMs int32
	Producer  Producer // from version 3: what the client has (KIP-360), or nobody
}

// DecideProducerID gives a producer id to an idempotent producer, one without a
// transactional id. What such a client had before does not matter (and a request
// that is repeated gets another id).
func (c *Coordinator) DecideProducerID(now int64) (Reply, *Event) {
	p := Producer{ID: c.nextID}
	return welcome(p), &Event{Kind: Given, Time: now, Producer: p, Previous: NoProducer()}
}

// DecideInit makes the caller the holder of the id, under a new epoch. An open
// transaction is aborted by the same event.
//
// A client that names the producer it has keeps the id only if it still is the
// holder; if the holder is already what such a request made of it, it is told so
// again. A client that names none takes the id over from whoever has it. If the
// id is not known, whoever names a producer is refused: while the id was being
// forgotten another may have held it, and gone further (KAFKA-18019).
func (c *Coordinator) DecideInit(r InitRequest, now int64) (Reply, *Event) {
	given := r.Producer
	if r.Version < 3 {
		given = NoProducer()
	}
	switch {
	case !validName(r.ID), (given.ID == -1) != (given.Epoch == -1), given.ID < -1, given.Epoch < -1:
		return refuse(code.InvalidRequest), nil
	case r.TimeoutMs <= 0 || r.TimeoutMs > c.settings.MaxTimeoutMs:
		return refuse(code.InvalidTransactionTimeout), nil
	}
	e := c.ids[r.ID]
	switch {
	case e == nil && given == NoProducer():
		return c.newcomer(r, now)
	case e == nil:
		return refuse(understood(code.ProducerFenced, r.Version, 4)), nil
	case e.repeats(given):
		return welcome(e.producer), nil
	case given != NoProducer() && given != e.producer:
		return refuse(understood(code.ProducerFenced, r.Version, 4)), nil
	}
	next := c.successor(e.producer)
	if !e.isOpen() {
		return welcome(next), held(r, next, given, now)
	}
	event := e.end(r.ID, End{Cause: ByInit, Marker: e.producer.fence()}, now)
	event.Producer, event.Previous, event.TimeoutMs = next, given, r.TimeoutMs
	return welcome(next), event
}

// newcomer answers for an id that is not known.
func (c *Coordinator) newcomer(r InitRequest, now int64) (Reply, *Event) {
	if len(c.ids) >= c.settings.IDs {
		return refuse(code.PolicyViolation), nil
	}
	p := Producer{ID: c.nextID}
	return welcome(p), held(r, p, NoProducer(), now)
}

func held(r InitRequest, p, previous Producer, now int64) *Event {
	return &Event{Kind: Held, Time: now, ID: r.ID, Producer: p, Previous: previous, TimeoutMs: r.TimeoutMs, Started: -1}
}
