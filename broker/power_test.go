package broker

import (
	"bytes"
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"maps"
	"math/rand"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/hapaxmq/hapax/broker/code"
	"github.com/hapaxmq/hapax/broker/txn"
	"github.com/hapaxmq/hapax/internal/vfs"
)

// state is all that a node is to know after a restart, by what it is about.
type state map[string]string

// idOf begins what is known of a topic's id, which is another in each course.
const idOf = "id of topic "

// stateOf reads a node's state.
func stateOf(b *Broker) (state, error) {
	s := state{}
	for _, t := range b.topics.list() {
		s[idOf+t.name] = fmt.Sprint(t.id)
		s["topic "+t.name] = fmt.Sprint(len(t.partitions), t.settings)
		for i, p := range t.partitions {
			name := fmt.Sprintf("partition %s/%d", t.name, i)
			all, err := p.Read(p.Start(), 1<<30, true, false)
			if err != nil {
				return nil, err
			}
			records, err := b.records.load(all.Extents)
			if err != nil {
				return nil, err
			}
			sum := fnv.New64a()
			_, _ = sum.Write(records) // it never fails
			stable, err := p.Read(p.Start(), 1<<30, true, true)
			if err != nil {
				return nil, err
			}
			var aborted []string
			for _, a := range stable.Aborted {
				aborted = append(aborted, fmt.Sprint(a.Producer, " ", a.First, "–", a.Last))
			}
			s[name] = fmt.Sprintf("from %d to %d, stable to %d, %d bytes %x, aborted %v",
				all.Start, all.High, all.Stable, len(records), sum.Sum64(), aborted)
			for _, known := range p.Producers() {
				s[fmt.Sprintf("%s, producer %d", name, known.ID)] = fmt.Sprintf("%+v", known)
			}
		}
	}
	var events []string
	note := func(event []byte) error {
		for _, t := range b.topics.list() {
			event = bytes.ReplaceAll(event, t.id[:], []byte(t.name))
		}
		events = append(events, fmt.Sprintf("%q", event))
		return nil
	}
	if err := b.txns.snapshot(note); err != nil {
		return nil, err
	}
	s["transactions"], events = strings.Join(events, "\n"), nil
	if err := b.groups.snapshot(note); err != nil {
		return nil, err
	}
	s["groups"] = strings.Join(events, "\n")
	return s, nil
}

// differs names what is another in two states.
func (s state) differs(other state) (names []string) {
	for name := range s {
		if v, ok := other[name]; !ok || v != s[name] {
			names = append(names, name)
		}
	}
	for name := range other {
		if _, ok := s[name]; !ok {
			names = append(names, name)
		}
	}
	return names
}

// step is a request that a scripted client makes, and waits for.
type step struct {
	name  string
	parts bool // it is several events in the log, which need not all be there
	do    func()
}

// powered is a node whose disk is looked at before each operation that changes it.
type powered struct {
	*node
	mem *vfs.Mem

	mu     sync.Mutex
	states []state
	images []image
}

// image is what a disk may hold.
type image struct {
	what string
	disk *vfs.Mem
	from int // the last state that was told to somebody
}

func fixedClock() time.Time { return time.UnixMilli(1_700_000_000_000) }

func changes() (ops []vfs.Op) {
	for op := vfs.Op(0); op <= vfs.OpClose; op++ {
		if op.Changes() {
			ops = append(ops, op)
		}
	}
	return ops
}

