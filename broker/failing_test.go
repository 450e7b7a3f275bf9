package broker

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/hapaxmq/hapax/broker/batch"
	"github.com/hapaxmq/hapax/broker/code"
	"github.com/hapaxmq/hapax/broker/txn"
	"github.com/hapaxmq/hapax/internal/vfs"
	"github.com/hapaxmq/hapax/internal/wal"
)

// failing is a node on a disk that may fail, and a client of it which goes step by
// step through a script.
type failing struct {
	*node
	hook  vfs.Hook // which counts on when the disk becomes another
	mem   *vfs.Mem
	fault *vfs.Fault
	w     *wire
	open  bool // the node is
	said  said

	refused code.Error // what ended the step: an answer
	failed  error      // or what the node itself was to do
}

// said is what a node logs.
type said struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *said) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(b)
}

func (s *said) has(text string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Contains(s.b.String(), text)
}

// newFailing is a node that is not open yet.
func newFailing(t *testing.T, hook vfs.Hook) *failing {
	f := &failing{hook: hook}
	f.node = &node{T: t, dir: "/node", addr: "127.0.0.1:0", clock: fixedClock, adapt: func(o *Options) {
		o.Settings["hapax.log.file.bytes"] = "65536"
		o.Logger = slog.New(slog.NewTextHandler(&f.said, nil))
	}}
	f.on(vfs.NewMem())
	f.w = &wire{T: t, unwanted: func(c code.Error) {
		f.refused = c
		runtime.Goexit()
	}}
	return f
}

// on gives the node a disk.
func (f *failing) on(m *vfs.Mem) {
	f.mem, f.fault = m, vfs.NewFault(m, f.hook)
	f.fs = f.fault
}

// perform does a step, and tells whether it was done.
func (f *failing) perform(do func()) (done bool) {
	f.refused, f.failed = code.None, nil
	var doing sync.WaitGroup
	doing.Go(func() {
		do()
		done = true
	})
	doing.Wait()
	return done
}

// must ends the step if the node could not do its part.
func (f *failing) must(err error) {
	if err != nil {
		f.failed = err
		runtime.Goexit()
	}
}

func (f *failing) begin() {
	f.addr = "127.0.0.1:0" // somebody else may have the port of before
	f.must(f.node.open())
	f.open = true
	f.w.Conn = f.wire().Conn
	f.must(f.w.SetDeadline(time.Time{}))
}

func (f *failing) end() {
	f.open = false
	_ = f.w.Conn.Close() // it was the client's
	f.must(f.stop())
}

// kill gives the node the disk that a kill or power loss leaves, and ends it where
// that makes no difference.
func (f *failing) kill(left func(*vfs.Mem) *vfs.Mem) {
	m := left(f.mem)
	f.fault.SetHook(nil)
	_ = f.perform(f.end)
	f.on(m)
}

// clean does what the cleaner has to do, which is nothing when the log has failed.
func (f *failing) clean() {
	f.must(f.broker.cleaner.once(f.Context()))
	f.must(f.broker.wal.Err())
}

// expire lets go what is kept no longer. The node waits for no sync then: here it is
// on the disk behind the step, or the step fails.
func (f *failing) expire() {
	f.must(f.broker.retention.once())
	f.must(f.broker.wal.Sync(f.broker.wal.End()))
}

// script has something of everything that is done to the disk.
func (f *failing) script() []step {
	w := f.w
	steps := []step{{name: "open", do: f.begin}}
	one := func(name string, do func()) { steps = append(steps, step{name: name, do: do}) }
	several := func(name string, do func()) { steps = append(steps, step{name, true, do}) }
	var to [3]*writer // one for each topic
	for i := range to {
		to[i] = &writer{wire: w, producer: txn.Producer{ID: int64(80 + i)}, next: map[int32]int32{}}
	}
	write := func(by *writer, topic, key, value string) func() {
		return func() {
			c, _ := by.produce(9, topic, 0, by.batchOf(0, batch.Record{Key: []byte(key), Value: []byte(value)}, false))
			w.want(code.None, int16(c))
			by.next[0]++
		}
	}
	restart := func() {
		one("stop", f.end)
		one("open again", f.begin)
	}
	killed := func(left func(*vfs.Mem) *vfs.Mem) {
		one("kill", func() { f.kill(left) })
		one("recover", f.begin)
	}
	steps = append(steps, f.node.script(w, 2)...)
	killed((*vfs.Mem).KillCopy)
	one("make a topic that is compacted", func() {
		w.makeTopic("prices", 1, [2]string{"cleanup.policy", "compact"}, [2]string{"segment.bytes", "14"}, [2]string{"min.cleanable.dirty.ratio", "0"})
	})
	one("make a topic that keeps little", func() { w.makeTopic("last", 1, [2]string{"retention.bytes", "100"}) })
	one("make a topic of small batches", func() { w.makeTopic("small", 1) })
	for i := range 10 {
		one("write a key", write(to[0], "prices", fmt.Sprint("k", i%2), fmt.Sprint(i)))
		one("write a small batch", write(to[1], "small", "", strings.Repeat("-", 7500)))
		one("write what is kept for a while", write(to[2], "last", "", strings.Repeat("-", 90)))
	}
	restart()
	several("compact, regroup, reclaim", f.clean)
	one("write a key", write(to[0], "prices", "k0", "new"))
	several("let old records go", f.expire)
	several("compact again", f.clean)
	killed(func(m *vfs.Mem) *vfs.Mem { return m.PowerLoss(nil) })
	one("write after all", write(to[1], "small", "", "more"))
	one("stop", f.end)
	return steps
}

