package clients

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// TestGaps: of a topic with a window copies were left out at the start, in the middle
// and at the end of batches, and whole batches, also where a transaction commits and
// others have its ids by then. Each client reads each record once, up to the last one.
//
// kafka-go 0.4 is left out: it panics at a batch without records (messageSetReader.markRead),
// as Apache Kafka's compaction leaves them too.
func TestGaps(t *testing.T) {
	t.Parallel()
	skipApache(t)
	n := hapaxNode(t, "hapax.log.file.bytes=262144", "log.cleaner.backoff.ms=100")
	n.start()
	t.Cleanup(n.stop)
	topics := map[string]*gaps{}
	for _, codecs := range []string{"none gzip snappy", "lz4 zstd"} {
		g := newGaps(t, n, "gaps-"+strings.ReplaceAll(codecs, " ", "-"))
		for _, codec := range strings.Fields(codecs) {
			g.fill(codec)
		}
		topics[codecs] = g
	}
	n.kill() // small batches of the file before are put together from now on
	for _, g := range topics {
		g.last()
	}
	each(t, "gaps", func(t *testing.T, c client) {
		n := &node{T: t, address: n.address}
		for codecs, g := range topics {
			if !strings.Contains(c.codecs, codecs) {
				continue
			}
			read := parse(t, "read", c.run(t, n, "consume", g.topic, strconv.Itoa(len(g.acked))).finish())
			checkRead(t, c.name, read, g.acked)
		}
	})
}

// TestGapsAtTheEnd: members of a group that have read all are given nothing but copies,
// and then new records.
func TestGapsAtTheEnd(t *testing.T) {
	t.Parallel()
	skipApache(t)
	n := start(t)
	each(t, "gaps", func(t *testing.T, c client) {
		n := &node{T: t, address: n.address}
		g := newGaps(t, n, "end-"+c.name)
		read := newGathering(t, n, g.topic)
		writer := g.writer("gzip")
		g.write(writer, 0, g.fresh(50)...)
		m := read.watch("it", c.run(t, n, "member", "group-"+g.topic, g.topic))
		for range 3 {
			read.await("all is handled", func() bool { return len(read.handled) == len(g.acked) })
			for range 10 {
				g.write(writer, 0, g.old(20)...)
			}
			g.write(writer, 0, g.fresh(10)...)
		}
		read.await("all is handled", func() bool { return len(read.handled) == len(g.acked) })
		read.leave(m)
		for number, times := range read.handled {
			if _, is := g.acked[number]; !is || times != 1 {
				t.Errorf("record %d was handled %d times", number, times)
			}
		}
	})
}

func skipApache(t *testing.T) {
	t.Helper()
	if *apache {
		t.Skip("Kafka has no windows")
	}
}

// gaps is a topic with a window, of two partitions. The id of a record is its number.
type gaps struct {
	*node
	ctx   context.Context
	topic string
	next  int // number
	acked map[int]record
}

func newGaps(t *testing.T, n *node, topic string) *gaps {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	settings := map[string]*string{
		"hapax.identity": kadm.StringPtr("header:id"), "hapax.window.ms": kadm.StringPtr("3600000"),
	}
	if _, err := kadm.NewClient(n.client()).CreateTopic(ctx, 2, 1, settings, topic); err != nil {
		t.Fatalf("make topic %s: %v", topic, err)
	}
	return &gaps{node: n, ctx: ctx, topic: topic, acked: map[int]record{}}
}

// gapsWriter writes with a codec.
type gapsWriter struct {
	*kgo.Client
	codec string
}

