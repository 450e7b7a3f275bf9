package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
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
		{"/api/v1/topics", "", http.StatusUnauthorized},
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
		if isJSON := json.Valid(w.Body.Bytes()); isJSON != strings.HasPrefix(test.path, "/api/") {
			t.Errorf("%s with %q: %s", test.path, test.authorization, w.Body)
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

// librdkafka logs in, as Debian has it: that one says its nonce twice.
func TestServeKcat(t *testing.T) {
	t.Parallel()
	kcat, err := exec.LookPath("kcat")
	if err != nil {
		t.Skip("there is no kcat (Debian's package of that name)")
	}
	s := serve(t)
	s.kill()
	users, address := filepath.Join(t.TempDir(), "users"), s.address
	if err := os.WriteFile(users, []byte("ann:secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.flags = []string{"--users", users}
	s.address = string(broker.SASLPlaintext) + "://" + address
	s.start()
	run := func(mechanism, password, input string, args ...string) (string, error) {
		c := exec.CommandContext(t.Context(), kcat, append([]string{"-b", address, "-t", "orders", "-X", "security.protocol=SASL_PLAINTEXT",
			"-X", "sasl.mechanism=" + mechanism, "-X", "sasl.username=ann", "-X", "sasl.password=" + password, "-m", "20"}, args...)...)
		c.Stdin = strings.NewReader(input)
		out, err := c.Output()
		return string(out), err
	}
	want := ""
	for _, mechanism := range []string{"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"} {
		want += mechanism + "\n"
		if _, err := run(mechanism, "secret", mechanism+"\n", "-P"); err != nil {
			t.Errorf("%s: produce: %v", mechanism, err)
		}
		if got, err := run(mechanism, "secret", "", "-C", "-e", "-q"); err != nil || got != want {
			t.Errorf("%s: %q is read, want %q: %v", mechanism, got, want, err)
		}
		if _, err := run(mechanism, "wrong", mechanism+"\n", "-P"); err == nil {
			t.Errorf("%s: a wrong password lets in", mechanism)
		}
	}
}
