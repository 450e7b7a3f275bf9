package brokertest

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// producer writes without transactions, idempotently.
type producer struct {
	*cast
	name    string
	address string
	topic   string
	rng     *rand.Rand
	number  int
}

// live writes until stopping ends, and returns when all was acknowledged.
func (p *producer) live(stopping, ctx context.Context) {
	c, err := kgo.NewClient(p.options(p.address, kgo.MaxBufferedRecords(100))...)
	if err != nil {
		p.broken(err)
		return
	}
	defer c.Close()
	// Some thousand records a second: what is remembered has a bound.
	pace := time.NewTicker(2 * time.Millisecond)
	defer pace.Stop()
	for stopping.Err() == nil && !p.wrong() {
		for range 1 + p.rng.IntN(6) {
			p.write(ctx, c)
		}
		select {
		case <-pace.C:
		case <-stopping.Done():
		}
	}
	if err := c.Flush(ctx); err != nil && ctx.Err() == nil {
		p.find("what waits goes on", "producer %s waits for its last acknowledgements: %v", p.name, err)
	}
}

func (p *producer) write(ctx context.Context, c *kgo.Client) {
	p.number++
	l := line{deal: deal{p.name, p.number}, of: 1}
	r := &kgo.Record{Topic: p.topic, Partition: p.rng.Int32N(topics()[p.topic])}
	if p.topic == keyed {
		l.input = drawKey(p.rng)
		r.Key = keyOf(l.input)
	}
	r.Value = []byte(l.String())
	c.Produce(ctx, r, func(r *kgo.Record, err error) {
		var early *kgo.ErrFirstReadEOF
		switch {
		case errors.As(err, &early):
			// The client gives up by itself: a connection that ends at its first request
			// could be one that wants TLS.
			p.giveUp(l)
		case err == nil:
			p.ack(l, spot{place{r.Topic, r.Partition}, r.Offset})
		case ctx.Err() == nil:
			p.find("a producer that goes on trying is served", "%v to %s/%d: %v", l, r.Topic, r.Partition, err)
		}
	})
}
