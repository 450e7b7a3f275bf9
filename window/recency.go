package window

import (
	"iter"

	"github.com/hapaxmq/hapax"
)

// Recency keeps identities in the order they came, for count windows small
// enough to be exact: when one more comes than the window holds, the oldest is
// known. It takes 32 bytes an identity beside the table and is pure.
type Recency struct {
	nodes []node // nodes[0] is the ring's anchor: next is the newest, prev the oldest
	free  uint32 // first unused node, 0 for none
	count int
}

type node struct {
	key        hapax.Fingerprint
	digest     hapax.Digest
	prev, next uint32
}

// NewRecency returns an empty order.
func NewRecency() *Recency { return &Recency{nodes: make([]node, 1)} }

// Len is how many identities it holds.
func (r *Recency) Len() int { return r.count }

// Push adds an identity as the newest and returns its index, which is above 0.
func (r *Recency) Push(f hapax.Fingerprint, d hapax.Digest) uint32 {
	at := r.free
	if at != 0 {
		r.free = r.nodes[at].next
	} else {
		at = uint32(len(r.nodes))
		r.nodes = append(r.nodes, node{})
	}
	r.nodes[at].key, r.nodes[at].digest = f, d
	r.link(at)
	r.count++
	return at
}

// Digest is the digest an identity was pushed with.
func (r *Recency) Digest(at uint32) hapax.Digest { return r.nodes[at].digest }

// Touch makes an identity the newest.
func (r *Recency) Touch(at uint32) {
	r.unlink(at)
	r.link(at)
}

// Remove takes an identity out.
func (r *Recency) Remove(at uint32) {
	r.unlink(at)
	r.nodes[at].next, r.free = r.free, at
	r.count--
}

// Oldest is the identity that has been in longest, if there is one.
func (r *Recency) Oldest() (f hapax.Fingerprint, at uint32, ok bool) {
	at = r.nodes[0].prev
	return r.nodes[at].key, at, at != 0
}

// Leaving yields so many of those that have been in longest, but for the first some.
func (r *Recency) Leaving(skip, n int) iter.Seq[hapax.Fingerprint] {
	return func(yield func(hapax.Fingerprint) bool) {
		at := r.nodes[0].prev
		for i := 0; i < skip+n && at != 0; i++ {
			if i >= skip && !yield(r.nodes[at].key) {
				return
			}
			at = r.nodes[at].prev
		}
	}
}

func (r *Recency) link(at uint32) {
	first := r.nodes[0].next
	r.nodes[at].prev, r.nodes[at].next = 0, first
	r.nodes[first].prev = at
	r.nodes[0].next = at
}

func (r *Recency) unlink(at uint32) {
	n := r.nodes[at]
	r.nodes[n.prev].next, r.nodes[n.next].prev = n.next, n.prev
}
