package identity

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"

	"github.com/hapaxmq/hapax"
)

// AppendShared appends scope and identity to dst, each behind its length as
// eight big-endian bytes, so that no two pairs read the same. The form is for
// stores that several programs share, in whatever language, and never changes.
func AppendShared(dst []byte, s hapax.Scope, id hapax.Identity) []byte {
	dst = binary.BigEndian.AppendUint64(dst, uint64(len(s)))
	dst = append(dst, s...)
	dst = binary.BigEndian.AppendUint64(dst, uint64(len(id)))
	return append(dst, id...)
}

// SharedKey is the SHA-256 of [AppendShared]: the key of a message in a store
// whose users share no secret.
func SharedKey(s hapax.Scope, id hapax.Identity) [sha256.Size]byte {
	var buf [512]byte // keeps the usual identity off the heap
	return sha256.Sum256(AppendShared(buf[:0], s, id))
}

// childScope keeps derived ids apart from everything else that is hashed by
// [SharedKey].
const childScope = "hapax child "

// ChildID derives the id of a message that a handler sends out from the one it
// handles. A handler that runs again sends the same ids again, so whoever
// receives them can drop the copies: a chain of services stays once from end to
// end. Step names the message among those of one run ("invoice", "mail/2") and
// must not depend on time or chance.
//
// The id is a SHA-256 in 43 characters of unpadded base64url.
func ChildID(parent hapax.Identity, step string) string {
	sum := SharedKey(hapax.Scope(childScope+step), parent)
	return base64.RawURLEncoding.EncodeToString(sum[:])
}
