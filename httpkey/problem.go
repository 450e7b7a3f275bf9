package httpkey

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"time"
)

// Problem is what is answered instead of a handler's response, in the form of RFC
// 9457.
type Problem struct {
	Type   string `json:"type"`   // an address, or about:blank
	Title  string `json:"title"`  // the same for all problems of one code
	Status int    `json:"status"` // of the response
	Detail string `json:"detail"`
	Code   Code   `json:"code"`
	// OriginalStatus is that of the first response, whose body was not kept.
	OriginalStatus int `json:"original_status,omitempty"`
}

// Code names a kind of problem, for machines.
type Code string

// The kinds of problems, and the statuses that they are answered with.
const (
	KeyMissing       Code = "key-missing"       // 400: the request needs a key
	KeyMalformed     Code = "key-malformed"     // 400: the key can't be read
	TenantUnknown    Code = "tenant-unknown"    // 403: nobody knows whose request it is
	BodyUnreadable   Code = "body-unreadable"   // 400: the body did not come whole
	BodyTooLarge     Code = "body-too-large"    // 413
	InFlight         Code = "in-flight"         // 409, Retry-After: the first request is still being handled
	KeyReused        Code = "key-reused"        // 422: the key came before with another payload
	ResponseNotKept  Code = "response-not-kept" // 409: the request is done, and its response was not kept
	ResponseDamaged  Code = "response-damaged"  // 500: the request is done, and its response can't be read
	Unfinished       Code = "unfinished"        // 503: the handler ended without an answer
	OutcomeUnknown   Code = "outcome-unknown"   // 503, Retry-After: the request may be done
	StoreUnavailable Code = "store-unavailable" // 503, Retry-After: nobody knows whether the request is a copy
)

// problem is one of a kind, with the texts that its clients are told.
func (m *Middleware) problem(code Code) Problem {
	p := Problem{Type: "about:blank", Code: code}
	switch code {
	case KeyMissing:
		p.Status, p.Title = http.StatusBadRequest, Header+" is missing"
		p.Detail = fmt.Sprintf("This operation takes effect once for each %s, and needs one: up to %d characters that no other "+
			"operation of yours has. It is remembered for %v.", Header, MaxKey, m.o.Window)
	case KeyMalformed:
		p.Status, p.Title = http.StatusBadRequest, Header+" can't be read"
		p.Detail = fmt.Sprintf("Want one field with a string in quotes, of 1 to %d characters of ASCII.", MaxKey)
	case TenantUnknown:
		p.Status, p.Title = http.StatusForbidden, "Unknown whose request this is"
		p.Detail = "Keys belong to an account, and the request tells of none."
	case BodyUnreadable:
		p.Status, p.Title = http.StatusBadRequest, "The request's body did not come whole"
		p.Detail = "Nothing was done. Send the request again."
	case BodyTooLarge:
		p.Status, p.Title = http.StatusRequestEntityTooLarge, "The request's body is too large"
		p.Detail = fmt.Sprintf("A request with an %s may have a body of %d bytes.", Header, m.o.MaxBody)
	case InFlight:
		p.Status, p.Title = http.StatusConflict, "A request is outstanding for this "+Header
		p.Detail = "The first request with this key is still being handled. Send this one again, after a while."
	case KeyReused:
		p.Status, p.Title = http.StatusUnprocessableEntity, Header+" is already used"
		p.Detail = fmt.Sprintf("The key came before with another request. It is remembered for %v: use another one.", m.o.Window)
	case ResponseNotKept:
		p.Status, p.Title = http.StatusConflict, "The request is done, and its response was not kept"
		p.Detail = "A request with this key came before, and took effect. It is not done again."
	case ResponseDamaged:
		p.Status, p.Title = http.StatusInternalServerError, "The request is done, and its response can't be read"
		p.Detail = "A request with this key came before, and took effect. It is not done again."
	case Unfinished:
		p.Status, p.Title = http.StatusServiceUnavailable, "The request was not finished"
		p.Detail = "Send it again, with the same key."
	case OutcomeUnknown:
		p.Status, p.Title = http.StatusServiceUnavailable, "The request may be done"
		p.Detail = "Its outcome could not be kept. Send it again, with the same key, to learn it."
	case StoreUnavailable:
		p.Status, p.Title = http.StatusServiceUnavailable, "The store of keys can't be asked"
		p.Detail = "Nothing was done. Send the request again, with the same key."
	}
	if m.o.Documentation != "" {
		p.Type = m.o.Documentation + "#" + string(code)
	}
	return p
}

// refuse answers with a problem. After is when the client may try again; zero: not
// told.
func (x *exchange) refuse(p Problem, after time.Duration) {
	h := x.w.Header()
	if after > 0 {
		h.Set("Retry-After", strconv.FormatInt(int64(math.Ceil(after.Seconds())), 10))
	}
	if doc := x.m.o.Documentation; doc != "" {
		h.Set("Link", "<"+doc+`>; rel="describedby"; type="text/html"`)
	}
	x.status = p.Status
	x.m.o.WriteProblem(x.w, x.r, p)
}

// WriteProblem writes a problem as application/problem+json.
func WriteProblem(w http.ResponseWriter, _ *http.Request, p Problem) {
	text, err := json.Marshal(p)
	if err != nil { // not of this type
		text = []byte("{}")
	}
	h := w.Header()
	h.Set("Content-Type", "application/problem+json")
	h.Set("Content-Language", "en")
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Length", strconv.Itoa(len(text)))
	w.WriteHeader(p.Status)
	_, _ = w.Write(text) // a client that is gone reads no problem
}
