package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What is wrong with a setting of a file is told with its line; what flags say over it
// is not the file's.
func TestServeSettings(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "node.properties")
	for _, test := range []struct {
		config, set string
		want        string
	}{
		{"# a node\n\nnum.partitions=many\n", "", file + ": line 3: setting num.partitions=many: want a number"},
		{"num.partitions=1\nnum.partition=1", "", file + `: line 2: setting "num.partition" is not known: is num.partitions meant?`},
		{"num.partitions=1\n\nmore\n", "", file + `: line 3: "more": want NAME=VALUE`},
		{"advertised.listeners=PLAINTEXT://h:1\nlisteners=PLAINTEXT:h:1\n", "", file + `: line 2: listeners: "PLAINTEXT:h:1": want NAME://HOST:PORT`},
		{"listeners=PLAINTEXT://127.0.0.1:0\nadvertised.listeners=OUT://h:1\n", "", file + ": line 2: advertised.listeners: OUT is none of the listeners"},
		{"\nlistener.name.out.ssl.client.auth=none\nlisteners=PLAINTEXT://127.0.0.1:0\n", "", file + ": line 2: open node "},
		{"queued.max.request.bytes=1\n", "socket.request.max.bytes=2000", file + ": line 1: setting queued.max.request.bytes=1: want socket.request.max.bytes at least"},
		{"retention.ms=5\nsegment.index.bytes=7", "", file + ": line 2: setting segment.index.bytes is one of topics"},
		{"num.partitions=1\n", "num.partitions=many", "hapax: usage: setting num.partitions=many: want a number"},
	} {
		if err := os.WriteFile(file, []byte(test.config), 0o600); err != nil {
			t.Fatal(err)
		}
		var stdout, stderr strings.Builder
		code := run(t.Context(), []string{"serve", "--data", filepath.Join(t.TempDir(), "data"), "--http", "", "--config", file, "--set", test.set}, nil, &stdout, &stderr)
		if code == exitOK || stdout.Len() > 0 || !strings.Contains(stderr.String(), test.want) {
			t.Errorf("%q, %q: exit code %d, %s, want %s", test.config, test.set, code, &stderr, test.want)
		}
	}
}
