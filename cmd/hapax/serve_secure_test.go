package main

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"github.com/hapaxmq/hapax/broker"
)

// Without the token only that the process is alive can be seen.
func TestWithToken(t *testing.T) {
	const token = "0123456789abcdef"
	all := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	for _, test := range []struct {
		path, authorization string
		want                int
	}{
		{"/metrics", "Bearer " + token, http.StatusNoContent},
		{"/metrics", "bearer " + token, http.StatusNoContent},
		{"/metrics", "", http.StatusUnauthorized},
		{"/metrics", "Bearer", http.StatusUnauthorized},
		{"/metrics", "Bearer " + token[1:], http.StatusUnauthorized},
		{"/metrics", "Basic " + token, http.StatusUnauthorized},
		{"/readyz", "", http.StatusUnauthorized},
		{"/healthz", "", http.StatusNoContent},
	} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, test.path, nil)
		if test.authorization != "" {
			r.Header.Set("Authorization", test.authorization)
		}
		w := httptest.NewRecorder()
		if withToken(token, all).ServeHTTP(w, r); w.Code != test.want {
			t.Errorf("%s with %q: %d, want %d", test.path, test.authorization, w.Code, test.want)
		}
	}
	w := httptest.NewRecorder()
	if withToken("", all).ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil)); w.Code != http.StatusNoContent {
		t.Errorf("no token is wanted, and %d", w.Code)
	}
}

// The users of the file log in, also with the password of another start.
func TestServeUsers(t *testing.T) {
	t.Parallel()
	s := serve(t)
	s.kill()
	users, address := filepath.Join(t.TempDir(), "users"), s.address
	s.flags = []string{"--users", users}
	for _, password := range []string{"one:with a colon", "two"} {
		if err := os.WriteFile(users, []byte("# users\n\nann:"+password+"\r\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		s.address = string(broker.SASLPlaintext) + "://" + address
		s.start()
		s.address = address
		c := s.client(kgo.SASL(scram.Auth{User: "ann", Pass: password}.AsSha512Mechanism()))
		if err := c.Ping(t.Context()); err != nil {
			t.Errorf("%s: %v", password, err)
		}
		s.kill()
	}
}
