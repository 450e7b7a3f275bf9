package unique

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/identity"
)

// Namer makes the fingerprints and digests of records for one ledger. It is
// immutable and safe for concurrent use.
type Namer struct {
	identity *identity.Extractor
	scope    Scope
	hasher   identity.Hasher
	digester identity.ByteDigester
	digests  bool
	header   string   // that alone is read, if one is
	headers  []string // that are read
	events   bool     // those of CloudEvents as well
	alike    bool     // some of headers are such themselves
}

// Namer names records by the rules, with the hasher of the window's ledger for the
// empty scope.
func (r *Rules) Namer(h identity.Hasher) *Namer {
	n := &Namer{identity: r.Identity, scope: r.Scope, hasher: h, digester: h.Bytes(), digests: r.Digests()}
	reads := r.Identity.Reads()
	n.headers, n.events = reads.Headers, reads.AllHeaders
	if r.Scope.by != nil {
		n.headers = append(n.headers, r.Scope.by.Reads().Headers...)
	} else {
		n.header = r.Identity.Header()
	}
	n.alike = n.events && slices.ContainsFunc(n.headers, func(name string) bool { return identity.EventHeader([]byte(name)) != "" })
	return n
}

// Named is a fingerprint that a record has by one alternative of the topic's identity.
type Named struct {
	As          string // the alternative; "" where there is no other
	Fingerprint hapax.Fingerprint
}

// Fingerprints are those that the record in a partition has whose id an operator
// types, as [identity.Extractor.Typed] reads it. Its scope is read likewise, where the
// topic's scope is a header or a field.
func (n *Namer) Fingerprints(partition int32, scope string, texts ...string) (all []Named, err error) {
	hasher := n.within(partition)
	if n.scope.by != nil {
		text, err := n.scope.by.AppendID(nil, scope)
		if err != nil {
			return nil, fmt.Errorf("scope %q: %w", scope, err)
		}
		hasher = n.hasher.ScopedBytes(text)
	}
	ids, err := n.identity.Typed(texts...)
	for i := range ids {
		all = append(all, Named{ids[i].As, hasher.Fingerprint(ids[i].ID)})
	}
	return all, err
}

// within is the hasher for what depends on nothing but the partition.
func (n *Namer) within(partition int32) identity.Hasher {
	if !n.scope.partition {
		return n.hasher
	}
	var number [4]byte
	binary.BigEndian.PutUint32(number[:], uint32(partition))
	return n.hasher.ScopedBytes(number[:])
}
