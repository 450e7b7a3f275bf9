package peer

import (
	"bytes"
	"encoding/binary"
	"slices"

	"github.com/dchest/siphash"

	"github.com/hapaxmq/hapax/bench/stream"
)

// The key of all peers that hash. A ledger draws its own.
const key0, key1 = 0x0706050403020100, 0x0f0e0d0c0b0a0908

// hash is the function that the ledger hashes with, too.
func hash(id *stream.ID) (a, b uint64) { return siphash.Hash128(key0, key1, id[:]) }

func fingerprint(id *stream.ID) (f [16]byte) {
	a, b := hash(id)
	binary.BigEndian.PutUint64(f[:8], a)
	binary.BigEndian.PutUint64(f[8:], b)
	return f
}

// sortedKeys are the fingerprints of ids in order: trees like that better, and
// copies within a batch stand beside each other.
func sortedKeys(ids []stream.ID) [][16]byte {
	keys := make([][16]byte, len(ids))
	for i := range ids {
		keys[i] = fingerprint(&ids[i])
	}
	slices.SortFunc(keys, func(a, b [16]byte) int { return bytes.Compare(a[:], b[:]) })
	return keys
}
