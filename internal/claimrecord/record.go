// Package claimrecord is what a shared store keeps of one message: the bytes under
// its key. Programs in any language may share a store, so the form never changes; a
// new one would have other letters.
//
//	 0        1            9            17           25
//	┌────────┬────────────┬────────────┬────────────┬──────────────┐
//	│ 'c'    │ token      │ digest     │ nonce      │ deadline, µs │  claimed
//	│ 'r'    │ token      │ 0          │ nonce      │ 0            │  released: only the token counts
//	├────────┼────────────┼────────────┼────────────┴──────────────┘
//	│ 'd'    │ token      │ digest     │                              done, without a receipt
//	│ 'D'    │ token      │ digest     │ receipt …                    done, with one
//	└────────┴────────────┴────────────┘
//
// Numbers are unsigned and big-endian. A deadline is a Unix time. The nonce tells the
// retry of a request, whose answer was lost, from another request.
package claimrecord

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"

	"github.com/hapaxmq/hapax"
)

// State is what became of a message, and the first letter of its record.
type State byte

// A message without a record was not seen, or is forgotten.
const (
	Claimed  State = 'c'
	Released State = 'r'
	Done     State = 'd'

	withReceipt State = 'D'
)

// Record is what a store knows of one message.
type Record struct {
	State    State
	Token    uint64
	Digest   hapax.Digest  // unless Released
	Nonce    [8]byte       // unless Done
	Deadline int64         // if Claimed: when the lease ends, in µs since 1970
	Receipt  hapax.Receipt // if Done: nil for none
}

const (
	doneSize = 17 // without receipt
	liveSize = 33
)

// Append appends the record's bytes to dst.
func (r Record) Append(dst []byte) []byte {
	letter := r.State
	if letter == Done && r.Receipt != nil {
		letter = withReceipt
	}
	dst = append(dst, byte(letter))
	dst = binary.BigEndian.AppendUint64(dst, r.Token)
	dst = binary.BigEndian.AppendUint64(dst, uint64(r.Digest))
	if r.State == Done {
		return append(dst, r.Receipt...)
	}
	dst = append(dst, r.Nonce[:]...)
	return binary.BigEndian.AppendUint64(dst, uint64(r.Deadline))
}

// Parse reads what Append wrote. The receipt is part of b. Anything else is an
// [hapax.ErrCorrupt].
func Parse(b []byte) (Record, error) {
	if len(b) < doneSize {
		return Record{}, fmt.Errorf("%w: record of %d bytes", hapax.ErrCorrupt, len(b))
	}
	r := Record{
		State:  State(b[0]),
		Token:  binary.BigEndian.Uint64(b[1:]),
		Digest: hapax.Digest(binary.BigEndian.Uint64(b[9:])),
	}
	switch {
	case r.State == Done && len(b) == doneSize:
		return r, nil
	case r.State == withReceipt:
		r.State, r.Receipt = Done, b[doneSize:len(b):len(b)]
		return r, nil
	case (r.State == Claimed || r.State == Released) && len(b) == liveSize:
		r.Nonce = [8]byte(b[17:25])
		r.Deadline = int64(binary.BigEndian.Uint64(b[25:]))
		return r, nil
	}
	return Record{}, fmt.Errorf("%w: record %q… of %d bytes", hapax.ErrCorrupt, b[:1], len(b))
}

// Key is the name of a message in a store: prefix, and the key in unpadded base64url.
func Key(prefix string, key [32]byte) string {
	buf := make([]byte, 0, len(prefix)+43)
	return string(base64.RawURLEncoding.AppendEncode(append(buf, prefix...), key[:]))
}
