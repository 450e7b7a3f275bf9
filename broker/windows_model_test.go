package broker

import (
	"cmp"
	"context"
	"crypto/sha256"
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
	"github.com/hapaxmq/hapax/broker/batch"
	"github.com/hapaxmq/hapax/internal/vfs"
	"github.com/hapaxmq/hapax/ledger"
	"github.com/hapaxmq/hapax/ledgertest"
)

// modelled is a topic with a window beside a model of it: of each id, when its first
// record came. Whether a record stands in the log is compared at once, and in the end
// what is read committed.
type modelled struct {
	*node
	ctx   context.Context
	r     *rand.Rand
	disk  *vfs.Mem
	wall  *atomic.Int64 // Unix ms
	rules map[string]string
	keeps hapax.Window
	drops bool // or it only counts

	plain  *kgo.Client
	model  *ledgertest.Model
	open   map[int]*modelTransaction
	stands []map[int64]string // by partition and offset: what is read committed
}

// modelTransaction is open, and has its records from an offset on.
type modelTransaction struct {
	*kgo.Client
	at    int // the partition of all its records; -1: any
	wrote []modelRecord
}

// modelRecord is one that stands in the log.
type modelRecord struct {
	partition int32
	ledger.Entry
	text string
}

// newModelled makes the topic.
func newModelled(t *testing.T, seed int64, rules map[string]string, keeps hapax.Window) *modelled {
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	t.Cleanup(cancel)
	m := &modelled{ctx: ctx, r: rand.New(rand.NewSource(seed)), disk: vfs.NewMem(), wall: new(atomic.Int64), rules: rules, keeps: keeps}
	m.wall.Store(time.Now().UnixMilli())
	m.node = startWith(t, func(o *Options) {
		o.FS, o.Clock = m.disk, func() time.Time { return time.UnixMilli(m.wall.Load()) }
		o.Settings["hapax.log.file.bytes"] = "262144"
		o.Settings["transaction.max.timeout.ms"] = "86400000"
	})
	m.compacted(ctx, "table", "compact")
	m.begin()
	return m
}

const modelTopic = "orders"

// begin makes the topic anew.
func (m *modelled) begin() {
	m.makeTopic(modelTopic, 2, m.rules)
	m.model = ledgertest.NewModel(ledger.Options{Window: m.keeps}, m.broker.time.now())
	m.open, m.drops = map[int]*modelTransaction{}, true
	m.stands = []map[int64]string{{}, {}}
	m.writer()
}

// writer takes another producer for records without transactions.
func (m *modelled) writer() {
	if m.plain != nil {
		m.plain.Close()
	}
	codecs := []kgo.CompressionCodec{kgo.NoCompression(), kgo.GzipCompression(), kgo.ZstdCompression(), kgo.Lz4Compression(), kgo.SnappyCompression()}
	m.plain = m.client(kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.MetadataMinAge(10*time.Millisecond), kgo.ProducerBatchCompression(codecs[m.r.Intn(len(codecs))]))
}

// some sends some records to a partition, and tells what became of them, in their
// order.
func (m *modelled) some(c *kgo.Client, partition int32) (sent []modelRecord, stands []bool) {
	m.Helper()
	m.model.SetTime(time.UnixMilli(m.broker.time.now().UnixMilli()))
	var records []*kgo.Record
	for range 1 + m.r.Intn(6) {
		id, user := m.r.Intn(60), m.r.Intn(2)
		x := modelRecord{partition: partition, text: fmt.Sprintf("%d=value of %d", id, id)}
		x.Fingerprint = m.print(partition, id, user)
		if !m.drops && m.model.Recall(x.Fingerprint) == ledgertest.Open {
			continue // there is no telling what it was
		}
		records = append(records, &kgo.Record{
			Topic: modelTopic, Partition: partition, Key: fmt.Append(nil, id), Value: fmt.Append(nil, "value of ", id),
			Headers: []kgo.RecordHeader{{Key: "id", Value: fmt.Append(nil, id)}, {Key: "user", Value: fmt.Append(nil, user)}},
		})
		sent = append(sent, x)
	}
	if err := c.ProduceSync(m.ctx, records...).FirstErr(); err != nil {
		m.Fatal(err)
	}
	for i, r := range records {
		sent[i].Offset = r.Offset
	}
	slices.SortFunc(sent, func(a, b modelRecord) int { return cmp.Compare(a.Offset, b.Offset) })
	for i := range sent {
		stands = append(stands, m.isThere(partition, sent[i].Offset))
	}
	return sent, stands
}

