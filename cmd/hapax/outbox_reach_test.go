package main

import (
	"net"
	"strings"
	"testing"
	"time"
)

// TestOutboxReach: a server that takes connections and says nothing, such as one of another
// protocol, is not waited for for ever.
func TestOutboxReach(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	for _, scheme := range []string{"postgres", "mysql"} {
		p := outboxPlace{Database: scheme + "://app@" + l.Addr().String() + "/shop", Table: "hapax_outbox", Reach: span(50 * time.Millisecond)}
		if _, _, err := p.open(t.Context()); err == nil || !strings.Contains(err.Error(), "is it running, and is --database right?") {
			t.Errorf("%s: %v, want what to do", scheme, err)
		}
	}
}
