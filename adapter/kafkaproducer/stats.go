package kafkaproducer

import (
	"errors"
	"sync/atomic"

	"github.com/hapaxmq/hapax"
)

// Stats are counts of a [Producer] since it was made. What the client sends again by itself,
// inside of one try, is not among them.
type Stats struct {
	Published int64 // records that the brokers have answered for
	Again     int64 // tries of records that were not answered for, with the same ids
	Refused   int64 // records given up, for the brokers do not want them
	Unknown   int64 // records given up with [hapax.ErrUnknown]: they may be there
}

type counts struct{ published, again, refused, unknown atomic.Int64 }

// Stats returns the counts. It may be called while records are published.
func (p *Producer) Stats() Stats {
	c := &p.counts
	return Stats{Published: c.published.Load(), Again: c.again.Load(), Refused: c.refused.Load(), Unknown: c.unknown.Load()}
}

// gaveUp counts a record that is not known to be published.
func (c *counts) gaveUp(e *RecordError) {
	if errors.Is(e.Err, hapax.ErrUnknown) {
		c.unknown.Add(1)
	} else {
		c.refused.Add(1)
	}
}