func (g *gaps) writer(codec string, opts ...kgo.Opt) gapsWriter {
	g.Helper()
	codecs := map[string]kgo.CompressionCodec{"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(),
		"snappy": kgo.SnappyCompression(), "lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression()}
	return gapsWriter{g.client(append([]kgo.Opt{kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerBatchCompression(codecs[codec]), kgo.ProducerLinger(5 * time.Millisecond)}, opts...)...), codec}
}

// fresh are new numbers.
func (g *gaps) fresh(count int) (numbers []int) {
	for range count {
		numbers = append(numbers, g.next)
		g.next++
	}
	return numbers
}

// old are numbers that were written before.
func (g *gaps) old(count int) (numbers []int) {
	for i := range count {
		numbers = append(numbers, (g.next/2+7*i)%g.next)
	}
	return numbers
}

// write writes records in a batch, or few. Where a number was acknowledged first is
// where it is.
func (g *gaps) write(by gapsWriter, partition int32, numbers ...int) {
	g.Helper()
	g.take(by, g.send(by, partition, numbers...), numbers...)
}

func (g *gaps) send(by gapsWriter, partition int32, numbers ...int) kgo.ProduceResults {
	g.Helper()
	var records []*kgo.Record
	for _, number := range numbers {
		records = append(records, &kgo.Record{
			Topic: g.topic, Partition: partition, Key: fmt.Append(nil, "k", number%10), Value: fmt.Append(nil, number),
			Headers: []kgo.RecordHeader{{Key: "codec", Value: []byte(by.codec)}, {Key: "id", Value: fmt.Append(nil, number)}},
		})
	}
	results := by.ProduceSync(g.ctx, records...)
	if err := results.FirstErr(); err != nil {
		g.Fatal(err)
	}
	return results
}

// take notes where new numbers are.
func (g *gaps) take(by gapsWriter, results kgo.ProduceResults, numbers ...int) {
	is := map[string]bool{}
	for _, number := range numbers {
		_, known := g.acked[number]
		is[strconv.Itoa(number)] = !known
	}
	for _, result := range results {
		r := result.Record
		if !is[string(r.Value)] {
			continue
		}
		is[string(r.Value)] = false // what comes again in the batch is a copy
		number, _ := strconv.Atoi(string(r.Value))
		g.acked[number] = record{int(r.Partition), r.Offset, number, string(r.Key), by.codec}
	}
}

// fill writes all kinds of batches.
func (g *gaps) fill(codec string) {
	g.Helper()
	w := g.writer(codec)
	for partition := range int32(2) {
		g.write(w, partition, g.fresh(20)...)
		for range 3 {
			g.write(w, partition, slices.Concat(g.fresh(3), g.old(8), g.fresh(4))...) // a gap in the middle
			g.write(w, partition, slices.Concat(g.fresh(5), g.old(5))...)             // at the end
			g.write(w, partition, slices.Concat(g.old(5), g.fresh(5))...)             // at the start
			for range 4 {
				g.write(w, partition, g.old(10)...)
			}
		}
		g.overtaken(w, partition, codec, 5, kgo.TryCommit)
		g.overtaken(w, partition, codec, 0, kgo.TryCommit)
		g.overtaken(w, partition, codec, 0, kgo.TryAbort)
		g.write(w, partition, slices.Concat(g.fresh(5), g.old(5))...)
	}
}

// overtaken writes ten records in a transaction. All but the first few are written
// without one before it ends.
func (g *gaps) overtaken(w gapsWriter, partition int32, codec string, first int, end kgo.TransactionEndTry) {
	g.Helper()
	t := g.writer(codec, kgo.TransactionalID(fmt.Sprint(g.topic, "-", g.next)))
	defer t.Close()
	if err := t.BeginTransaction(); err != nil {
		g.Fatal(err)
	}
	numbers := g.fresh(10)
	results := g.send(t, partition, numbers...)
	g.take(t, results, numbers[:first]...)
	g.write(w, partition, numbers[first:]...)
	if err := t.EndTransaction(g.ctx, end); err != nil {
		g.Fatal(err)
	}
}

// last ends the partitions with batches of copies, and a record behind them.
func (g *gaps) last() {
	g.Helper()
	w := g.writer("none")
	for partition := range int32(2) {
		for range 5 {
			g.write(w, partition, g.old(20)...)
		}
		g.write(w, partition, g.fresh(1)...)
	}
}
