package relay

import (
	"log/slog"
	"strings"
	"testing"

	"github.com/hapaxmq/hapax/outbox"
)

// TestTell: a fault of many records is told once, and every fault is.
func TestTell(t *testing.T) {
	t.Parallel()
	var log strings.Builder
	w := &worker{Relay: &Relay{o: Options{Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		},
	}))}}}
	b := Batch{}
	for n := range int64(5) {
		b.Records = append(b.Records, Record{Position: n, Record: outbox.Record{ID: string(rune('a' + n)), Topic: "t"}})
	}
	w.tell(b, map[int64]string{1: "no topic", 3: "too large", 4: "no topic"})
	want := `level=ERROR msg="outbox relay: records set aside" fault="no topic" records=2 position=1 id=b topic=t
level=ERROR msg="outbox relay: records set aside" fault="too large" records=1 position=3 id=d topic=t
`
	if log.String() != want {
		t.Errorf("told\n%swant\n%s", log.String(), want)
	}
}
