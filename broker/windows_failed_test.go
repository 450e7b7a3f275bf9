package broker

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/broker/code"
	"github.com/hapaxmq/hapax/internal/vfs"
)

// moveFiles moves the files of a directory to another.
func moveFiles(t *testing.T, disk vfs.FS, from, to string) {
	t.Helper()
	names, err := disk.List(from)
	if err == nil {
		err = disk.MkdirAll(to)
	}
	for _, name := range names {
		if err == nil {
			err = disk.Rename(filepath.Join(from, name), filepath.Join(to, name))
		}
	}
	if err = errors.Join(err, disk.Remove(from)); err != nil {
		t.Fatal(err)
	}
}

// passThrough has records come to a topic that keeps none, so that the log goes on in
// other files.
func (n *node) passThrough(ctx context.Context, topic string) {
	n.Helper()
	c := n.client(kgo.ProducerBatchCompression(kgo.NoCompression()))
	for from := n.broker.wal.Newest(); n.broker.wal.Newest() < from+3; { // which begins beside who writes
		err := c.ProduceSync(ctx, &kgo.Record{Topic: topic, Value: make([]byte, 40_000)}).FirstErr()
		if err == nil {
			err = n.broker.retention.once()
		}
		if err != nil {
			n.Fatal(err)
		}
	}
}

// A window that cannot be opened keeps those files of the log that it has yet to read,
// however much comes to other topics and however often the node is started, and says so.
// With its directory back it reads what it lacks.
func TestFailedWindowKeepsItsLog(t *testing.T) {
	disk := vfs.NewMem()
	n := startWith(t, func(o *Options) {
		o.FS = disk
		o.Settings["hapax.log.file.bytes"] = "65536"
	})
	ctx := testContext(t)
	n.makeTopic("orders", 1, map[string]string{"hapax.identity": "value", "hapax.window.ms": "3600000"})
	n.makeTopic("others", 1, map[string]string{"retention.bytes": "0"})
	n.produceSome(ctx, n.client(), 0, 1000)
	open := n.writer("till", true, minute)
	open.write("orders", 0, "value of 1000")
	if err := n.stop(); err != nil {
		t.Fatal(err)
	}
	dir := n.broker.topics.named("orders").window.dir
	moveFiles(t, disk, dir, "/aside")
	n.start()
	kept := func() int64 { return getJSON[[]TopicView](n, "/api/v1/topics")[0].Window.Log }
	n.passThrough(ctx, "others")
	open.reconnect(n)
	open.want(code.CoordinatorLoadInProgress, int16(open.end(true))) // its ids would be forgotten
	most := kept()
	for range 3 {
		n.passThrough(ctx, "others")
		if got := kept(); got != most || got == 0 {
			t.Errorf("%d bytes of the log are kept for the window, and %d before more came to another topic", got, most)
		}
		n.restart()
	}
	if live := n.broker.needed(); live[n.broker.wal.Newest()-1] != 0 {
		t.Errorf("files of the log are kept that have nothing for the window")
	}
	if state := n.topicConfig("orders", "hapax.window.state"); !strings.HasPrefix(state.MaybeValue(), "failed, and keeps ") {
		t.Errorf("it is described as %q", state.MaybeValue())
	}
	if metrics := n.get("/metrics"); !strings.Contains(metrics, `hapax_window_failed{topic="orders"} 1`) || !strings.Contains(metrics, `hapax_window_log_bytes{topic="orders"} `) {
		t.Error("metrics do not tell")
	}
	if code, text := n.ask(idPath("1")); code != http.StatusServiceUnavailable || !strings.Contains(text, "restore it from a backup") {
		t.Errorf("%d %s", code, text)
	}
	if err := n.stop(); err != nil {
		t.Fatal(err)
	}
	moveFiles(t, disk, "/aside", dir)
	n.start()
	open.reconnect(n)
	open.want(code.None, int16(open.end(true)))
	n.produceSome(ctx, n.client(), 0, 1001)
	if got := n.broker.topics.named("orders").window.count.unique.Load(); got != 1 { // the transaction's
		t.Errorf("%d of 1001 ids were forgotten", got-1)
	}
	n.produceSome(ctx, n.client(), 2000, 2100)
	if err := n.stop(); err != nil {
		t.Fatal(err)
	}
	moveFiles(t, disk, dir, "/aside")
	n.start() // it fails again, and may lack what has come since
	if live := n.broker.needed(); live[n.broker.wal.Newest()] == 0 {
		t.Error("what came after it was mended would go")
	}
}

// A window whose ledger cannot be written keeps what the ledger lacks: it is closed
// without another word, but not with all on disk.
func TestFailedLedgerLacksWhatItLost(t *testing.T) {
	fault := vfs.NewFault(vfs.NewMem(), nil)
	n := &node{T: t, dir: "/node", addr: "127.0.0.1:0", fs: fault}
	n.start()
	n.makeTopic("orders", 1, map[string]string{"hapax.identity": "header:id", "hapax.window.ms": "3600000"})
	n.produceSome(testContext(t), n.client(), 0, 10)
	fault.SetHook(func(_ vfs.Op, name string) error {
		if strings.Contains(name, "windows") {
			return syscall.ENOSPC
		}
		return nil
	})
	ws, o := &n.broker.windows, n.broker.topics.named("orders")
	if err := o.window.keep(ws.newest); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("made durable on a full disk: %v", err)
	}
	ws.failed(o, syscall.ENOSPC)
	live := make(map[uint64]int64)
	if ws.needed(live); live[ws.newest()] == 0 {
		t.Error("what the ledger lacks would go")
	}
	fault.SetHook(nil)
}

