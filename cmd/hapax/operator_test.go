package main

import (
	"encoding/pem"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Who cannot ask is told what to do, and why has an exit code for that.
func TestAskAmiss(t *testing.T) {
	t.Parallel()
	a := ask(t)
	a.topic("plain")
	a.topic("orders", "hapax.identity=header:id", "hapax.window.ms=1000", "hapax.scope=partition")
	s := guard(t, a)
	for _, test := range []struct {
		args string // of why, and of topics if there is no more than flags
		want string
	}{
		{"--broker " + a.http + " none 7", `there is no topic "none"`},
		{"--broker " + a.http + " plain 7", "set hapax.identity and hapax.window.ms for it to keep each once"},
		{"--broker " + a.http + " orders 7", "say within which partition: hapax.scope=partition"},
		{"--broker " + a.http + " --partition 2 orders 7", `has those from 0 to 1`},
		{"--broker " + s.closed, "connection refused: is hapax serve running, with --http there?"},
		{"--broker " + s.guarded, "wants a token: give --http-token FILE"},
		{"--broker " + s.guarded + " --http-token " + s.wrong, "wants another token than that of --http-token"},
		{"--broker " + s.guarded + " --http-token " + s.short, "a token of at least 16 bytes"},
		{"--broker " + s.guarded + " --http-token nowhere", "--http-token: open nowhere"},
		{"--broker " + s.encrypted + " --http-token " + s.right, "speaks TLS: give --broker https://"},
		{"--broker https://" + s.encrypted + " --http-token " + s.right, "unknown authority: name a file with it, --ca FILE"},
		{"--broker https://" + s.encrypted + " --ca " + s.right, "there is no certificate of PEM in it"},
		{"--broker https://" + s.encrypted + " --ca nowhere", "--ca: open nowhere"},
		{"--broker https://" + a.http, "leave out https://"},
		{"--broker " + s.other, `answers "404 Not Found": is it where hapax serve has its --http?`},
		{"--broker nowhere", "--broker nowhere: want HOST:PORT, or https://HOST:PORT"},
		{"--broker ftp://127.0.0.1:1", "want HOST:PORT, or https://HOST:PORT"},
		{"--broker example.org:8080 --http-token " + s.right, "the token could be read on its way: say https://example.org:8080"},
	} {
		args := strings.Fields(test.args)
		commands := map[string][]string{"why": args}
		if strings.HasPrefix(args[len(args)-2], "--") {
			commands = map[string][]string{"why": append(args, "orders", "7"), "topics": args}
		}
		for command, args := range commands {
			var stdout, stderr strings.Builder
			code := run(t.Context(), append([]string{command}, args...), nil, &stdout, &stderr)
			if code == exitOK || command == "why" && code != exitUnasked || stdout.Len() > 0 || !strings.Contains(stderr.String(), test.want) {
				t.Errorf("%s %v: exit code %d\n%s%s", command, args, code, &stdout, &stderr)
			}
		}
	}
	if code, out, said := a.run("topics", "none"); code != exitError || out != "" || !strings.Contains(said, `there is no topic "none": hapax topics lists those that there are`) {
		t.Errorf("exit code %d, %s %s", code, out, said)
	}
}

// The token, and a certificate of one's own, let in.
func TestAskGuarded(t *testing.T) {
	t.Parallel()
	s := guard(t, ask(t))
	for _, args := range []string{
		"--broker " + s.guarded + " --http-token " + s.right,
		"--broker https://" + s.encrypted + " --http-token " + s.right + " --ca " + s.ca,
	} {
		var stdout, stderr strings.Builder
		if code := run(t.Context(), append([]string{"topics"}, strings.Fields(args)...), nil, &stdout, &stderr); code != exitOK {
			t.Errorf("%s: exit code %d\n%s", args, code, &stderr)
		}
	}
}

// guards are addresses that want something, and files that may be it.
type guards struct {
	guarded, encrypted, other, closed string
	right, wrong, short, ca           string
}

const testToken = "0123456789abcdef"

func guard(t *testing.T, a *asked) (g guards) {
	t.Helper()
	guarded := httptest.NewServer(withToken(testToken, a.node.Handler()))
	t.Cleanup(guarded.Close)
	encrypted := httptest.NewUnstartedServer(withToken(testToken, a.node.Handler()))
	encrypted.Config.ErrorLog = log.New(t.Output(), "", 0)
	encrypted.StartTLS()
	t.Cleanup(encrypted.Close)
	other := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(other.Close)
	g.guarded, g.encrypted, g.other = guarded.Listener.Addr().String(), encrypted.Listener.Addr().String(), other.Listener.Addr().String()
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g.closed = closed.Addr().String()
	if err := closed.Close(); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	g.right, g.wrong, g.short = file("right", testToken), file("wrong", testToken[1:]+"0"), file("short", "x")
	g.ca = file("ca", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: encrypted.Certificate().Raw})))
	return g
}
