package examples_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/examples"
	"github.com/hapaxmq/hapax/inbox"
	"github.com/hapaxmq/hapax/ledger"
)

// mailServer takes mails on loopback, and keeps their texts.
type mailServer struct {
	net.Listener

	mu    sync.Mutex
	mails []string
}

func newMailServer(t *testing.T) *mailServer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	s := &mailServer{Listener: l}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			s.serve(conn)
		}
	})
	t.Cleanup(func() {
		must(t, l.Close())
		serving.Wait()
	})
	return s
}

// serve speaks as much of SMTP as a client needs.
func (s *mailServer) serve(conn net.Conn) {
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(patience))
	lines := bufio.NewScanner(conn)
	say := func(line string) { _, _ = fmt.Fprint(conn, line, "\r\n") }
	for say("220 ready"); lines.Scan(); {
		switch command, _, _ := strings.Cut(lines.Text(), " "); command {
		case "DATA":
			say("354 go on")
			var text strings.Builder
			for lines.Scan() && lines.Text() != "." {
				text.WriteString(lines.Text() + "\n")
			}
			s.mu.Lock()
			s.mails = append(s.mails, text.String())
			s.mu.Unlock()
			say("250 accepted")
		case "QUIT":
			say("221 bye")
			return
		default:
			say("250 fine")
		}
	}
}

// A mail is sent once, also if its message comes again to another process.
func TestWelcome(t *testing.T) {
	server, directory := newMailServer(t), t.TempDir()
	signup := &hapax.Message{Value: []byte(`{"id": "s-1", "email": "ann@example.org"}`)}
	for n, want := range []hapax.Outcome{hapax.Executed, hapax.Replayed} {
		sent, err := examples.OpenSent(directory)
		must(t, err)
		in, err := examples.Welcome(sent, server.Addr().String())
		must(t, err)
		r, err := in.Handle(t.Context(), signup)
		if r.Outcome != want || err != nil {
			t.Errorf("delivery %d: %v, %v; want %v", n+1, r.Outcome, err, want)
		}
		must(t, in.Close())
		must(t, sent.Close())
	}
	server.mu.Lock()
	defer server.mu.Unlock()
	if len(server.mails) != 1 || !strings.Contains(server.mails[0], "To: ann@example.org") || !strings.Contains(server.mails[0], "Message-ID: <") {
		t.Errorf("mails %q, want one", server.mails)
	}
}

// A call whose answer was lost is made again, with the key that the first one had.
func TestCharge(t *testing.T) {
	seen, err := ledger.Open("", ledger.Options{Window: hapax.Window{Time: time.Hour}, Digests: true})
	must(t, err)
	defer func() { _ = seen.Close() }()
	var mu sync.Mutex
	var keys []string
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		order, _ := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		keys = append(keys, r.Header.Get("Idempotency-Key"))
		switch {
		case len(keys) == 1:
			panic(http.ErrAbortHandler) // charged, and the connection is gone
		case strings.Contains(string(order), "o-2"):
			w.WriteHeader(http.StatusPaymentRequired)
			_, _ = io.WriteString(w, "declined")
		case strings.Contains(string(order), "o-3"):
			w.WriteHeader(http.StatusBadRequest)
		default:
			_, _ = io.WriteString(w, "charge 7")
		}
	}))
	defer api.Close()
	in, err := examples.Charge(seen, &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}, api.URL)
	must(t, err)
	defer func() { _ = in.Close() }()
	for _, test := range []struct {
		order   string
		outcome hapax.Outcome
		receipt string
		action  inbox.Action
	}{
		{"o-1", hapax.Failed, "", inbox.Retry},
		{"o-1", hapax.Executed, "charge 7", inbox.Ack},
		{"o-1", hapax.Replayed, "charge 7", inbox.Ack},
		{"o-2", hapax.Executed, "declined", inbox.Ack},
		{"o-2", hapax.Replayed, "declined", inbox.Ack},
		{"o-3", hapax.Failed, "", inbox.DeadLetter},
	} {
		r, err := in.Handle(t.Context(), &hapax.Message{Value: fmt.Appendf(nil, `{"order": %q, "cents": 100}`, test.order)})
		if r.Outcome != test.outcome || string(r.Receipt) != test.receipt || inbox.Settle(r, err).Action != test.action {
			t.Errorf("%s: %v, %q, %v; want %v, %q", test.order, r.Outcome, r.Receipt, err, test.outcome, test.receipt)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if len(keys) != 4 || keys[0] != keys[1] || keys[1] == keys[2] || keys[0] == "" {
		t.Errorf("keys %q, want the first two equal, and others for other orders", keys)
	}
}