// healthy is the script on a disk that does not fail: the state before each step and
// behind the last, and how many operations there were.
func healthy(t *testing.T) (states []state, ops int) {
	var count atomic.Int64
	f := newFailing(t, func(vfs.Op, string) error {
		count.Add(1)
		return nil
	})
	passes, regrouped := uint64(0), uint64(0)
	keep := func() {
		s, err := opened(f.mem.KillCopy(), f.dir)
		if err != nil {
			t.Fatal(err)
		}
		states = append(states, s.unnamed())
	}
	keep()
	for _, s := range f.script() {
		if !f.perform(s.do) {
			t.Fatalf("%s: %v, %v", s.name, f.refused, f.failed)
		}
		counts := &f.broker.cleaner.counts
		passes, regrouped = max(passes, counts.passes.Load()), max(regrouped, counts.regrouped.Load())
		keep()
	}
	if passes == 0 || regrouped == 0 {
		t.Errorf("%d compactions, %d bytes regrouped", passes, regrouped)
	}
	if last := states[len(states)-1]["partition last/0"]; strings.HasPrefix(last, "from 0 ") {
		t.Errorf("retention does nothing: %s", last)
	}
	return states, int(count.Load())
}

// unnamed leaves out what is another in each course.
func (s state) unnamed() state {
	maps.DeleteFunc(s, func(name, _ string) bool { return strings.HasPrefix(name, idOf) })
	return s
}

// Each operation of the disk fails once, or it is full from there on. The node goes
// on, or takes nothing more and says so: KAFKA_STORAGE_ERROR to clients, and why in
// its own log. What was acknowledged before can be read, and is there on a disk that
// works, also if power is lost meanwhile; of what was not, all or nothing.
func TestFailureOfEachDiskOperation(t *testing.T) {
	of := 7
	if raced {
		of = 31
	}
	failDisk(t, of)
}

// TestTortureFailingDisk does so at all operations, not at some.
func TestTortureFailingDisk(t *testing.T) {
	if os.Getenv("HAPAX_TORTURE") == "" {
		t.Skip("set HAPAX_TORTURE to a length of time")
	}
	failDisk(t, 1)
}

// failDisk fails one of so many operations.
func failDisk(t *testing.T, of int) {
	t.Helper()
	states, ops := healthy(t)
	ended := map[string]int{}
	for op := 0; op < ops && !t.Failed(); op += of {
		for _, d := range []disk{
			{fmt.Sprintf("operation %d fails", op), syscall.EIO, vfs.FailNth(op, syscall.EIO)},
			{fmt.Sprintf("full from operation %d on", op), syscall.ENOSPC, fullFrom(op)},
		} {
			ended[d.play(t, states)]++
		}
	}
	t.Logf("%d operations; how courses ended: %v", ops, ended)
}

// disk is how one fails.
type disk struct {
	what  string
	cause syscall.Errno
	hook  vfs.Hook
}

// fullFrom returns a hook as of a disk that has no room from operation n on.
func fullFrom(n int) vfs.Hook {
	var mu sync.Mutex
	seen := 0
	return func(op vfs.Op, _ string) error {
		mu.Lock()
		defer mu.Unlock()
		if seen++; seen <= n {
			return nil
		}
		switch op {
		case vfs.OpCreate, vfs.OpMkdirAll, vfs.OpRename, vfs.OpSync:
			return syscall.ENOSPC
		case vfs.OpWrite:
			return vfs.Short(11, syscall.ENOSPC)
		}
		return nil
	}
}