// print names an id where it is one.
func (m *modelled) print(partition int32, id, user int) hapax.Fingerprint {
	scope := ""
	switch m.rules["hapax.scope"] {
	case "partition":
		scope = strconv.Itoa(int(partition))
	case "header:user":
		scope = strconv.Itoa(user)
	}
	sum := sha256.Sum256(fmt.Append(nil, scope, " ", id))
	return hapax.Fingerprint(sum[:])
}

// isThere tells whether a record stands in the log.
func (m *modelled) isThere(partition int32, offset int64) (is bool) {
	m.Helper()
	p := m.broker.topics.named(modelTopic).partitions[partition]
	found, err := p.Read(offset, 1, true, false)
	if err != nil || len(found.Extents) == 0 {
		m.Fatalf("partition %d has nothing at offset %d: %v", partition, offset, err)
	}
	b, err := m.broker.records.load(found.Extents[:1])
	var d batch.Decoder
	if err == nil {
		err = eachBatch(b, func(one []byte) error {
			h, err := batch.ReadHeader(one)
			if err != nil || h.Attributes.Has(batch.Control) {
				return err
			}
			for r, err := range d.Records(one) {
				if err != nil {
					return err
				}
				is = is || h.BaseOffset+int64(r.OffsetDelta) == offset
			}
			return nil
		})
	}
	if err != nil {
		m.Fatal(err)
	}
	return is
}

// judge compares what became of a record with what may become of it by the model.
func (m *modelled) judge(x modelRecord, stands bool) {
	m.Helper()
	switch x.Verdict = hapax.Duplicate; {
	case !m.drops && m.model.Recall(x.Fingerprint) == ledgertest.Gone, m.drops && stands:
		x.Verdict = hapax.Fresh
	case !m.drops && !stands:
		m.Fatalf("%q is left out at offset %d of partition %d, though copies are only counted", x.text, x.Offset, x.partition)
	}
	if err := m.model.Admitted(&ledger.Batch{Entries: []ledger.Entry{x.Entry}}); err != nil {
		m.Fatalf("%q at offset %d of partition %d: %v", x.text, x.Offset, x.partition, err)
	}
	if stands {
		m.stands[x.partition][x.Offset] = x.text
	}
}

// write sends records without a transaction.
func (m *modelled) write() {
	m.Helper()
	sent, stands := m.some(m.plain, int32(m.r.Intn(len(m.stands))))
	for i, x := range sent {
		m.judge(x, stands[i])
	}
}

// transact goes on with a transaction, or begins or ends one.
func (m *modelled) transact() {
	m.Helper()
	n := m.r.Intn(3)
	t := m.open[n]
	if t == nil {
		c := m.client(kgo.TransactionalID(fmt.Sprint("writer", n)), kgo.TransactionTimeout(24*time.Hour), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.MetadataMinAge(10*time.Millisecond))
		if err := c.BeginTransaction(); err != nil {
			m.Fatal(err)
		}
		t = &modelTransaction{Client: c, at: m.r.Intn(len(m.stands))}
		if m.keeps.Count == 0 && m.keeps.Bytes == 0 {
			t.at = -1 // which ids come first is all the same
		}
		m.open[n] = t
	}
	if m.r.Intn(3) > 0 {
		at := t.at
		if at < 0 {
			at = m.r.Intn(len(m.stands))
		}
		m.writeWithin(t, int32(at))
		return
	}
	commit := kgo.TransactionEndTry(m.r.Intn(3) > 0)
	m.model.SetTime(time.UnixMilli(m.broker.time.now().UnixMilli()))
	if err := t.EndTransaction(m.ctx, commit); err != nil {
		m.Fatal(err)
	}
	t.Close()
	if delete(m.open, n); commit {
		m.committed(t)
	}
}

