package broker

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math/rand"
	"os"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/internal/vfs"
	"github.com/hapaxmq/hapax/ledger"
	"github.com/hapaxmq/hapax/ledgertest"
)

// modelled is a topic with a window beside a model of it: of each id, where its first
// record is, and when it came. From that follows what becomes of each record that is
// sent, which is compared at once, and in the end what is read committed.
type modelled struct {
	*node
	ctx  context.Context
	r    *rand.Rand
	disk *vfs.Mem
	fuse modelFuse
	wall *atomic.Int64 // Unix ms

	scope string
	fates modelFates
	keeps hapax.Window
	mixed bool // other bounds have been set

	memory *ledgertest.Model
	firsts map[hapax.Fingerprint]modelFirst
	sure   time.Time // the window has remembered something last

	gone   string // a topic that copies go to, and that was deleted
	plain  *modelWriter
	open   map[int]*modelTransaction
	parts  int
	sent   int                   // records
	stands map[int]modelStanding // what is read committed, by the records' numbers
}

const modelTopic = "orders"

// modelSides are the topics that copies and conflicts go to, and their partitions.
func modelSides() map[string]int32 { return map[string]int32{"copies": 3, "others": 1} }

// newModelled makes the topic.
func newModelled(t *testing.T, seed int64, keeps hapax.Window) *modelled {
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	t.Cleanup(cancel)
	m := &modelled{ctx: ctx, r: rand.New(rand.NewSource(seed)), disk: vfs.NewMem(), wall: new(atomic.Int64), keeps: keeps}
	m.scope = []string{"topic", "partition", "header:user"}[m.r.Intn(3)]
	m.wall.Store(time.Now().UnixMilli())
	m.node = startWith(t, func(o *Options) {
		o.FS, o.Clock = vfs.NewFault(m.disk, m.fuse.burn), func() time.Time { return time.UnixMilli(m.wall.Load()) }
		o.Settings["hapax.log.file.bytes"] = "262144"
		o.Settings["transaction.max.timeout.ms"] = "86400000"
	})
	m.compacted(ctx, "table", "compact")
	m.begin()
	return m
}

// begin makes the topics anew.
func (m *modelled) begin() {
	m.gone, m.mixed = "", false
	for name, partitions := range modelSides() {
		m.makeTopic(name, partitions, nil)
	}
	m.fates = drawFates(m.r)
	rules := m.fates.settings()
	maps.Copy(rules, modelBounds(m.keeps))
	rules["hapax.identity"], rules["hapax.scope"], rules["hapax.window.kind"] = "header:id", m.scope, m.keeps.Kind.String()
	if m.r.Intn(2) == 0 {
		rules["retention.bytes"] = "3000"
	}
	m.makeTopic(modelTopic, 2, rules)
	m.parts, m.sure = 2, m.now()
	m.memory = ledgertest.NewModel(ledger.Options{Window: m.keeps}, m.now())
	m.open, m.firsts, m.stands = map[int]*modelTransaction{}, map[hapax.Fingerprint]modelFirst{}, map[int]modelStanding{}
	m.plain = m.newPlain()
}

// now is the node's time, as records get it.
func (m *modelled) now() time.Time { return time.UnixMilli(m.broker.time.now().UnixMilli()) }

// modelBounds are the settings of a window's bounds.
func modelBounds(w hapax.Window) map[string]string {
	set := make(map[string]string)
	for name, n := range map[string]int64{"hapax.window.ms": w.Time.Milliseconds(), "hapax.window.count": w.Count, "hapax.window.bytes": w.Bytes} {
		if n > 0 {
			set[name] = strconv.FormatInt(n, 10)
		}
	}
	return set
}

// pass lets time go by, and the machine's clock be set.
func (m *modelled) pass() {
	switch m.r.Intn(20) {
	case 0:
		m.wall.Add(7_000 + m.r.Int63n(3_000))
	case 1:
		m.wall.Add(-m.r.Int63n(5_000))
	case 2, 3:
		m.wall.Add(1_000 + m.r.Int63n(4_000))
	default:
		m.wall.Add(m.r.Int63n(400))
	}
}

// crash cuts the power.
func (m *modelled) crash() {
	m.losePower(&m.disk, m.r)
	m.reopened()
}

// losePower starts a node again with what a loss of power leaves of its disk, which its
// options take from there.
func (n *node) losePower(disk **vfs.Mem, r *rand.Rand) {
	n.Helper()
	left := (*disk).PowerLoss(r)
	if err := n.stop(); err != nil {
		n.Fatal(err)
	}
	*disk = left
	n.start()
}