// A transaction does not commit into a window that has failed since: a copy of what it
// wrote may have come before.
func TestNoCommitIntoFailedWindow(t *testing.T) {
	n := start(t)
	n.makeTopic("orders", 1, map[string]string{"hapax.identity": "value", "hapax.window.ms": "3600000"})
	open := n.writer("till", true, minute)
	open.write("orders", 0, "value of 0")
	n.produceSome(testContext(t), n.client(), 0, 1) // a copy, which passes: the first to commit has the id
	n.broker.windows.failed(n.broker.topics.named("orders"), syscall.EIO)
	open.want(code.CoordinatorLoadInProgress, int16(open.end(true)))
	open.want(code.None, int16(open.end(false)))
}

// What a window has yet to read of the log stays when it fails while it reads.
func TestWindowFailsAsItIsOpened(t *testing.T) {
	n := start(t)
	n.makeTopic("orders", 1, map[string]string{"hapax.identity": "header:id", "hapax.window.ms": "3600000"})
	ws := &n.broker.windows
	o := n.broker.topics.named("orders")
	from := ws.newest()
	o.window.mu.Lock()
	o.window.late.Store(true)
	o.window.steps++
	o.window.from.Store(from)
	o.window.mu.Unlock()
	ws.failed(o, hapax.ErrFull)
	live := make(map[uint64]int64)
	if ws.needed(live); live[from] == 0 {
		t.Error("what it has yet to read would go")
	}
	if _, _, err := o.window.opened(); err == nil || errors.Is(err, errWindowOver) {
		t.Errorf("it says %v", err)
	}
}

// Settings that a topic with a failed window may have take effect, and that is what the
// answer says; the window stays failed till it is mended, and then has them.
func TestFailedWindowTakesSettings(t *testing.T) {
	disk := vfs.NewMem()
	n := startWith(t, func(o *Options) { o.FS = disk })
	n.makeTopic("orders", 1, map[string]string{"hapax.identity": "value", "hapax.window.ms": "3600000", "hapax.window.count": "1000"})
	n.produceSome(testContext(t), n.client(), 0, 10)
	if err := n.stop(); err != nil {
		t.Fatal(err)
	}
	dir := n.broker.topics.named("orders").window.dir
	moveFiles(t, disk, dir, "/aside")
	n.start()
	state := func() string {
		s := n.topicConfig("orders", "hapax.window.state")
		return s.MaybeValue()
	}
	until := n.broker.topics.named("orders").window.until.Load()
	n.alter("orders", map[string]string{"hapax.window.ms": "7200000"})
	n.alter("orders", map[string]string{"hapax.window.ms": "9000000", "hapax.window.count": ""})
	if got := n.broker.topics.named("orders").window.until.Load(); got != until {
		t.Errorf("it keeps the log up to file %d, and before up to %d", got, until)
	}
	if got := state(); !strings.HasPrefix(got, "failed, and keeps ") {
		t.Errorf("it is described as %q", got)
	}
	if err := n.stop(); err != nil {
		t.Fatal(err)
	}
	moveFiles(t, disk, "/aside", dir)
	n.start()
	if got := n.topicConfig("orders", "hapax.window.ms"); got.MaybeValue() != "9000000" || state() != "enforced" {
		t.Errorf("mended: %s ms, %s", got.MaybeValue(), state())
	}
	n.produceSome(testContext(t), n.client(), 0, 11)
	if got := n.broker.topics.named("orders").window.count.unique.Load(); got != 1 {
		t.Errorf("%d of 10 ids were forgotten", got-1)
	}
}

// A failed window's topic may be put into shadow, with other bounds at once: its records
// pass from then on.
func TestFailedWindowIntoShadow(t *testing.T) {
	n := start(t)
	n.makeTopic("orders", 1, map[string]string{"hapax.identity": "value", "hapax.window.ms": "3600000", "hapax.window.count": "1000"})
	n.broker.windows.failed(n.broker.topics.named("orders"), syscall.EIO)
	n.alter("orders", map[string]string{"hapax.mode": "shadow", "hapax.window.count": ""})
	n.produceSome(testContext(t), n.client(), 0, 1)
}

// A window whose ledger does not open with other settings has failed, and says so; the
// settings have taken effect.
func TestWindowFailsAsSettingsChange(t *testing.T) {
	fault := vfs.NewFault(vfs.NewMem(), nil)
	var log said
	n := startWith(t, func(o *Options) { o.FS, o.Logger = fault, slog.New(slog.NewTextHandler(&log, nil)) })
	n.makeTopic("orders", 1, map[string]string{"hapax.identity": "value", "hapax.window.ms": "3600000"})
	n.produceSome(testContext(t), n.client(), 0, 10)
	fault.SetHook(func(_ vfs.Op, name string) error {
		if strings.Contains(name, windowsName) {
			return syscall.EIO
		}
		return nil
	})
	n.alter("orders", map[string]string{"hapax.window.ms": "7200000"})
	state := n.topicConfig("orders", "hapax.window.state")
	if got := state.MaybeValue(); !strings.HasPrefix(got, "failed, ") {
		t.Errorf("it is described as %q", got)
	}
	if !log.has("the window of a topic has failed") {
		t.Error("the log does not tell")
	}
	fault.SetHook(nil)
	n.restart()
	n.produceSome(testContext(t), n.client(), 0, 11)
	if got := n.broker.topics.named("orders").window.count.unique.Load(); got != 1 {
		t.Errorf("%d of 10 ids were forgotten", got-1)
	}
}
