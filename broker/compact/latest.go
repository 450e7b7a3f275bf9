package compact

import (
	"crypto/sha256"

	"github.com/hapaxmq/hapax/broker/batch"
)

// Transactions are those that were aborted, in the order of their first offsets for
// each producer.
type Transactions map[int64][]Span

// Span is the offsets of a transaction, its marker's last.
type Span struct{ First, Last int64 }

// Add adds one that begins behind those before it.
func (t Transactions) Add(producer int64, s Span) { t[producer] = append(t[producer], s) }

// aborted tells whether a batch belongs to one of them.
func (t Transactions) aborted(h *batch.Header) bool {
	if !h.Attributes.Has(batch.Transactional) {
		return false
	}
	spans := t[h.ProducerID]
	for low, high := 0, len(spans); low < high; {
		switch i := (low + high) / 2; {
		case h.BaseOffset < spans[i].First:
			high = i
		case h.BaseOffset > spans[i].Last:
			low = i + 1
		default:
			return true
		}
	}
	return false
}

// keyHash stands for a key: two with the same one are taken for one key.
type keyHash [16]byte

func hash(key []byte) keyHash {
	sum := sha256.Sum256(key)
	return keyHash(sum[:])
}

// keyBytes is about what a key takes in memory.
const keyBytes = 64

// Latest knows the last offset of each key among some batches.
type Latest struct {
	aborted Transactions
	most    int
	offsets map[keyHash]int64
	decoder batch.Decoder
}

// NewLatest makes one for so many bytes of memory, to which one batch may add. It
// leaves aborted records out.
func NewLatest(bytes int64, aborted Transactions) *Latest {
	return &Latest{aborted: aborted, most: int(max(bytes/keyBytes, 1)), offsets: make(map[keyHash]int64)}
}

// Full tells whether no more batches may be added.
func (l *Latest) Full() bool { return len(l.offsets) >= l.most }

// Keys is how many there are.
func (l *Latest) Keys() int { return len(l.offsets) }

// Add takes in a batch behind those before it. One whose records cannot be read adds
// those before the first of them that cannot.
func (l *Latest) Add(b []byte) {
	h, err := batch.ReadHeader(b)
	if err != nil || h.Attributes.Has(batch.Control) || l.aborted.aborted(&h) {
		return
	}
	for r, err := range l.decoder.Records(b) {
		if err != nil {
			return
		}
		if r.Key != nil {
			l.offsets[hash(r.Key)] = h.BaseOffset + int64(r.OffsetDelta)
		}
	}
}

// replaced tells whether a later record has the key.
func (l *Latest) replaced(key []byte, offset int64) bool {
	last, ok := l.offsets[hash(key)]
	return ok && last > offset
}