// writeWithin sends records in a transaction.
func (m *modelled) writeWithin(t *modelTransaction, partition int32) {
	m.Helper()
	sent, stands := m.some(t.Client, partition)
	for i, x := range sent {
		has := slices.ContainsFunc(t.wrote, func(w modelRecord) bool { return w.Fingerprint == x.Fingerprint })
		switch recall := m.model.Recall(x.Fingerprint); {
		case stands[i]:
			if m.drops && (has || recall == ledgertest.Kept) {
				m.Fatalf("%q stands at offset %d of partition %d, in a transaction: is it in it before: %v; the window: %v", x.text, x.Offset, partition, has, recall)
			}
			t.wrote = append(t.wrote, x)
		case !m.drops || !has && recall == ledgertest.Gone:
			m.Fatalf("%q is left out of a transaction at offset %d of partition %d", x.text, x.Offset, partition)
		case recall != ledgertest.Gone:
			m.judge(x, false)
		}
	}
}

// committed judges a transaction that has committed. What it wrote may be cut by now.
func (m *modelled) committed(t *modelTransaction) {
	m.Helper()
	parts := m.broker.topics.named(modelTopic).partitions
	slices.SortStableFunc(t.wrote, func(a, b modelRecord) int {
		return cmp.Or(cmp.Compare(a.partition, b.partition), cmp.Compare(a.Offset, b.Offset))
	})
	for _, x := range t.wrote {
		if x.Offset >= parts[x.partition].Start() {
			m.judge(x, m.isThere(x.partition, x.Offset))
			continue
		}
		if m.model.Recall(x.Fingerprint) == ledgertest.Open {
			m.Skip("there is no telling what a record was that is gone")
		}
		m.judge(x, !m.drops || m.model.Recall(x.Fingerprint) == ledgertest.Gone)
	}
}

// abandon leaves open transactions to whoever comes next, and nobody does.
func (m *modelled) abandon() {
	for n, t := range m.open {
		t.Close()
		delete(m.open, n)
	}
}

// settle aborts what was left open.
func (m *modelled) settle() {
	m.Helper()
	m.abandon()
	for n := range 3 {
		c := m.client(kgo.TransactionalID(fmt.Sprint("writer", n)))
		if _, _, err := c.ProducerID(m.ctx); err != nil {
			m.Fatal(err)
		}
		c.Close()
	}
}

// pass lets time go by, and the machine's clock be set.
func (m *modelled) pass() {
	switch m.r.Intn(20) {
	case 0:
		m.wall.Add(7_000 + m.r.Int63n(3_000))
	case 1:
		m.wall.Add(-m.r.Int63n(5_000))
	default:
		m.wall.Add(m.r.Int63n(400))
	}
}

// crash cuts the power.
func (m *modelled) crash() {
	m.Helper()
	crashed := m.disk.PowerLoss(m.r)
	if err := m.stop(); err != nil {
		m.Fatal(err)
	}
	m.disk = crashed
	m.start()
	m.reopened()
}

// reopened takes over that of open transactions a node knows the ids that are in the
// log: not those whose records are gone.
func (m *modelled) reopened() {
	parts := m.broker.topics.named(modelTopic).partitions
	for _, t := range m.open {
		t.wrote = slices.DeleteFunc(t.wrote, func(x modelRecord) bool { return x.Offset < parts[x.partition].Start() })
	}
}

// cut lets the first records of a partition go.
func (m *modelled) cut() {
	m.Helper()
	p := m.r.Intn(len(m.stands))
	part := m.broker.topics.named(modelTopic).partitions[p]
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
	if len(m.stands) == 5 {
		return
	}
	if _, err := m.admin().CreatePartitions(m.ctx, 1, modelTopic); err != nil {
		m.Fatal(err)
	}
	m.stands = append(m.stands, map[int64]string{})
	m.writer() // which knows of it
	m.abandon()
}