// look keeps what the disk may hold now.
func (p *powered) look(op vfs.Op, name string) error {
	if !op.Changes() {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	from := len(p.states) - 1
	what := fmt.Sprintf("before %v %s", op, name)
	seed := int64(len(p.images))
	p.images = append(p.images,
		image{what + ", strictest power loss", p.mem.PowerLoss(nil), from},
		image{fmt.Sprintf("%s, power loss with seed %d", what, seed), p.mem.PowerLoss(rand.New(rand.NewSource(seed))), from},
		image{what + ", kill", p.mem.KillCopy(), from})
	return nil
}

// note takes over what the node knows by now, and gives the images of since.
func (p *powered) note() []image {
	p.Helper()
	s, err := stateOf(p.broker)
	if err != nil {
		p.Fatal(err)
	}
	again, err := opened(p.mem.KillCopy(), p.dir)
	if err != nil {
		p.Fatal(err)
	}
	s["groups"] = again["groups"] // since when one is empty, a restart sets anew
	if names := again.differs(s); len(names) > 0 {
		p.Errorf("killed while nothing is under way: another state of %s: %s, was %s", names, again[names[0]], s[names[0]])
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.states = append(p.states, s)
	images := p.images
	p.images = nil
	return images
}

// opened is the state of a node that is opened on a disk.
func opened(fsys vfs.FS, dir string) (s state, err error) {
	b, err := Open(dir, Options{
		Listeners: []Listener{{Address: "127.0.0.1:0"}}, Settings: Settings{"hapax.log.file.bytes": "65536"},
		FS: fsys, Clock: fixedClock, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return nil, err
	}
	s, err = stateOf(b)
	return s, errors.Join(err, b.Close())
}

// among demands that a state is one of those from one on, or of parts of them.
func (p *powered) among(what string, got state, from int, parts bool) {
	p.Helper()
	if err := got.among(p.states[from:], parts); err != nil {
		p.Errorf("%s: %v", what, err)
	}
}

// among is an error unless a state is one of some, or with parts if each part of it is
// one of theirs.
func (s state) among(states []state, parts bool) error {
	var nearest []string
	left := map[string]bool{}
	for name := range s {
		left[name] = true
	}
	for i, other := range states {
		names := s.differs(other)
		if len(names) == 0 {
			return nil
		}
		if i == 0 || len(names) < len(nearest) {
			nearest = names
		}
		maps.DeleteFunc(left, func(name string, _ bool) bool { return !slices.Contains(names, name) })
	}
	if parts && len(left) == 0 {
		return nil
	}
	slices.Sort(nearest)
	var b strings.Builder
	for _, name := range nearest {
		fmt.Fprintf(&b, "\n%s\n  is   %s", name, s[name])
		for _, other := range states {
			fmt.Fprintf(&b, "\n  want %s", other[name])
		}
	}
	return fmt.Errorf("the state is none of those it may be: %s", b.String())
}

// Power is lost, or the process killed, before each operation that changes the disk,
// of a course that has something of everything. Who opens the node afterwards finds
// all that was acknowledged, and of the request under way all or nothing.
//
// The same, for some of these disks, if the node is killed while it is opened, before
// each operation: who comes then finds what would have been found without.
func TestPowerLossAtEachOperation(t *testing.T) {
	losePower(t, func(step, image int) bool { return (31*step+image)%149 == 2 })
}

// TestTorturePowerLoss kills the opening of more disks.
func TestTorturePowerLoss(t *testing.T) {
	if os.Getenv("HAPAX_TORTURE") == "" {
		t.Skip("set HAPAX_TORTURE to a length of time")
	}
	losePower(t, func(_, image int) bool { return image < 3 })
}

// losePower opens all disks, and kills the opening of those that are chosen.
func losePower(t *testing.T, chosen func(step, image int) bool) {
	t.Helper()
	p := &powered{mem: vfs.NewMem()}
	p.node = &node{T: t, dir: "/node", addr: "127.0.0.1:0", fs: vfs.NewFault(p.mem, p.look), clock: fixedClock,
		adapt: func(o *Options) {
			o.Settings["hapax.log.file.bytes"] = "65536"
			o.Settings["log.cleaner.backoff.ms"] = "1" // old records move all the time
		}}
	p.start()
	p.states, p.images = nil, nil
	p.note()
	w := p.wire()
	if err := w.SetDeadline(time.Time{}); err != nil { // whoever looks at disks takes a while
		t.Fatal(err)
	}
	images, restarts := 0, 0
	for i, step := range p.script(w, 4) {
		step.do()
		found := p.note()
		what := fmt.Sprintf("step %d, %s: ", i, step.name)
		for k, x := range found {
			again := x.disk.KillCopy()
			got, err := opened(x.disk, p.dir)
			if err != nil {
				t.Fatalf("%s%s: %v", what, x.what, err)
			}
			p.among(what+x.what, got, x.from, step.parts)
			images++
			if chosen(i, k) {
				restarts += p.killOpening(what+x.what, again, got, x.from, step.parts)
			}
			if t.Failed() {
				return
			}
		}
	}
	t.Logf("%d disks in %d steps, %d kills while opening", images, len(p.states)-1, restarts)
	if err := p.stop(); err != nil {
		t.Error(err)
	}
}

// killOpening kills the opening of a disk before each operation.
func (p *powered) killOpening(what string, disk *vfs.Mem, want state, from int, parts bool) (kills int) {
	p.Helper()
	killed := errors.New("killed")
	for op := 0; ; op++ {
		m := disk.KillCopy()
		_, failed := opened(vfs.NewFault(m, vfs.FailFrom(op, killed, changes()...)), p.dir)
		if failed != nil && !errors.Is(failed, killed) {
			p.Fatalf("%s, and the opening killed before operation %d: %v", what, op, failed)
		}
		lost := m.PowerLoss(rand.New(rand.NewSource(int64(op))))
		got, err := opened(m.KillCopy(), p.dir)
		if err != nil {
			p.Fatalf("%s, then killed before operation %d: %v", what, op, err)
		}
		if names := got.differs(want); len(names) > 0 {
			p.Errorf("%s, then killed before operation %d: another state of %v", what, op, names)
		}
		if got, err = opened(lost, p.dir); err != nil {
			p.Fatalf("%s, then power loss before operation %d: %v", what, op, err)
		}
		p.among(fmt.Sprintf("%s, then power loss before operation %d", what, op), got, from, parts)
		if failed == nil || p.Failed() {
			return kills
		}
		kills++
	}
}

// script is a course of several rounds that has something of everything.
func (n *node) script(w *wire, rounds int64) (steps []step) {
	long := strings.Repeat("-", 11<<10)
	one := func(name string, do func()) { steps = append(steps, step{name: name, do: do}) }
	several := func(name string, do func()) { steps = append(steps, step{name, true, do}) }
	plain := &writer{wire: w, producer: txn.Producer{ID: 77}, next: map[int32]int32{}}
	newer, older := &writer{wire: w, id: "newer", newer: true}, &writer{wire: w, id: "older"}
	write := func(topic string, partition int32) func() {
		return func() {
			c, _ := plain.produce(9, topic, partition, plain.batch(partition, long, false))
			w.want(code.None, int16(c))
			plain.next[partition]++
		}
	}
	one("make a topic", func() { w.makeTopic("a", 2) })
	for round := range rounds {
		one("write", write("a", 0))
		one("write", write("a", 1))
		one("the old protocol: init", func() { older.init(60_000) })
		one("the old protocol: add", func() { w.want(code.None, int16(older.add("a", 0, 1))) })
		for partition := range int32(2) {
			one("the old protocol: write", func() {
				c, _ := older.produce(9, "a", partition, older.batch(partition, long, true))
				w.want(code.None, int16(c))
				older.next[partition]++
			})
		}
		several("the old protocol: offsets", func() { older.offset("g", "a", round) })
		if round%2 == 0 {
			one("the old protocol: end", func() { w.want(code.None, int16(older.end(round == 0))) })
		}
		one("init, which ends what is open", func() { newer.init(60_000) })
		several("write in a transaction", func() { newer.write("a", 0, long) })
		several("write in a transaction, elsewhere", func() { newer.write("a", 1, "short") })
		several("offsets in a transaction", func() { newer.offset("h", "a", round) })
		one("write between", write("a", 1))
		one("end", func() { w.want(code.None, int16(newer.end(round != 2))) })
		several("write in the next transaction", func() { newer.write("a", 0, "left open") })
		one("commit an offset", func() { w.commitOffset("i", "a", round) })
		one("delete records", func() { w.deleteRecords("a", 0, 1+2*round) })
		one("make another topic", func() { w.makeTopic("b", 1) })
		one("write to it", func() {
			plain.next[0], plain.producer.Epoch = 0, plain.producer.Epoch+1
			write("b", 0)()
			plain.next[0], plain.next[1], plain.producer.Epoch = 0, 0, plain.producer.Epoch+1
		})
		several("delete it", func() { w.deleteTopic("b") })
	}
	return steps
}

func (w *wire) makeTopic(name string, partitions int32, settings ...[2]string) {
	w.Helper()
	req := kmsg.NewPtrCreateTopicsRequest()
	topic := kmsg.NewCreateTopicsRequestTopic()
	topic.Topic, topic.NumPartitions, topic.ReplicationFactor = name, partitions, 1
	for _, s := range settings {
		topic.Configs = append(topic.Configs, kmsg.CreateTopicsRequestTopicConfig{Name: s[0], Value: &s[1]})
	}
	req.Topics = append(req.Topics, topic)
	w.want(code.None, ask[*kmsg.CreateTopicsResponse](w, 5, req).Topics[0].ErrorCode)
}

func (w *wire) deleteTopic(name string) {
	w.Helper()
	req := kmsg.NewPtrDeleteTopicsRequest()
	req.TopicNames = []string{name}
	w.want(code.None, ask[*kmsg.DeleteTopicsResponse](w, 4, req).Topics[0].ErrorCode)
}

func (w *wire) deleteRecords(topic string, partition int32, offset int64) {
	w.Helper()
	req := kmsg.NewPtrDeleteRecordsRequest()
	p := kmsg.NewDeleteRecordsRequestTopicPartition()
	p.Partition, p.Offset = partition, offset
	req.Topics = []kmsg.DeleteRecordsRequestTopic{{Topic: topic, Partitions: []kmsg.DeleteRecordsRequestTopicPartition{p}}}
	w.want(code.None, ask[*kmsg.DeleteRecordsResponse](w, 2, req).Topics[0].Partitions[0].ErrorCode)
}

func (w *wire) commitOffset(group, topic string, offset int64) {
	w.Helper()
	req := kmsg.NewPtrOffsetCommitRequest()
	req.Group, req.Generation = group, -1
	p := kmsg.NewOffsetCommitRequestTopicPartition()
	p.Offset = offset
	req.Topics = []kmsg.OffsetCommitRequestTopic{{Topic: topic, Partitions: []kmsg.OffsetCommitRequestTopicPartition{p}}}
	w.want(code.None, ask[*kmsg.OffsetCommitResponse](w, 8, req).Topics[0].Partitions[0].ErrorCode)
}
