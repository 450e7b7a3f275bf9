package unique

import (
	"bytes"

	"github.com/hapaxmq/hapax/identity"
)

// SameContent tells whether two values say the same: their canonical JSON is equal
// ([identity.AppendCanonical]), or, unless both are JSON, their bytes are. A null
// value, which is nil, is the same as another only. It takes memory of the values'
// size, and is meant for values whose digests differ: those are seldom the same.
func SameContent(a, b []byte) bool {
	if (a == nil) != (b == nil) {
		return false
	}
	if bytes.Equal(a, b) {
		return true
	}
	canonicalA, err := identity.AppendCanonical(make([]byte, 0, len(a)), a)
	if err != nil {
		return false
	}
	canonicalB, err := identity.AppendCanonical(make([]byte, 0, len(b)), b)
	return err == nil && bytes.Equal(canonicalA, canonicalB)
}

// IsJSON tells whether a value is JSON, which may say the same in other bytes.
func IsJSON(value []byte) bool {
	_, err := identity.AppendCanonical(make([]byte, 0, len(value)), value)
	return err == nil
}
