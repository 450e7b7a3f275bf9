package broker

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
	"pgregory.net/rapid"

	"github.com/hapaxmq/hapax/broker/code"
	"github.com/hapaxmq/hapax/broker/partition"
)

// A Fetch is answered byte for byte as package kmsg would encode it, in each
// version that is served.
func TestFetchedIsAsKmsgHasIt(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := &fetched{version: rapid.Int16Range(4, 18).Draw(t, "version"), err: code.Error(rapid.Int16().Draw(t, "code"))}
		if f.version < 7 {
			f.err = code.None
		}
		for range rapid.IntRange(0, 3).Draw(t, "topics") {
			f.topics = append(f.topics, drawTopic(t))
		}
		b, gaps := f.append([]byte("before"), 77)
		got := filled(b[len("before"):], gaps, len("before"))
		if n := binary.BigEndian.Uint32(got); int(n) != len(got)-4 {
			t.Fatalf("size %d of %d bytes", n, len(got)-4)
		}
		if want := appendResponse(nil, 77, f.kmsg()); !bytes.Equal(got, want) {
			t.Fatalf("version %d:\n%x\n%x", f.version, got, want)
		}
	})
}

func drawTopic(t *rapid.T) fetchedTopic {
	ft := fetchedTopic{name: rapid.StringN(0, 300, 300).Draw(t, "name")}
	copy(ft.id[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "id"))
	for range rapid.IntRange(0, 200).Draw(t, "partitions") {
		p := fetchedPartition{number: rapid.Int32().Draw(t, "number"), err: code.Error(rapid.Int16().Draw(t, "code"))}
		p.High, p.Stable, p.Start = rapid.Int64().Draw(t, "high"), rapid.Int64().Draw(t, "stable"), rapid.Int64().Draw(t, "start")
		for range rapid.IntRange(0, 2).Draw(t, "aborted") {
			p.Aborted = append(p.Aborted, partition.Aborted{Producer: rapid.Int64().Draw(t, "producer"), First: rapid.Int64().Draw(t, "first")})
		}
		for range rapid.IntRange(0, 3).Draw(t, "extents") {
			p.Extents = append(p.Extents, partition.Extent{Length: rapid.Int32Range(1, 20_000).Draw(t, "length")})
		}
		ft.partitions = append(ft.partitions, p)
	}
	return ft
}

// filled has zeros for the batches.
func filled(b []byte, gaps []gap, before int) (all []byte) {
	last := 0
	for _, g := range gaps {
		all = append(all, b[last:g.at-before]...)
		last = g.at - before
		for _, e := range g.extents {
			all = append(all, make([]byte, e.Length)...)
		}
	}
	return append(all, b[last:]...)
}

// kmsg is the same as a response of package kmsg.
func (f *fetched) kmsg() *kmsg.FetchResponse {
	resp := kmsg.NewPtrFetchResponse()
	resp.Version, resp.ErrorCode = f.version, int16(f.err)
	for _, t := range f.topics {
		topic := kmsg.NewFetchResponseTopic()
		topic.Topic, topic.TopicID = t.name, t.id
		for i := range t.partitions {
			p := &t.partitions[i]
			d := kmsg.NewFetchResponseTopicPartition()
			d.Partition, d.ErrorCode = p.number, int16(p.err)
			d.HighWatermark, d.LastStableOffset, d.LogStartOffset = p.High, p.Stable, p.Start
			d.AbortedTransactions = []kmsg.FetchResponseTopicPartitionAbortedTransaction{}
			for _, a := range p.Aborted {
				d.AbortedTransactions = append(d.AbortedTransactions, kmsg.FetchResponseTopicPartitionAbortedTransaction{ProducerID: a.Producer, FirstOffset: a.First})
			}
			d.RecordBatches = make([]byte, p.size())
			topic.Partitions = append(topic.Partitions, d)
		}
		resp.Topics = append(resp.Topics, topic)
	}
	return resp
}
