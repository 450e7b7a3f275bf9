package httpkey

import (
	"encoding/binary"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/hapaxmq/hapax"
)

// response is what a ledger keeps of a run, as its receipt:
//
//	byte      1, the form
//	byte      1 if headers and body are kept, else 0
//	32 bytes  the SHA-256 of the request: see payloadOf
//	uvarint   status
//	uvarint   how many header fields; of each, name and value behind their lengths (uvarint)
//	          the body, to the end
//
// Several programs share it, in other versions too: no form ever changes its meaning.
type response struct {
	payload payload
	status  int
	whole   bool // header and body are kept
	header  http.Header
	body    []byte
}

const responseForm = 1

func (r *response) receipt() hapax.Receipt {
	b := append(hapax.Receipt{responseForm, 0}, r.payload[:]...)
	b = binary.AppendUvarint(b, uint64(r.status))
	if !r.whole {
		return b
	}
	b[1] = 1
	n := 0
	for _, values := range r.header {
		n += len(values)
	}
	b = binary.AppendUvarint(b, uint64(n))
	for _, name := range slices.Sorted(maps.Keys(r.header)) {
		for _, value := range r.header[name] {
			b = appendText(appendText(b, name), value)
		}
	}
	return append(b, r.body...)
}

func appendText(b hapax.Receipt, s string) hapax.Receipt {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// parseResponse reads a receipt; the body stays its. The error is
// [hapax.ErrCorrupt].
func parseResponse(b []byte) (r response, err error) {
	damaged := func(what string) (response, error) {
		return response{}, fmt.Errorf("stored response: %s: %w", what, hapax.ErrCorrupt)
	}
	if len(b) < 2+len(r.payload) {
		return damaged("too short")
	}
	if b[0] != responseForm || b[1] > 1 {
		return damaged(fmt.Sprintf("form %d.%d is not known to this program", b[0], b[1]))
	}
	r.whole = b[1] == 1
	b = b[2+copy(r.payload[:], b[2:]):]
	status, b, ok := cutNumber(b)
	if !ok || status < 100 || status > 999 {
		return damaged("status")
	}
	if r.status = int(status); !r.whole {
		if len(b) > 0 {
			return damaged("more than a status")
		}
		return r, nil
	}
	fields, b, ok := cutNumber(b)
	if !ok {
		return damaged("headers")
	}
	r.header = http.Header{}
	for range fields { // each takes two bytes at least, so that they end with b
		var name, value string
		if name, b, ok = cutText(b); !ok || name == "" {
			return damaged("a header's name")
		}
		if value, b, ok = cutText(b); !ok {
			return damaged("a header's value")
		}
		r.header[name] = append(r.header[name], value)
	}
	r.body = b
	return r, nil
}

func cutNumber(b []byte) (n uint64, rest []byte, ok bool) {
	n, size := binary.Uvarint(b)
	if size <= 0 {
		return 0, nil, false
	}
	return n, b[size:], true
}

func cutText(b []byte) (s string, rest []byte, ok bool) {
	n, b, ok := cutNumber(b)
	if !ok || n > uint64(len(b)) {
		return "", nil, false
	}
	return string(b[:n]), b[n:], true
}

// writeTo replays the response.
func (r *response) writeTo(w http.ResponseWriter) {
	h := w.Header()
	maps.Copy(h, r.header)
	h.Set(ReplayedHeader, "true")
	if bodyAllowed(r.status) {
		h.Set("Content-Length", strconv.Itoa(len(r.body)))
	}
	w.WriteHeader(r.status)
	if len(r.body) > 0 {
		_, _ = w.Write(r.body) // a client that is gone comes again
	}
}

// bodyAllowed is false for statuses whose responses have none.
func bodyAllowed(status int) bool {
	return status >= 200 && status != http.StatusNoContent && status != http.StatusNotModified
}

// keptHeader is what is kept of a response's header: what the handler made of the one
// that it found, but for what belongs to one connection and what keep leaves out.
func keptHeader(found, made http.Header, keep func(string) bool) http.Header {
	dropped := map[string]bool{
		"Connection": true, "Keep-Alive": true, "Proxy-Connection": true, "Proxy-Authenticate": true, "Te": true,
		"Trailer": true, "Transfer-Encoding": true, "Upgrade": true, "Content-Length": true,
	}
	for _, options := range made["Connection"] {
		for name := range strings.SplitSeq(options, ",") {
			dropped[http.CanonicalHeaderKey(strings.TrimSpace(name))] = true
		}
	}
	kept := http.Header{}
	for name, values := range made {
		canonical := http.CanonicalHeaderKey(name)
		before, was := found[name]
		if dropped[canonical] || strings.HasPrefix(canonical, http.TrailerPrefix) || !keep(canonical) || was && slices.Equal(before, values) {
			continue
		}
		kept[name] = values
	}
	return kept
}
