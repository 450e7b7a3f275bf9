package ledger

import (
	"container/list"
	"iter"

	"github.com/hapaxmq/hapax"
)

// receipts keeps the receipts committed last, up to limit bytes in all.
type receipts struct {
	limit int64
	used  int64
	kept  map[hapax.Fingerprint]*list.Element
	order list.List // of *receiptOf, oldest first
}

// receiptOf is a receipt and whose it is.
type receiptOf struct {
	identity hapax.Fingerprint
	receipt  hapax.Receipt
}

func (r *receiptOf) cost() int64 { return int64(len(r.receipt)) + receiptCost }

// receiptCost is what one takes beside its bytes.
const receiptCost = 150

// put keeps a receipt, if there is one, and lets the oldest go. It copies it.
func (s *receipts) put(f hapax.Fingerprint, r hapax.Receipt) {
	s.drop(f)
	if r == nil {
		return
	}
	if s.kept == nil {
		s.kept = make(map[hapax.Fingerprint]*list.Element)
	}
	kept := &receiptOf{identity: f, receipt: append(hapax.Receipt{}, r...)}
	s.kept[f] = s.order.PushBack(kept)
	s.used += kept.cost()
	for s.used > s.limit {
		s.drop(s.order.Front().Value.(*receiptOf).identity)
	}
}

func (s *receipts) drop(f hapax.Fingerprint) {
	if e, ok := s.kept[f]; ok {
		s.used -= s.order.Remove(e).(*receiptOf).cost()
		delete(s.kept, f)
	}
}

// get returns the receipt of an identity that is remembered, or nil.
func (s *receipts) get(f hapax.Fingerprint) hapax.Receipt {
	if e, ok := s.kept[f]; ok {
		return e.Value.(*receiptOf).receipt
	}
	return nil
}

// all yields the receipts kept, oldest first.
func (s *receipts) all() iter.Seq2[hapax.Fingerprint, hapax.Receipt] {
	return func(yield func(hapax.Fingerprint, hapax.Receipt) bool) {
		for e := s.order.Front(); e != nil; e = e.Next() {
			if r := e.Value.(*receiptOf); !yield(r.identity, r.receipt) {
				return
			}
		}
	}
}
