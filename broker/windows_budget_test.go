package broker

import (
	"fmt"
	"log/slog"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hapaxmq/hapax/broker/batch"
	"github.com/hapaxmq/hapax/broker/code"
	"github.com/hapaxmq/hapax/internal/vfs"
)

// budgeted is a node on a disk in memory with a topic "orders", whose window is an hour
// long and may take 16 MiB of disk.
type budgeted struct {
	*node
	clock *handClock
	disk  *vfs.Mem
	log   said
	w     *wire
}

func newBudgeted(t *testing.T, more map[string]string) *budgeted {
	b := &budgeted{disk: vfs.NewMem(), clock: newHandClock()}
	b.node = startWith(t, func(o *Options) {
		o.FS, o.Clock, o.Logger = b.disk, b.clock.now, slog.New(slog.NewTextHandler(&b.log, nil))
	})
	settings := map[string]string{
		"hapax.identity": "header:id", "hapax.window.ms": "3600000", "hapax.window.disk.bytes": "16777216",
		"max.message.bytes": "10000000", "message.timestamp.after.max.ms": "9223372036854775807",
	}
	for k, v := range more {
		settings[k] = v
	}
	b.makeTopic("orders", 1, settings)
	b.w = b.wire()
	return b
}

// some is a batch of records with ids from one up to another.
func (b *budgeted) some(from, to int) []byte {
	b.Helper()
	ids := make([]int, to-from)
	for i := range ids {
		ids[i] = from + i
	}
	return named(b.T, batch.Header{ProducerID: batch.None}, ids...)
}

// send sends a batch, which is taken.
func (b *budgeted) send(records []byte) {
	b.Helper()
	if err := b.w.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		b.Fatal(err)
	}
	if d := b.w.produced("orders", records); d.ErrorCode != 0 {
		b.Fatalf("%v: %s", code.Error(d.ErrorCode), *d.ErrorMessage)
	}
}

// view is what is told of the window.
func (b *budgeted) view() *WindowView {
	b.Helper()
	return getJSON[[]TopicView](b.node, "/api/v1/topics")[0].Window
}

// used is the bytes of the window's files.
func (b *budgeted) used() (bytes int64) {
	b.Helper()
	dir := b.broker.topics.named("orders").window.dir
	names, err := b.disk.List(dir)
	if err != nil {
		b.Fatal(err)
	}
	for _, name := range names {
		if n, err := b.disk.Stat(filepath.Join(dir, name)); err == nil { // else it has just been removed
			bytes += n
		}
	}
	return bytes
}

// Where the oldest ids may leave early they do when the disk's budget is used up. They
// are counted and told of, are named as what they are, and come again; all others are
// known still. A restart changes nothing of it.
func TestWindowEvicts(t *testing.T) {
	if raced {
		t.Skip("one goroutine, and long")
	}
	const each = 20_000
	b := newBudgeted(t, map[string]string{"hapax.window.full": "evict"})
	next := 0
	for ; b.view().Early < 4*each; next += each {
		if next > 3_000_000 {
			t.Fatal("nothing leaves early")
		}
		b.send(b.some(next, next+each))
		b.clock.pass(30 * time.Second)
		if used := b.used(); used > 18<<20 {
			t.Fatalf("%d bytes are in use", used)
		}
	}
	early := b.view().Early
	if early > int64(next)/2 {
		t.Errorf("%d of %d ids have left", early, next)
	}
	if !b.log.has("identities left before their window ended") {
		t.Error("the log does not tell")
	}
	for _, restarted := range []bool{false, true} {
		if restarted {
			b.restart()
			b.w = b.wire()
		}
		if got := b.view().Early; got != early {
			t.Errorf("restarted %v: %d have left early, and %d had", restarted, got, early)
		}
		if want := fmt.Sprintf(`hapax_window_ids_forgotten_early_total{topic="orders"} %d`, early); !strings.Contains(b.get("/metrics"), want) {
			t.Errorf("restarted %v: the metrics do not tell", restarted)
		}
		if gone := getJSON[IDView](b.node, idPath("5")); gone.Remembered || !gone.Early {
			t.Errorf("restarted %v: the first one: %+v", restarted, gone)
		}
		if last := getJSON[IDView](b.node, idPath(fmt.Sprint(next-1))); !last.Remembered || last.Early {
			t.Errorf("restarted %v: the last one: %+v", restarted, last)
		}
		was := b.view().Records
		b.send(b.some(next-each, next))
		if is := b.view().Records; is.Unique != was.Unique || is.Duplicates != was.Duplicates+each {
			t.Errorf("restarted %v: %+v, and before copies came %+v", restarted, is, was)
		}
	}
	was := b.view().Records
	b.send(b.some(0, 10))
	if is := b.view().Records; is.Unique != was.Unique+10 {
		t.Errorf("%+v, and before early leavers came again %+v", is, was)
	}
	if status, _ := b.ask(idPath("5")); status != http.StatusOK || !getJSON[IDView](b.node, idPath("5")).Remembered {
		t.Error("one that has come again is not remembered")
	}
}

// Copies alone do not fill a window, whose files hold mostly what they have made
// superfluous: all that goes before anything is refused, and the files stay within their
// budget.
func TestCopiesDoNotFillWindow(t *testing.T) {
	if raced {
		t.Skip("one goroutine, and long")
	}
	const each, some = 12_000, 3
	b := newBudgeted(t, map[string]string{"hapax.window.kind": "renewed", "hapax.window.memory.bytes": "4194304"})
	var batches [some][]byte
	for i := range batches {
		batches[i] = b.some(i*each, (i+1)*each)
	}
	var most int64
	for i := range 100 {
		b.send(batches[i%some])
		b.clock.pass(time.Hour / 128)
		most = max(most, b.used())
	}
	t.Logf("at most %d bytes", most)
	if v := b.view(); most > 18<<20+64<<10 || v.Records.Unique != some*each || v.Refused != 0 {
		t.Errorf("%d bytes were in use; %+v", most, v)
	}
	b.send(b.some(some*each, (some+1)*each)) // there is room for new ones
	b.restart()
	b.w = b.wire()
	for i := range batches {
		b.send(batches[i])
	}
	if v := b.view(); v.Records.Duplicates != some*each {
		t.Errorf("after a restart: %+v", v)
	}
}
