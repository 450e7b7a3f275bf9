package identity

import (
	"encoding/binary"

	"github.com/dchest/siphash"
	"github.com/zeebo/xxh3"

	"github.com/hapaxmq/hapax"
)

// Hasher turns identities into fingerprints and payloads into digests with
// SipHash-2-4 (Aumasson and Bernstein, 2012, and its 128-bit extension), keyed
// by a secret that senders must not know: without it nobody can choose ids that
// collide. It is a small value, safe to copy and for concurrent use.
type Hasher struct{ k0, k1 uint64 }

// NewHasher returns the hasher of a ledger's secret, for which every fingerprint
// the ledger holds is valid and no other.
func NewHasher(secret [16]byte) Hasher {
	return Hasher{binary.LittleEndian.Uint64(secret[:8]), binary.LittleEndian.Uint64(secret[8:])}
}

// Scoped returns the hasher for the identities of one scope. Its key is the
// 128-bit SipHash of the scope, so scope and identity are never joined and
// ("a", "bc") cannot meet ("ab", "c"). The empty scope is a scope as well.
func (h Hasher) Scoped(s hapax.Scope) Hasher {
	var buf [128]byte // keeps the usual scope off the heap
	return h.ScopedBytes(append(buf[:0], s...))
}

// ScopedBytes is [Hasher.Scoped] of the scope that s spells. It does not keep s.
func (h Hasher) ScopedBytes(s []byte) Hasher {
	k0, k1 := siphash.Hash128(h.k0, h.k1, s)
	return Hasher{k0, k1}
}

// Fingerprint returns the 128-bit hash of id. It does not keep id.
func (h Hasher) Fingerprint(id []byte) (f hapax.Fingerprint) {
	h.Sum(&f, id)
	return f
}

// Sum is Fingerprint into f: where nanoseconds count, an array that is written
// where it stays is read again sooner than one that was copied.
func (h Hasher) Sum(f *hapax.Fingerprint, id []byte) {
	high, low := siphash.Hash128(h.k0, h.k1, id)
	binary.BigEndian.PutUint64(f[:8], high)
	binary.BigEndian.PutUint64(f[8:], low)
}

// Digest returns the 64-bit hash of the payload's canonical JSON, so that a
// retry with its fields in another order is no conflict, or of its raw bytes if
// it is not JSON (or JSON that has no canonical form). It is never zero. Digests
// compare only with those of the same hasher.
//
// The canonical form is written over scratch, which is returned, grown if need
// be, for the next call; pass nil at first. The payload is not kept.
func (h Hasher) Digest(scratch, payload []byte) (hapax.Digest, []byte) {
	canonical, f := canonicalise(scratch[:0], payload, nil)
	if f.what == "" {
		payload = canonical
	}
	d := siphash.Hash(h.k0, h.k1, payload)
	return hapax.Digest(max(d, 1)), canonical
}

// ByteDigester takes digests of payloads as they are, byte by byte, ten times as
// fast as [Hasher.Digest]: by XXH3 (Collet, 2019) with a seed made of the secret.
// It is a small value, safe to copy and for concurrent use.
type ByteDigester struct{ seed uint64 }

// digestSeed keeps the seed apart from the hash of anything else.
const digestSeed = "hapax digest of bytes"

// Bytes returns the digester of the hasher's secret and scope.
func (h Hasher) Bytes() ByteDigester {
	return ByteDigester{siphash.Hash(h.k0, h.k1, []byte(digestSeed))}
}

// noPayload is the digest of nil.
const noPayload = 1

// Digest returns the 64-bit hash of the payload's bytes, which is never zero. A nil
// payload has a digest of its own, another than an empty one. Digests compare only
// with those of the same digester.
func (d ByteDigester) Digest(payload []byte) hapax.Digest {
	if payload == nil {
		return noPayload
	}
	return hapax.Digest(max(xxh3.HashSeed(payload, d.seed), noPayload+1))
}
