package broker

import (
	"log/slog"
	"strings"
	"testing"
	"time"
)

// Any number of connections that end as they should not make a few lines a second, and
// none is left uncounted.
func TestRefusalsAreFew(t *testing.T) {
	var said strings.Builder
	log := slog.New(slog.NewTextHandler(&said, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}))
	var r refusals
	now := time.Unix(1, 0)
	for i := range 1000 {
		if i == mostRefusals {
			said.Reset()
		}
		r.tell(log, now.Add(time.Duration(i)*time.Millisecond), slog.LevelWarn, "connection closed", "from", i)
	}
	r.tell(log, now.Add(time.Second), slog.LevelWarn, "connection closed", "from", 1000)
	r.tell(log, now.Add(3*time.Second), slog.LevelInfo, "connection ended", "from", 1001)
	const want = `level=WARN msg="connection closed" from=1000 "others before"=990
level=INFO msg="connection ended" from=1001
`
	if said.String() != want {
		t.Errorf("%s", said.String())
	}
}
