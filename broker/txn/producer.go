package txn

import "math"

// A Producer is a producer id and an epoch, by which the protocol names whoever
// may write. Of two producers that held one transactional id the later one has
// the higher producer id, or the same one and the higher epoch.
type Producer struct {
	ID    int64
	Epoch int16
}

// NoProducer is nobody, in requests and replies as well.
func NoProducer() Producer { return Producer{ID: -1, Epoch: -1} }

// lastEpoch is the highest epoch that a client is given. The one above it is
// for markers, so that any client can be fenced.
const lastEpoch = math.MaxInt16 - 1

// maxProducerID keeps the counter of producer ids from its end, whatever is read.
const maxProducerID = 1 << 62

// fence is the producer that a marker names to shut p out.
func (p Producer) fence() Producer { return Producer{p.ID, p.Epoch + 1} }

// before says if p held an id before q did.
func (p Producer) before(q Producer) bool {
	return p.ID < q.ID || p.ID == q.ID && p.Epoch < q.Epoch
}
