package hapax

import (
	"encoding/hex"
	"fmt"
)

// Fingerprint is the 128-bit keyed hash of a scope and an identity. Nothing
// shorter, and nothing an attacker could compute without the key, ever decides
// that a message is a copy.
type Fingerprint [16]byte

func (f Fingerprint) String() string { return hex.EncodeToString(f[:]) }

// ParseFingerprint reads the 32 hexadecimal digits that String writes.
func ParseFingerprint(s string) (Fingerprint, error) {
	var f Fingerprint
	if len(s) != 2*len(f) {
		return f, fmt.Errorf("fingerprint %q: want %d hexadecimal digits", s, 2*len(f))
	}
	if _, err := hex.Decode(f[:], []byte(s)); err != nil {
		return f, fmt.Errorf("fingerprint %q: %w", s, err)
	}
	return f, nil
}

// Digest is a 64-bit keyed hash of a payload: it tells a copy from another
// message that reuses the first one's identity. It never decides by itself that
// a message is a copy. Zero means that no digest was taken.
type Digest uint64