// play goes through the script as far as it goes on the disk, and returns what ended
// it.
func (d disk) play(t *testing.T, states []state) string {
	f := newFailing(t, d.hook)
	steps := f.script()
	for i := range steps {
		s, again := &steps[i], 0
		done := f.perform(s.do)
		for ; !done && d.goesOn(f) && again < 2; again++ {
			done = f.perform(s.do) // it comes by itself at the next time
		}
		if done {
			continue
		}
		d.what += ", at step " + s.name
		may := states[i : i+2]
		d.judge(f, may, s.parts)
		return s.name
	}
	d.reopened(t, "at last", f.mem.KillCopy(), states[len(states)-1:], false)
	return "nothing"
}

// goesOn tells whether what failed was nobody's request, and harmed nothing.
func (d disk) goesOn(f *failing) bool {
	return f.open && f.failed != nil && f.broker.wal.Err() == nil && errors.Is(f.failed, d.cause)
}

// judge looks at a node that has failed, and at what it leaves.
func (d disk) judge(f *failing, may []state, parts bool) {
	f.Helper()
	if f.failed != nil && !errors.Is(f.failed, d.cause) {
		f.Errorf("%s: %v, and the cause is %v", d.what, f.failed, d.cause)
	}
	if f.failed == nil && f.refused != code.KafkaStorageError {
		f.Errorf("%s: a client is told %v", d.what, f.refused)
	}
	d.leaves(f, "as it is", may, parts)
	if f.open {
		d.readOnly(f, may)
		if failed := !f.perform(f.end); !failed || !errors.Is(f.failed, d.cause) {
			f.Errorf("%s: closed: %v", d.what, f.failed)
		}
		if !f.said.has("the log has failed") || !f.said.has(d.cause.Error()) {
			f.Errorf("%s: it does not say so: %s", d.what, f.said.b.String())
		}
		d.leaves(f, "closed", may, parts)
	}
	// On the same disk, while it fails still if it does, and then with all well.
	if !f.perform(f.begin) {
		if !errors.Is(f.failed, d.cause) {
			f.Errorf("%s: opened again: %v", d.what, f.failed)
		}
		d.leaves(f, "not opened", may, parts)
		f.fault.SetHook(nil)
		f.perform(f.begin)
	}
	f.fault.SetHook(nil)
	if f.failed != nil {
		f.Errorf("%s: opened in the end: %v", d.what, f.failed)
		return
	}
	if d.cause == syscall.EIO || f.broker.wal.Err() == nil {
		d.serves(f)
	}
	_ = f.perform(f.end)
}

// readOnly demands that a node takes nothing, and shows what it has acknowledged.
func (d disk) readOnly(f *failing, may []state) {
	f.Helper()
	if err := f.broker.wal.Err(); !errors.Is(err, wal.ErrReadOnly) || !errors.Is(err, d.cause) {
		f.Errorf("%s: the log: %v", d.what, err)
	}
	for range 2 {
		if f.perform(func() { f.w.makeTopic("more", 1) }) || f.refused != code.KafkaStorageError {
			f.Errorf("%s: the next request is told %v", d.what, f.refused)
		}
	}
	now, err := stateOf(f.broker)
	if err != nil {
		f.Errorf("%s: read: %v", d.what, err)
	}
	shows := func(s state) state {
		s = maps.Clone(s)
		maps.DeleteFunc(s, func(name, _ string) bool {
			return !strings.HasPrefix(name, "partition ") || strings.Contains(name, ", producer ")
		})
		return s
	}
	if err := shows(now).among([]state{shows(may[0]), shows(may[1])}, true); err != nil {
		f.Errorf("%s: what is shown: %v", d.what, err)
	}
}

// serves demands that a node on a disk that is well again does its work.
func (d disk) serves(f *failing) {
	f.Helper()
	if !f.perform(func() { f.w.makeTopic("afterwards", 1) }) {
		f.Errorf("%s: with all well, a client is told %v", d.what, f.refused)
	}
}

// leaves looks at what the disk may hold now.
func (d disk) leaves(f *failing, when string, may []state, parts bool) {
	f.Helper()
	d.reopened(f.T, when, f.mem.KillCopy(), may, parts)
	d.reopened(f.T, when+", strictest power loss", f.mem.PowerLoss(nil), may, parts)
	d.reopened(f.T, when+", power loss", f.mem.PowerLoss(rand.New(rand.NewSource(1))), may, parts)
}

func (d disk) reopened(t *testing.T, when string, m *vfs.Mem, may []state, parts bool) {
	t.Helper()
	got, err := opened(m, "/node")
	if err == nil {
		err = got.unnamed().among(may, parts)
	}
	if err != nil {
		t.Errorf("%s, %s: %v", d.what, when, err)
	}
}
