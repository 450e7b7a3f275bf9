package ledger

import (
	"bytes"
	"log/slog"
	"testing"
	"time"

	"github.com/hapaxmq/hapax"
)

// What left early is told of at once, and what leaves soon after a while later: all of
// it, and never of nothing.
func TestEvictionsAreTold(t *testing.T) {
	var said bytes.Buffer
	log := slog.New(slog.NewTextHandler(&said, &slog.HandlerOptions{
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key != "count" {
				return slog.Attr{}
			}
			return a
		},
	}))
	var e evictions
	now := goldenClock()
	for i, step := range []struct {
		after  time.Duration
		leave  int64
		toldOf string
	}{
		{0, 0, ""},
		{0, 5, "count=5\n"},
		{time.Second, 3, ""},
		{time.Second, 4, ""},
		{tellEvery - 2*time.Second, 0, "count=7\n"},
		{time.Hour, 0, ""},
		{0, 1, "count=1\n"},
	} {
		now = now.Add(step.after)
		said.Reset()
		e.untold += step.leave
		e.tellIfDue(log, "d", now.UnixNano())
		if got := said.String(); got != step.toldOf {
			t.Errorf("step %d: %q, want %q", i, got, step.toldOf)
		}
	}
}

// The rest is told of though nobody calls.
func TestRestOfEvictionsIsTold(t *testing.T) {
	told := make(lines, 8)
	l := open(t, "", Options{Window: hapax.Window{Time: time.Hour}, Logger: slog.New(slog.NewTextHandler(told, nil))})
	l.mu.Lock()
	l.evictions.untold = 7
	l.mu.Unlock()
	l.nudge()
	for line := range told {
		if bytes.Contains(line, []byte("identities left before their window ended")) {
			if !bytes.Contains(line, []byte("count=7")) {
				t.Errorf("%s", line)
			}
			return
		}
	}
}

// lines are those that a log writes, as long as there is room for them.
type lines chan []byte

func (l lines) Write(b []byte) (int, error) {
	select {
	case l <- bytes.Clone(b):
	default:
	}
	return len(b), nil
}
