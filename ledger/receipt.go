package ledger

import (
	"iter"
	"slices"

	"github.com/hapaxmq/hapax"
)

// receipts keeps the receipts committed last, up to limit bytes in all.
type receipts struct {
	limit int64
	used  int64
	kept  map[hapax.Fingerprint]hapax.Receipt
	order []hapax.Fingerprint // oldest first; one that was replaced stands twice
	first int                 // of order
}

// receiptCost is what one takes beside its bytes.
const receiptCost = 100

// put keeps a receipt, if there is one, and lets the oldest go. It copies it.
func (s *receipts) put(f hapax.Fingerprint, r hapax.Receipt) {
	s.drop(f)
	if r == nil {
		return
	}
	if s.kept == nil {
		s.kept = make(map[hapax.Fingerprint]hapax.Receipt)
	}
	s.kept[f] = append(hapax.Receipt{}, r...)
	s.order = append(s.order, f)
	s.used += int64(len(r)) + receiptCost
	for s.used > s.limit || len(s.order)-s.first > 2*len(s.kept)+64 {
		s.drop(s.order[s.first])
		s.first++
	}
	if s.first > len(s.order)/2 {
		s.order = slices.Delete(s.order, 0, s.first)
		s.first = 0
	}
}

func (s *receipts) drop(f hapax.Fingerprint) {
	if r, ok := s.kept[f]; ok {
		s.used -= int64(len(r)) + receiptCost
		delete(s.kept, f)
	}
}

// get returns the receipt of an identity that is remembered, or nil.
func (s *receipts) get(f hapax.Fingerprint) hapax.Receipt { return s.kept[f] }

// all yields the receipts kept, oldest first.
func (s *receipts) all() iter.Seq2[hapax.Fingerprint, hapax.Receipt] {
	return func(yield func(hapax.Fingerprint, hapax.Receipt) bool) {
		for _, f := range s.order[s.first:] {
			if r, ok := s.kept[f]; ok && !yield(f, r) {
				return
			}
		}
	}
}
