package broker

import (
	"context"
	"fmt"
	"maps"
	"math/rand"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/hapaxmq/hapax/broker/unique"
	"github.com/hapaxmq/hapax/internal/vfs"
)

// place is where a record is, as headers have it.
func place(partition int32, offset int64) string {
	return fmt.Sprint(partition, ":", offset)
}

// sighting is the first record with an id.
type sighting struct {
	at      string
	content int
}

// kept is a record that is to be read.
type kept struct{ content, first, reason string }

// fates sends copies and conflicts to a topic, and knows what has to become of them.
type fates struct {
	*node
	ctx   context.Context
	r     *rand.Rand
	rules map[string]string // by what is the matter: "duplicate", "conflict"

	seen   map[int]sighting
	orders map[string]kept // by place
	copies map[string]kept // by where they would have been
}

const fateIDs = 60

// writing is what one writer, with a transaction or without, has done so far.
type writing struct {
	seen           map[int]sighting
	orders, copies map[string]kept
}

// send sends some records to one partition, and returns whether they were taken.
func (f *fates) send(c *kgo.Client, w *writing) bool {
	f.Helper()
	to := int32(f.r.Intn(2))
	var records []*kgo.Record
	var contents []int
	for range 1 + f.r.Intn(6) {
		id, content := f.r.Intn(fateIDs), f.r.Intn(5)/4
		value := fmt.Sprintf(`{"id":%d,"of":%d}`, id, content)
		if f.r.Intn(2) == 0 {
			value = fmt.Sprintf(`{ "of": %d, "id": %d }`, content, id)
		}
		contents = append(contents, content)
		records = append(records, &kgo.Record{Topic: "orders", Partition: to, Value: []byte(value), Headers: []kgo.RecordHeader{{Key: "id", Value: fmt.Append(nil, id)}}})
	}
	err := c.ProduceSync(f.ctx, records...).FirstErr()
	if refused := f.refuses(records, contents, w); refused != (err != nil) {
		f.Fatalf("refused: %v, want %t", err, refused)
	}
	if err != nil {
		return false
	}
	for i, r := range records {
		f.take(r, contents[i], w)
	}
	return true
}

// matter is what is the matter with a record: nothing, if it is new.
func (f *fates) matter(id, content int, w *writing) (matter string, was sighting) {
	was, ok := f.seen[id]
	if !ok {
		was, ok = w.seen[id]
	}
	switch {
	case !ok:
		return "", was
	case was.content != content:
		return "conflict", was
	}
	return "duplicate", was
}

func idIn(r *kgo.Record) int {
	id, _ := strconv.Atoi(string(r.Headers[0].Value))
	return id
}

// refuses tells whether a batch is to be refused.
func (f *fates) refuses(records []*kgo.Record, contents []int, w *writing) bool {
	within := writing{seen: maps.Clone(w.seen)}
	for i, r := range records {
		matter, _ := f.matter(idIn(r), contents[i], &within)
		if f.rules[matter] == "reject" {
			return true
		}
		if matter == "" {
			within.seen[idIn(r)] = sighting{content: contents[i]}
		}
	}
	return false
}

// take notes what has to become of a record that was acknowledged.
func (f *fates) take(r *kgo.Record, content int, w *writing) {
	id, at := idIn(r), place(r.Partition, r.Offset)
	k := kept{content: fmt.Sprint(id, " ", content)}
	matter, was := f.matter(id, content, w)
	switch f.rules[matter] {
	case "mark":
		k.first = was.at
		w.orders[at] = k
	case "accept":
		w.orders[at] = k
	case "drop":
	case "topic:copies":
		k.first, k.reason = was.at, matter
		w.copies["orders:"+at] = k
	default:
		w.seen[id] = sighting{at, content}
		w.orders[at] = k
	}
}

func newWriting() *writing {
	return &writing{seen: map[int]sighting{}, orders: map[string]kept{}, copies: map[string]kept{}}
}

// settle takes over what a writer did.
func (f *fates) settle(w *writing) {
	maps.Copy(f.seen, w.seen)
	maps.Copy(f.orders, w.orders)
	maps.Copy(f.copies, w.copies)
}

func (f *fates) codec() kgo.Opt {
	codecs := []kgo.CompressionCodec{kgo.NoCompression(), kgo.GzipCompression(), kgo.SnappyCompression(), kgo.Lz4Compression(), kgo.ZstdCompression()}
	return kgo.ProducerBatchCompression(codecs[f.r.Intn(len(codecs))])
}