// again deletes the topic and makes it anew.
func (m *modelled) again() {
	m.Helper()
	m.check()
	if _, err := m.admin().DeleteTopic(m.ctx, modelTopic); err != nil {
		m.Fatal(err)
	}
	m.settle()
	m.begin()
}

// check compares what is read committed.
func (m *modelled) check() {
	m.Helper()
	m.settle()
	for i, p := range m.broker.topics.named(modelTopic).partitions {
		want := maps.Clone(m.stands[i])
		maps.DeleteFunc(want, func(offset int64, _ string) bool { return offset < p.Start() })
		got := committedOf(m.T, m.broker, p)
		maps.DeleteFunc(got, func(offset int64, _ string) bool { return offset < p.Start() })
		if !maps.Equal(got, want) {
			m.Errorf("partition %d has\n%v, want\n%v", i, got, want)
		}
	}
}

// step does something.
func (m *modelled) step() {
	m.Helper()
	m.pass()
	switch m.r.Intn(60) {
	case 0:
		m.restart()
		m.reopened()
	case 1, 2:
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
	case 6, 7, 8:
		m.broker.windows.keep()
	case 9, 10:
		m.put(m.ctx, m.plain, "table", fmt.Sprint(m.r.Intn(3)), "value")
		m.clean()
		m.broker.wal.Trim(0)
	case 11:
		m.writer()
	case 12:
		m.abandon()
	case 13:
		m.shade()
	default:
		if m.r.Intn(2) == 0 {
			m.write()
		} else {
			m.transact()
		}
	}
}

// shade has the window count copies only, or leave them out again.
func (m *modelled) shade() {
	m.Helper()
	if m.keeps.Count > 0 {
		return
	}
	m.drops = !m.drops
	m.alter(modelTopic, map[string]string{"hapax.mode": map[bool]string{true: "enforce", false: "shadow"}[m.drops]})
}

// modelledWindows are windows, and the settings that make them.
func modelledWindows() map[hapax.Window]map[string]string {
	return map[hapax.Window]map[string]string{
		{Time: 8 * time.Second}:                       {"hapax.window.ms": "8000"},
		{Time: 8 * time.Second, Kind: hapax.Renewed}:  {"hapax.window.ms": "8000", "hapax.window.kind": "renewed"},
		{Time: 8 * time.Second, Kind: hapax.Tumbling}: {"hapax.window.ms": "8000", "hapax.window.kind": "tumbling"},
		{Count: 30}:                        {"hapax.window.count": "30"},
		{Count: 30, Kind: hapax.Renewed}:   {"hapax.window.count": "30", "hapax.window.kind": "renewed"},
		{Count: 30, Time: 8 * time.Second}: {"hapax.window.count": "30", "hapax.window.ms": "8000"},
	}
}

func modelCourse(t *testing.T, seed int64, window hapax.Window, steps int) {
	t.Helper()
	rules := maps.Clone(modelledWindows()[window])
	rules["hapax.identity"], rules["hapax.scope"] = "header:id", []string{"topic", "partition", "header:user"}[seed%3]
	if seed%2 == 0 {
		rules["retention.bytes"] = "3000"
	}
	m := newModelled(t, seed, rules, window)
	for range steps {
		if m.step(); t.Failed() {
			return
		}
	}
	m.check()
}

// What stands in a topic with a window is what a map of ids says: plain records and
// transactions, over restarts and power losses, while the clock is set, records go,
// others are compacted, partitions are added, and the topic is made anew. Inside its
// window an id is never accepted again, and from 1/128 of the window later on it is.
func TestWindowAgreesWithModel(t *testing.T) {
	t.Parallel()
	windows := slices.SortedFunc(maps.Keys(modelledWindows()), func(a, b hapax.Window) int { return cmp.Compare(a.String(), b.String()) })
	for seed, window := range windows {
		t.Run(window.String(), func(t *testing.T) {
			t.Parallel()
			modelCourse(t, int64(seed), window, 100)
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
		for window := range modelledWindows() {
			t.Run(fmt.Sprintf("%v, seed %d", window, seed), func(t *testing.T) { modelCourse(t, seed, window, 300) })
		}
	}
}
