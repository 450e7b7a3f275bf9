package broker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"

	"github.com/hapaxmq/hapax"
)

// What a window's ledger tells of itself has the topic's name.
func TestLedgersTellTheirTopic(t *testing.T) {
	var log said
	n := startWith(t, func(o *Options) { o.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
	n.makeTopic("orders", 1, map[string]string{"hapax.identity": "key", "hapax.window.ms": "3600000"})
	n.alter("orders", map[string]string{"hapax.window.ms": "7200000"})
	n.restart()
	n.alter("orders", map[string]string{"hapax.window.ms": "9000000"})
	for _, to := range []string{"2h0m0s", "2h30m0s"} {
		if want := fmt.Sprintf(`to="%s, first"`, to); !log.has(want) {
			t.Errorf("the log does not tell %s", want)
		}
	}
	if log.has(`bounds have changed" dir=`) || !log.has(`bounds have changed" topic=orders dir=`) {
		t.Error("the log does not tell of whose bounds")
	}
}

// Nobody is alarmed by a window that is closed in the midst of warming, as it is when
// its settings change.
func TestWarmingIsInterrupted(t *testing.T) {
	for _, test := range []struct {
		err  error
		want bool
	}{
		{errWindowReopens, false},
		{errWindowOver, false},
		{fmt.Errorf("partition 1, offset 7: %w", hapax.ErrClosed), false},
		{context.Canceled, false},
		{errors.New("the disk is gone"), true},
		{hapax.ErrFull, true},
	} {
		var log said
		full := &topic{name: "orders", rules: topicRules{window: windowRules(t, "window.ms=1000")}}
		in := windowFiles{log: slog.New(slog.NewTextHandler(&log, nil))}
		if in.warmed(full, test.err); log.has("level=WARN") != test.want || log.has("is enforced") {
			t.Errorf("%v: %s", test.err, log.b.String())
		}
	}
}
