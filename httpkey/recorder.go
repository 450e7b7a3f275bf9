package httpkey

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"strconv"
	"time"
)

// answer is where a handler's response goes.
type answer interface {
	http.ResponseWriter
	// ended is called when the handler has returned. The error says why the response
	// is none.
	ended() error
	// code is the response's status; zero if there is none yet.
	code() int
	// gone tells whether any of the response has left for the client.
	gone() bool
	// send lets the response leave, if it has not.
	send()
	// kept is what may be kept of it.
	kept(keep func(name string) bool) response
}

var errShort = errors.New("the handler declared a longer body than it wrote")

// recorder holds a response back until it is kept. One that grows beyond limit leaves
// as it comes from then on.
//
// It has no Flush, Hijack or Unwrap, so that handlers and [http.ResponseController]
// learn that there is none.
type recorder struct {
	w      http.ResponseWriter
	found  http.Header // that of w when the handler began
	header http.Header // the handler's
	limit  int

	status int
	made   http.Header // as WriteHeader found it: what leaves
	body   []byte      // what is held back
	wrote  int64
	over   bool // too large to be held back
}

func newRecorder(w http.ResponseWriter, limit int) *recorder {
	return &recorder{w: w, found: w.Header().Clone(), header: w.Header().Clone(), limit: limit}
}

func (r *recorder) Header() http.Header { return r.header }

// WriteHeader is as that of net/http, but that informational responses are left out.
func (r *recorder) WriteHeader(status int) {
	if status < 100 || status > 999 {
		panic(fmt.Sprintf("invalid WriteHeader code %v", status)) // as net/http does
	}
	if r.status == 0 && status >= 200 {
		r.status, r.made = status, r.header.Clone()
	}
}

func (r *recorder) Write(b []byte) (int, error) {
	if r.status == 0 {
		r.WriteHeader(http.StatusOK)
	}
	if !bodyAllowed(r.status) {
		return 0, http.ErrBodyNotAllowed
	}
	r.wrote += int64(len(b))
	if !r.over && len(r.body)+len(b) <= r.limit {
		r.body = append(r.body, b...)
		return len(b), nil
	}
	if !r.over {
		r.over = true
		r.pass()
	}
	return r.w.Write(b)
}

// pass gives the client what was held back.
func (r *recorder) pass() {
	h := r.w.Header()
	clear(h)
	maps.Copy(h, r.made)
	r.w.WriteHeader(r.status)
	if len(r.body) > 0 {
		_, _ = r.w.Write(r.body) // a client that is gone comes again
		r.body = nil
	}
}

func (r *recorder) ended() error {
	if r.status == 0 {
		r.WriteHeader(http.StatusOK)
	}
	if declared, err := strconv.ParseInt(r.made.Get("Content-Length"), 10, 64); err == nil && bodyAllowed(r.status) && declared != r.wrote {
		return errShort
	}
	if r.over || !bodyAllowed(r.status) {
		return nil
	}
	r.made.Set("Content-Length", strconv.Itoa(len(r.body)))
	if len(r.body) > 0 && r.made["Content-Type"] == nil && r.made.Get("Content-Encoding") == "" {
		r.made.Set("Content-Type", http.DetectContentType(r.body)) // as net/http does, so that it is kept
	}
	return nil
}

func (r *recorder) code() int { return r.status }

func (r *recorder) gone() bool { return r.over }

func (r *recorder) send() {
	if !r.over {
		r.pass()
	}
}

func (r *recorder) kept(keep func(string) bool) response {
	if r.over {
		return response{status: r.status}
	}
	return response{status: r.status, whole: true, header: keptHeader(r.found, r.made, keep), body: r.body}
}

// What follows is what [http.ResponseController] asks for, and changes nothing of what
// is held back.

func (r *recorder) SetReadDeadline(t time.Time) error {
	return http.NewResponseController(r.w).SetReadDeadline(t)
}

func (r *recorder) SetWriteDeadline(t time.Time) error {
	return http.NewResponseController(r.w).SetWriteDeadline(t)
}

func (r *recorder) EnableFullDuplex() error {
	return http.NewResponseController(r.w).EnableFullDuplex()
}
