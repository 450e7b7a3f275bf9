package main

import (
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/hapaxmq/hapax/broker"
)

// operators is where what operators ask is served.
type operators struct {
	address   string // "": nowhere
	encrypted bool
	token     string // that HTTP wants; "" is none
}

// operators are those of --http.
func (c *serveCommand) operators() (o operators, err error) {
	o.address = "127.0.0.1:8080"
	if c.HTTP != nil {
		o.address = *c.HTTP
	}
	if o.token, err = c.token(); err != nil || o.address == "" {
		return o, err
	}
	o.address, o.encrypted = strings.CutPrefix(o.address, "https://")
	if !o.encrypted || o.token == "" {
		err = c.mayListen("--http", o.address, "give https://ADDR and --http-token FILE")
	}
	return o, err
}

// serve serves what operators ask, until stop, and says where.
func (o operators) serve(w *world, b *broker.Broker) (said string, stop func() error, err error) {
	if o.address == "" {
		return "", func() error { return nil }, nil
	}
	config := b.TLS()
	if o.encrypted && config == nil {
		return "", nil, usage("--http https://%s wants a certificate: set ssl.keystore.location to a file of PEM with it and its private key", o.address)
	}
	l, err := net.Listen("tcp", o.address)
	if err != nil {
		return "", nil, fmt.Errorf("--http %s: %w (another ADDR, or \"\" for nowhere)", o.address, err)
	}
	scheme := "http"
	if o.encrypted {
		l, scheme = tls.NewListener(l, config), "https"
	}
	s := &http.Server{
		Handler: withToken(o.token, b.Handler()), ErrorLog: slog.NewLogLogger(w.stderr.dated().Handler(), slog.LevelWarn),
		ReadHeaderTimeout: 10 * time.Second, ReadTimeout: time.Minute, WriteTimeout: time.Minute, IdleTimeout: 2 * time.Minute,
		MaxHeaderBytes: 16 << 10,
	}
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(l) }()
	said = fmt.Sprintf("Operators: %s://%s/metrics, /api/v1/{node,topics,groups,transactions,producers}, /api/v1/topics/TOPIC/ids/ID, /healthz, /readyz\n", scheme, l.Addr())
	return said, func() error {
		closed := s.Close()
		if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
			return errors.Join(err, closed)
		}
		return closed
	}, nil
}

// leastToken is how long a token is at least: others can be guessed.
const leastToken = 16

// token is what HTTP wants; "" is nothing.
func (c *serveCommand) token() (string, error) {
	if c.HTTPToken == "" {
		return "", nil
	}
	return readToken(c.HTTPToken)
}

// readToken reads the file of --http-token.
func readToken(name string) (string, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return "", fmt.Errorf("--http-token: %w", err)
	}
	token := strings.TrimSpace(string(text))
	if len(token) < leastToken {
		return "", usage("--http-token %s: want a token of at least %d bytes, such as of openssl rand -hex 32", name, leastToken)
	}
	return token, nil
}

// withToken lets only those through who know the token, if there is one; others see
// that the process is alive.
func withToken(token string, next http.Handler) http.Handler {
	if token == "" {
		return next
	}
	want := sha256.Sum256([]byte(token))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		scheme, given, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		got := sha256.Sum256([]byte(given))
		right := strings.EqualFold(scheme, "Bearer") && subtle.ConstantTimeCompare(got[:], want[:]) == 1
		if !right && r.URL.Path != "/healthz" {
			w.Header().Set("WWW-Authenticate", `Bearer realm="hapax"`)
			text := "want Authorization: Bearer TOKEN, with the token of --http-token"
			if strings.HasPrefix(r.URL.Path, "/api/") { // whose errors are JSON
				w.Header().Set("Content-Type", "application/json")
				w.WriteHeader(http.StatusUnauthorized)
				_, _ = fmt.Fprintf(w, "{\n  \"error\": %q\n}\n", text) // the client may be gone
				return
			}
			http.Error(w, text, http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// mayListen refuses an address that others than this machine reach, unless they may.
func (c *serveCommand) mayListen(flag, address, instead string) error {
	host, _, err := net.SplitHostPort(address)
	switch {
	case err != nil:
		return usage("%s %s: want HOST:PORT", flag, address)
	case !c.Insecure && !loopback(host):
		return usage("%s %s can be reached from beyond this machine, by anybody: use 127.0.0.1, or %s, or say --insecure", flag, address, instead)
	}
	return nil
}