// cut lets the first records of a partition go.
func (m *modelled) cut() {
	m.Helper()
	p := m.r.Intn(m.parts)
	part := m.partition(int32(p))
	from := part.Start()
	offset := from + m.r.Int63n(part.Limit(false)-from+1)
	var to kadm.Offsets
	to.AddOffset(modelTopic, int32(p), offset, -1)
	if done, err := m.admin().DeleteRecords(m.ctx, to); err != nil || done.Error() != nil {
		m.Fatal(err, done.Error())
	}
}

// grow adds a partition.
func (m *modelled) grow() {
	m.Helper()
	if m.parts == 5 {
		return
	}
	if _, err := m.admin().CreatePartitions(m.ctx, 1, modelTopic); err != nil {
		m.Fatal(err)
	}
	m.parts++
}

// again deletes the topics and makes them anew.
func (m *modelled) again() {
	m.Helper()
	m.check()
	names := slices.Collect(maps.Keys(modelSides()))
	for _, name := range append([]string{modelTopic}, names...) {
		if name == m.gone {
			continue
		}
		if _, err := m.admin().DeleteTopic(m.ctx, name); err != nil {
			m.Fatal(err)
		}
	}
	m.begin()
}

// step does something.
func (m *modelled) step() {
	m.Helper()
	m.pass()
	switch m.r.Intn(60) {
	case 0:
		m.restart()
		m.reopened()
	case 1, 2, 8:
		m.crash()
	case 3:
		m.cut()
		if err := m.broker.retention.once(); err != nil {
			m.Fatal(err)
		}
	case 4:
		m.grow()
	case 5:
		m.again()
	case 6, 7:
		m.broker.windows.keep()
	case 9, 10:
		m.put(m.ctx, m.client(kgo.RecordPartitioner(kgo.ManualPartitioner())), "table", fmt.Sprint(m.r.Intn(3)), "value")
		m.clean()
		m.broker.wal.Trim(0)
	case 11:
		m.plain = m.newPlain()
	case 12:
		m.abandon()
	case 13, 14:
		m.turn()
	case 15, 16:
		m.rebound()
	case 17:
		m.vanish()
	default:
		if m.r.Intn(2) == 0 {
			m.write()
		} else {
			m.transact()
		}
	}
}

// modelledWindows are windows whose ids leave while a course runs.
func modelledWindows() []hapax.Window {
	const long = 8 * time.Second
	all := []hapax.Window{
		{Time: long}, {Time: long, Kind: hapax.Renewed}, {Time: long, Kind: hapax.Tumbling}, {Count: 30}, {Count: 30, Kind: hapax.Renewed},
		{Count: 30, Time: long}, {Bytes: 3000}, {Bytes: 3000, Kind: hapax.Renewed}, {Bytes: 3000, Time: long},
	}
	slices.SortFunc(all, func(a, b hapax.Window) int { return cmp.Compare(a.String(), b.String()) })
	return all
}

func modelCourse(t *testing.T, seed int64, window hapax.Window, steps int) {
	t.Helper()
	m := newModelled(t, seed, window)
	defer func() {
		if t.Failed() {
			t.Logf("seed %d; %d records were sent", seed, m.sent)
		}
	}()
	for range steps {
		if m.step(); t.Failed() {
			return
		}
	}
	m.check()
}

// What becomes of a record sent to a topic with a window is what a map of ids says:
// whether it stands, and where, what headers it gets, what goes to other topics, what is
// refused, and what its producer is told. Records are plain and of transactions, have
// ids or none, and are copies or in conflict; all settings but identity, scope and kind
// change meanwhile, the node is restarted and loses power, the clock is set, records go,
// others are compacted, partitions are added, and the topic is made anew. Inside its
// window an id is never accepted again, and from 1/128 of the window later on it is.
func TestWindowAgreesWithModel(t *testing.T) {
	t.Parallel()
	for i, window := range modelledWindows() {
		t.Run(window.String(), func(t *testing.T) {
			t.Parallel()
			for seed := range int64(6) {
				modelCourse(t, 100*seed+int64(i), window, 130)
			}
		})
	}
}

// TestTortureWindowAgreesWithModel does so for as long as HAPAX_TORTURE says.
func TestTortureWindowAgreesWithModel(t *testing.T) {
	limit, err := time.ParseDuration(os.Getenv("HAPAX_TORTURE"))
	if err != nil {
		t.Skip("set HAPAX_TORTURE to a length of time")
	}
	for began, seed := time.Now(), time.Now().UnixNano(); time.Since(began) < limit && !t.Failed(); seed++ {
		for _, window := range modelledWindows() {
			t.Run(fmt.Sprintf("%v, seed %d", window, seed), func(t *testing.T) { modelCourse(t, seed, window, 300) })
		}
	}
}
