package broker

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/hapaxmq/hapax/broker/batch"
	"github.com/hapaxmq/hapax/broker/code"
)

// A window that is full refuses what is new with an error that all clients try again
// and that says what to do, and with nothing appended; what is known it still answers.
// With more room the same batch passes. The node's log tells.
func TestWindowIsFull(t *testing.T) {
	var log said
	n := startWith(t, func(o *Options) { o.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
	n.makeTopic("orders", 1, map[string]string{"hapax.identity": "header:id", "hapax.window.count": "1000000", "hapax.window.memory.bytes": "4194304", "max.message.bytes": "10000000"})
	w := n.wire()
	const each = 20_000
	send := func(sequence int) (code.Error, string, int64) {
		t.Helper()
		ids := make([]int, each)
		for i := range ids {
			ids[i] = sequence + i
		}
		d := w.produced("orders", named(t, batch.Header{ProducerID: 7, BaseSequence: int32(sequence)}, ids...))
		if d.ErrorMessage == nil {
			return code.Error(d.ErrorCode), "", d.BaseOffset
		}
		return code.Error(d.ErrorCode), *d.ErrorMessage, d.BaseOffset
	}
	next := 0
	got, message, offset := send(next)
	for ; got == code.None && next < 1_000_000; got, message, offset = send(next) {
		next += each
	}
	if got != code.NotEnoughReplicas || offset != -1 || !strings.Contains(message, "the topic's window is full: raise hapax.window.memory.bytes, shorten it, or set hapax.window.full=evict") {
		t.Fatalf("after %d: %v, %d, %s", next, got, offset, message)
	}
	if d := w.produced("orders", named(t, batch.Header{ProducerID: batch.None}, 1, 2, 3)); d.ErrorCode != 0 || d.BaseOffset != int64(next) {
		t.Errorf("known ones: %+v", d)
	}
	if n.broker.windows.alarm(make(alarms), time.Now()); !log.has("producers send them again until they give up") || !log.has("topic=orders batches=1") {
		t.Error("the log does not tell")
	}
	n.alter("orders", map[string]string{"hapax.window.memory.bytes": "67108864"})
	if got, message, offset := send(next); got != code.None || offset != int64(next)+3 {
		t.Errorf("with more memory: %v, %d, %s", got, offset, message)
	}
}

// That most records have no id is found out once in a while, of those that came in it.
func TestMajority(t *testing.T) {
	var m majority
	now := time.Unix(1_800_000_000, 0)
	for i, step := range []struct {
		after           time.Duration
		some, all, want int64
	}{
		{0, 0, 0, 0}, {time.Second, 5, 5, 0}, {alarmEvery - time.Second, 6, 9, 6}, {time.Second, 9, 12, 0},
		{alarmEvery, 9, 12, 3}, {alarmEvery, 10, 14, 0}, {alarmEvery, 10, 14, 0}, {alarmEvery, 12, 17, 2},
	} {
		now = now.Add(step.after)
		if got := m.raise(step.some, step.all, now); got != step.want {
			t.Errorf("step %d: %d, want %d", i, got, step.want)
		}
	}
}

// A window that knows no record's id is told of.
func TestMissingIsTold(t *testing.T) {
	var log said
	n := startWith(t, func(o *Options) { o.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
	n.makeTopic("orders", 1, map[string]string{"hapax.identity": "header:idd", "hapax.window.count": "1000000"})
	told, now := make(alarms), time.Now()
	n.broker.windows.alarm(told, now)
	n.order(0, "7", "x")
	n.broker.windows.alarm(told, now.Add(alarmEvery))
	if !log.has("most records come without the id") || !log.has(`topic=orders hapax.identity=header:idd records=1 "what becomes of them"=accept`) {
		t.Error("the log does not tell")
	}
}

// What is said to help helps: it depends on the window.
func TestRelief(t *testing.T) {
	for _, test := range []struct{ settings, want string }{
		{"window.ms=1000", "raise hapax.window.memory.bytes, shorten it, or set hapax.window.full=evict"},
		{"window.count=9 window.disk.bytes=67108864", "raise hapax.window.memory.bytes and hapax.window.disk.bytes, shorten it, or set hapax.window.full=evict"},
		{"window.ms=1000 window.full=evict", "raise hapax.window.memory.bytes, or shorten it: nothing was left that could go early"},
		{"window.ms=1000 window.kind=tumbling", "raise hapax.window.memory.bytes, shorten it, or set hapax.window.full=evict"},
		{"window.count=9 window.kind=tumbling", "raise hapax.window.memory.bytes, or set lower numbers, with which it begins anew: a tumbling window ends for all of its ids at once, and lets none go early"},
	} {
		if got := relief(windowRules(t, test.settings)); got != test.want {
			t.Errorf("%s: %s, want %s", test.settings, got, test.want)
		}
	}
}

// How a window stands is no setting.
func TestStateCannotBeSet(t *testing.T) {
	_, err := newCatalog(topicSettings()).find("hapax.window.state")
	if err == nil || !strings.Contains(err.Error(), "setting hapax.window.state tells how the topic's window stands, and cannot be set") {
		t.Error(err)
	}
}

// What alarms is told of at once, and then at intervals, and none of it is left out.
func TestAlarm(t *testing.T) {
	var a alarm
	now := time.Unix(1_800_000_000, 0)
	for i, step := range []struct {
		after     time.Duration
		all, want int64
	}{
		{0, 0, 0}, {0, 1, 1}, {time.Second, 3, 0}, {alarmEvery - time.Second, 4, 3}, {alarmEvery, 4, 0}, {alarmEvery, 5, 1},
	} {
		now = now.Add(step.after)
		if got := a.raise(step.all, now); got != step.want {
			t.Errorf("step %d: %d, want %d", i, got, step.want)
		}
	}
}