// plain sends without a transaction.
func (f *fates) plain() {
	f.Helper()
	c := f.client(kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.DisableIdempotentWrite(), f.codec())
	defer c.Close()
	w := newWriting()
	f.send(c, w)
	f.settle(w)
}

// transaction sends in one, which commits or aborts.
func (f *fates) transaction() {
	f.Helper()
	c := f.client(kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.TransactionalID("fates"), f.codec())
	defer c.Close()
	if err := c.BeginTransaction(); err != nil {
		f.Fatal(err)
	}
	w, taken := newWriting(), true
	for range 1 + f.r.Intn(3) {
		taken = taken && f.send(c, w)
	}
	commit := taken && f.r.Intn(4) > 0
	if err := c.EndTransaction(f.ctx, kgo.TransactionEndTry(commit)); err != nil {
		f.Fatal(err)
	}
	if commit {
		f.settle(w)
	}
}

// read reads what committed of a topic, by place or by where it comes from.
func (f *fates) read(topic string) map[string]kept {
	f.Helper()
	c := f.client(kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	defer c.Close()
	end := fmt.Sprint("end ", time.Now().UnixNano())
	for p := range int32(2) {
		last := &kgo.Record{Topic: topic, Partition: p, Headers: []kgo.RecordHeader{{Key: "id", Value: fmt.Append(nil, end, p)}}}
		if err := c.ProduceSync(f.ctx, last).FirstErr(); err != nil {
			f.Fatal(err)
		}
	}
	all := make(map[string]kept)
	for ends := 0; ends < 2; {
		fetches := c.PollFetches(f.ctx)
		if err := fetches.Err(); err != nil {
			f.Fatal(err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			id := string(r.Headers[0].Value)
			if strings.HasPrefix(id, "end ") {
				if strings.HasPrefix(id, end) {
					ends++
				}
				return
			}
			at := place(r.Partition, r.Offset)
			content := strings.Contains(strings.ReplaceAll(string(r.Value), " ", ""), `"of":1`)
			k := kept{content: id + " 0"}
			if content {
				k.content = id + " 1"
			}
			for _, h := range r.Headers {
				switch h.Key {
				case unique.HeaderDuplicateOf:
					k.first = string(h.Value)
				case unique.HeaderReason:
					k.reason = string(h.Value)
				case unique.HeaderOrigin:
					at = string(h.Value)
				}
			}
			if _, twice := all[at]; twice {
				f.Errorf("topic %s has %s twice", topic, at)
			}
			if origin := strings.Split(at, ":"); len(origin) == 3 && origin[1] != fmt.Sprint(r.Partition) {
				f.Errorf("topic %s has %s in partition %d", topic, at, r.Partition)
			}
			all[at] = k
		})
	}
	return all
}

func (f *fates) check() {
	f.Helper()
	for topic, want := range map[string]map[string]kept{"orders": f.orders, "copies": f.copies} {
		got := f.read(topic)
		for at, k := range want {
			if got[at] != k {
				f.Errorf("topic %s, %s: %+v, want %+v", topic, at, got[at], k)
			}
		}
		for at, k := range got {
			if _, ok := want[at]; !ok {
				f.Errorf("topic %s, %s: %+v, want none", topic, at, k)
			}
		}
	}
}

// Each copy and each conflict has the fate that its topic's settings give it: alone
// and in a transaction, by whatever codec, over restarts and power losses. All that
// is acknowledged is where the acknowledgement said, or would have been.
func TestFates(t *testing.T) {
	for _, duplicates := range []string{"drop", "mark", "topic:copies", "reject"} {
		for _, conflicts := range []string{"drop", "accept", "topic:copies", "reject"} {
			t.Run(duplicates+","+conflicts, func(t *testing.T) { testFates(t, duplicates, conflicts, "first") })
		}
	}
	t.Run("renewed", func(t *testing.T) { testFates(t, "mark", "topic:copies", "renewed") })
	t.Run("tumbling", func(t *testing.T) { testFates(t, "mark", "accept", "tumbling") })
}

func testFates(t *testing.T, duplicates, conflicts, kind string) {
	disk := vfs.NewMem()
	n := startWith(t, func(o *Options) { o.FS = disk })
	f := newFates(t, n, duplicates, conflicts, kind)
	for range 40 {
		switch f.r.Intn(12) {
		case 0:
			n.restart()
		case 1:
			crashed := disk.PowerLoss(f.r)
			if err := n.stop(); err != nil {
				t.Fatal(err)
			}
			disk = crashed
			n.start()
		case 2, 3, 4:
			f.transaction()
		default:
			f.plain()
		}
	}
	f.check()
	n.restart()
	f.check()
}
