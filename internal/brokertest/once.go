package brokertest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// once is a topic with a window: of all records with an id one stays, whoever writes it
// how often. A line's input is its id.
const once = "w"

// onceConfigs are the topic's.
func onceConfigs() map[string]*string {
	return map[string]*string{
		"hapax.identity": kadm.StringPtr("header:id"), "hapax.window.ms": kadm.StringPtr("3600000"),
	}
}

// identified is a record of a line in the topic.
func identified(r *kgo.Record, id int64) *kgo.Record {
	r.Headers = []kgo.RecordHeader{{Key: "id", Value: fmt.Append(nil, id)}}
	return r
}

// id is one for the topic's next record: mostly a new one, or one that others write at
// the same time, or have written at any.
func (c *cast) id(rng *rand.Rand) int64 {
	switch last := c.lastID.Load(); rng.IntN(8) {
	case 0:
		return rng.Int64N(last + 1)
	case 1, 2, 3:
		return max(0, last-rng.Int64N(50))
	}
	return c.lastID.Add(1)
}

// repeater writes to the topic without transactions, and dies now and then. It comes
// back as another producer, and writes again what it knows no acknowledgement of, and
// some of what it does.
type repeater struct {
	*cast
	name    string
	address string
	rng     *rand.Rand
	number  int

	mu    sync.Mutex
	doubt map[int64]bool // ids that it would write again
}

// live writes until stopping ends, and returns when all was acknowledged.
func (p *repeater) live(stopping, ctx context.Context) {
	p.doubt = map[int64]bool{}
	for stopping.Err() == nil && !p.wrong() {
		p.life(stopping, ctx)
	}
}

// life is that of one producer.
func (p *repeater) life(stopping, ctx context.Context) {
	codecs := []kgo.CompressionCodec{kgo.NoCompression(), kgo.GzipCompression(), kgo.SnappyCompression(), kgo.Lz4Compression(), kgo.ZstdCompression()}
	c, err := kgo.NewClient(p.options(p.address, kgo.MaxBufferedRecords(100), kgo.ProducerBatchCompression(codecs[p.rng.IntN(len(codecs))]))...)
	if err != nil {
		p.broken(err)
		return
	}
	defer c.Close()
	for _, id := range p.inDoubt() {
		p.write(ctx, c, id)
	}
	pace := time.NewTicker(4 * time.Millisecond)
	defer pace.Stop()
	for left := p.rng.IntN(1000); left > 0 || stopping.Err() != nil; left-- {
		if stopping.Err() != nil {
			if err := c.Flush(ctx); err != nil && ctx.Err() == nil {
				p.find("what waits goes on", "producer %s waits for its last acknowledgements: %v", p.name, err)
			}
			return
		}
		for range 1 + p.rng.IntN(6) {
			p.write(ctx, c, p.id(p.rng))
		}
		select {
		case <-pace.C:
		case <-stopping.Done():
		}
	}
}

func (p *repeater) inDoubt() []int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Sorted(maps.Keys(p.doubt))
}

func (p *repeater) write(ctx context.Context, c *kgo.Client, id int64) {
	p.number++
	l := line{deal: deal{p.name, p.number}, of: 1, input: id}
	sure := p.rng.IntN(4) > 0
	p.mu.Lock()
	p.doubt[id] = true
	p.mu.Unlock()
	r := &kgo.Record{Topic: once, Partition: p.rng.Int32N(topics()[once]), Value: []byte(l.String())}
	c.Produce(ctx, identified(r, id), func(r *kgo.Record, err error) {
		var early *kgo.ErrFirstReadEOF
		switch {
		case err == nil:
			p.ack(l, spot{place{r.Topic, r.Partition}, r.Offset})
			if sure {
				p.mu.Lock()
				delete(p.doubt, id)
				p.mu.Unlock()
			}
		case errors.As(err, &early), errors.Is(err, kgo.ErrClientClosed), ctx.Err() != nil: // see producer, and life
		default:
			p.find("a producer that goes on trying is served", "%v to %s/%d: %v", l, r.Topic, r.Partition, err)
		}
	})
}

// writesOnce tells whether a writer of transactions writes to the topic with a window,
// and to no other.
func writesOnce(writer string) bool { return strings.HasPrefix(writer, "o") }

// checkOnce demands that each id that was acknowledged, in the end by its transaction's
// commit, is read committed once.
func (e *evidence) checkOnce(stands map[line]stand) {
	shown, deals, at := map[int64][]line{}, shownOf(stands), map[spot]line{}
	for _, l := range sorted(stands) {
		s := stands[l]
		if s.topic != once {
			continue
		}
		if at[s.spot] = l; s.end != committed {
			continue
		}
		shown[l.input] = append(shown[l.input], l)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, id := range slices.Sorted(maps.Keys(shown)) {
		if all := shown[id]; len(all) > 1 {
			e.findLocked("an id of a window is there once", "id %d: %q stands at %v, and %q at %v\n%s%s",
				id, all[0], stands[all[0]].spot, all[1], stands[all[1]].spot, e.storyLocked(all[0]), e.storyLocked(all[1]))
		}
	}
	for _, l := range sorted(e.acked) {
		told := e.acked[l].spot
		if told.topic != once {
			continue
		}
		if other, taken := at[told]; taken && other != l {
			e.findLocked("an offset is given to one record", "%q was acknowledged at %v, where %q stands\n%s", l, told, other, e.storyLocked(l))
		}
		if len(shown[l.input]) == 0 && (plain(l.writer) || e.deals[l.deal].outcome == committed || deals[l.deal] > 0) {
			e.findLocked("an id of a window is there once", "id %d is nowhere: %q was acknowledged at %v\n%s", l.input, l, told, e.storyLocked(l))
		}
	}
}
