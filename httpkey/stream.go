package httpkey

import (
	"bufio"
	"net"
	"net/http"
)

// stream lets a response leave as it is written, and notes its status.
type stream struct {
	w      http.ResponseWriter
	status int
	left   bool // some of it may have
}

var (
	_ http.Flusher  = (*stream)(nil)
	_ http.Hijacker = (*stream)(nil)
)

func (s *stream) Header() http.Header { return s.w.Header() }

func (s *stream) WriteHeader(status int) {
	if s.status == 0 && (status >= 200 || status == http.StatusSwitchingProtocols) {
		s.status, s.left = status, true
	}
	s.w.WriteHeader(status)
}

func (s *stream) Write(b []byte) (int, error) {
	s.begin()
	s.left = true
	return s.w.Write(b)
}

// begin notes the status of a response that has none.
func (s *stream) begin() {
	if s.status == 0 {
		s.status = http.StatusOK
	}
}

// Flush does nothing where the server can't.
func (s *stream) Flush() { _ = s.FlushError() }

// FlushError is what [http.ResponseController] looks for.
func (s *stream) FlushError() error {
	s.begin()
	s.left = true
	return http.NewResponseController(s.w).Flush()
}

// Hijack hands the connection over. What becomes of it is the handler's, and the run
// is one with status 101.
func (s *stream) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(s.w).Hijack()
	if err == nil {
		s.status, s.left = http.StatusSwitchingProtocols, true
	}
	return conn, rw, err
}

// Unwrap is for [http.ResponseController].
func (s *stream) Unwrap() http.ResponseWriter { return s.w }

func (s *stream) ended() error {
	s.begin()
	return nil
}

func (s *stream) code() int { return s.status }

func (s *stream) gone() bool { return s.left }

// send does nothing: the server ends a response when the handler's caller returns.
func (s *stream) send() {}

func (s *stream) kept(func(string) bool) response {
	return response{status: s.status}
}
