package httpkey

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"hash"
	"io"
	"mime"
	"net/http"
	"strings"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/identity"
)

// payloadForm stands before all that is hashed of a request. Its meaning never
// changes, or the copies of what came before would be conflicts.
const payloadForm = "hapax request 1"

// payload is the SHA-256 of all that a request asks for: method, path, query, chosen
// headers and body.
type payload [sha256.Size]byte

// digest is the part of it that ledgers compare. It is never zero.
func (p payload) digest() hapax.Digest {
	return max(hapax.Digest(binary.BigEndian.Uint64(p[:8])), 1)
}

// payloadOf hashes a request. Each part is behind its length, so that no two requests
// read the same. A body that is JSON by its media type counts by its canonical form:
// another order of members or other white space is no other payload.
func payloadOf(r *http.Request, headers []string, body []byte) (p payload) {
	sum := sha256.New()
	add(sum, payloadForm)
	add(sum, r.Method)
	add(sum, r.URL.EscapedPath())
	add(sum, r.URL.RawQuery)
	for _, name := range headers {
		values := r.Header.Values(name)
		add(sum, http.CanonicalHeaderKey(name))
		_, _ = sum.Write(binary.BigEndian.AppendUint64(nil, uint64(len(values))))
		for _, v := range values {
			add(sum, v)
		}
	}
	kind := "bytes"
	if isJSON(r.Header.Get("Content-Type")) {
		if text, err := identity.AppendCanonical(nil, body); err == nil {
			kind, body = "json", text
		}
	}
	add(sum, kind)
	add(sum, body)
	sum.Sum(p[:0])
	return p
}

// add hashes a part behind its length. Hashes never fail.
func add[T string | []byte](sum hash.Hash, part T) {
	_, _ = sum.Write(binary.BigEndian.AppendUint64(nil, uint64(len(part))))
	_, _ = sum.Write([]byte(part))
}

func isJSON(contentType string) bool {
	kind, _, err := mime.ParseMediaType(contentType)
	return err == nil && (kind == "application/json" || strings.HasSuffix(kind, "+json"))
}

var errBodyTooLarge = errors.New("the body is too large")

// readBody reads all of a request's body. What it takes of memory grows with what
// comes, up to limit.
func readBody(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, error) {
	switch {
	case r.Body == nil || r.Body == http.NoBody:
		return nil, nil
	case r.ContentLength > limit:
		return nil, errBodyTooLarge
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	if tooLarge := new(http.MaxBytesError); errors.As(err, &tooLarge) {
		err = errBodyTooLarge
	}
	return body, err
}
