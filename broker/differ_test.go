package broker

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
	"pgregory.net/rapid"

	"github.com/hapaxmq/hapax/broker/batch"
	"github.com/hapaxmq/hapax/broker/code"
)

// Two brokers are asked the same things and must say the same. The other one is
// kfake, which follows Apache Kafka; where it does not, courses keep out of the way:
// see leftOut.

// side is one of the brokers in a course. Each course has names of its own, so that
// it begins with nothing.
type side struct {
	node    *node
	wire    *wire
	course  int
	clients []*writer
	numbers []int64 // producer ids, in the order they were met
}

// turn is what one client asks, in one step.
type turn struct {
	what      string
	client    int
	partition int32
	flag      bool
	shift     int32 // of the sequence number, the epoch or the offset
}

func (t turn) String() string {
	return fmt.Sprintf("%s by %d, partition %d, %v, %+d", t.what, t.client, t.partition, t.flag, t.shift)
}

const partitionsOfCourse = 2

// idOf are the transactional ids of clients: two of them fight for one.
func (s *side) idOf(client int) string { return fmt.Sprintf("till-%d-%d", s.course, client/2) }

func (s *side) topic() string { return fmt.Sprintf("orders-%d", s.course) }
func (s *side) group() string { return fmt.Sprintf("billing-%d", s.course) }

// begin makes the course's topic.
func (s *side) begin(newer bool) {
	if s.wire == nil {
		s.wire = s.node.wire()
	}
	w := s.wire
	if err := w.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		w.Fatal(err)
	}
	req := kmsg.NewPtrCreateTopicsRequest()
	topic := kmsg.NewCreateTopicsRequestTopic()
	topic.Topic, topic.NumPartitions, topic.ReplicationFactor = s.topic(), partitionsOfCourse, 1
	req.Topics, req.TimeoutMillis = append(req.Topics, topic), 1000
	w.want(code.None, ask[*kmsg.CreateTopicsResponse](w, 5, req).Topics[0].ErrorCode)
	s.clients = nil
	for i := range 3 {
		s.clients = append(s.clients, &writer{wire: w, id: s.idOf(i), newer: newer})
	}
}

// number names a producer id, so that two brokers that give out different ones can
// be compared.
func (s *side) number(id int64) int {
	at := slices.Index(s.numbers, id)
	if at < 0 {
		at = len(s.numbers)
		s.numbers = append(s.numbers, id)
	}
	return at
}

// play does a turn and tells what came of it.
func (s *side) play(t turn) string {
	w := s.clients[t.client]
	if w.next == nil && t.what != "init" && t.what != "read" && t.what != "list" {
		return "it has no producer id yet"
	}
	switch t.what {
	case "init":
		return s.init(w)
	case "write":
		return s.write(w, t)
	case "add":
		return w.add(s.topic(), t.partition).String()
	case "end":
		c := w.end(t.flag)
		return fmt.Sprintf("%v, producer %d, epoch %d", c, s.number(w.producer.ID), w.producer.Epoch)
	case "offset":
		return s.offset(w, t)
	case "committed":
		return s.committed(w, t)
	case "list":
		return s.list(w, t)
	case "delete":
		return s.delete(w, t)
	}
	return s.read(w, t)
}

func (s *side) init(w *writer) string {
	req := kmsg.NewPtrInitProducerIDRequest()
	req.TransactionalID, req.TransactionTimeoutMillis = &w.id, minute
	resp := ask[*kmsg.InitProducerIDResponse](w.wire, 4, req)
	if resp.ErrorCode == 0 {
		w.become(resp.ProducerID, resp.ProducerEpoch)
	}
	return fmt.Sprintf("%v, producer %d, epoch %d", code.Error(resp.ErrorCode), s.number(resp.ProducerID), resp.ProducerEpoch)
}

func (s *side) write(w *writer, t turn) string {
	version := int16(9)
	if w.newer {
		version = 12
	}
	next := w.next[t.partition]
	if next+t.shift < 0 || next == 0 && t.shift > 0 {
		return "not asked" // a producer that a partition does not know may begin anywhere with Kafka, not with kfake
	}
	w.next[t.partition] += t.shift
	value := fmt.Sprintf("%d.%d.%d", t.client, w.producer.Epoch, w.next[t.partition])
	c, offset := w.produce(version, s.topic(), t.partition, w.batch(t.partition, value, true))
	if w.next[t.partition] = next; c == code.None && t.shift >= 0 {
		w.next[t.partition] += t.shift + 1
	}
	if c != code.None {
		return c.String() // with offset 0 from kfake, -1 from Kafka
	}
	return fmt.Sprintf("offset %d", offset)
}

func (s *side) offset(w *writer, t turn) string {
	version, said := int16(5), ""
	if !w.newer {
		version = 3
		req := kmsg.NewPtrAddOffsetsToTxnRequest()
		req.TransactionalID, req.ProducerID, req.ProducerEpoch, req.Group = w.id, w.producer.ID, w.producer.Epoch, s.group()
		c := code.Error(ask[*kmsg.AddOffsetsToTxnResponse](w.wire, 3, req).ErrorCode)
		if said = fmt.Sprintf("added: %v, ", c); c != code.None {
			return said
		}
	}
	req := kmsg.NewPtrTxnOffsetCommitRequest()
	req.TransactionalID, req.ProducerID, req.ProducerEpoch, req.Group = w.id, w.producer.ID, w.producer.Epoch, s.group()
	p := kmsg.NewTxnOffsetCommitRequestTopicPartition()
	p.Offset = int64(t.shift)
	req.Topics = []kmsg.TxnOffsetCommitRequestTopic{{Topic: s.topic(), Partitions: []kmsg.TxnOffsetCommitRequestTopicPartition{p}}}
	resp := ask[*kmsg.TxnOffsetCommitResponse](w.wire, version, req)
	return said + code.Error(resp.Topics[0].Partitions[0].ErrorCode).String()
}

func (s *side) committed(w *writer, t turn) string {
	req := kmsg.NewPtrOffsetFetchRequest()
	req.Group, req.RequireStable = s.group(), t.flag
	req.Topics = []kmsg.OffsetFetchRequestTopic{{Topic: s.topic(), Partitions: []int32{0}}}
	resp := ask[*kmsg.OffsetFetchResponse](w.wire, 7, req)
	if code.Error(resp.ErrorCode) == code.GroupIDNotFound {
		return "no group"
	}
	p := resp.Topics[0].Partitions[0]
	return fmt.Sprintf("%v: %d", code.Error(p.ErrorCode), p.Offset)
}

func (s *side) list(w *writer, t turn) string {
	var said strings.Builder
	for _, when := range []int64{-2, -1} {
		req := kmsg.NewPtrListOffsetsRequest()
		if t.flag {
			req.IsolationLevel = 1
		}
		p := kmsg.NewListOffsetsRequestTopicPartition()
		p.Partition, p.Timestamp = t.partition, when
		req.Topics = []kmsg.ListOffsetsRequestTopic{{Topic: s.topic(), Partitions: []kmsg.ListOffsetsRequestTopicPartition{p}}}
		got := ask[*kmsg.ListOffsetsResponse](w.wire, 5, req).Topics[0].Partitions[0]
		fmt.Fprintf(&said, "%v: %d, ", code.Error(got.ErrorCode), got.Offset)
	}
	return said.String()
}

func (s *side) delete(w *writer, t turn) string {
	if s.list(w, turn{partition: t.partition}) != s.list(w, turn{partition: t.partition, flag: true}) {
		return "not asked" // the last stable offset may be below the first with kfake
	}
	req := kmsg.NewPtrDeleteRecordsRequest()
	req.TimeoutMillis = 1000
	req.Topics = []kmsg.DeleteRecordsRequestTopic{{
		Topic: s.topic(), Partitions: []kmsg.DeleteRecordsRequestTopicPartition{{Partition: t.partition, Offset: int64(t.shift)}},
	}}
	got := ask[*kmsg.DeleteRecordsResponse](w.wire, 1, req).Topics[0].Partitions[0]
	if got.ErrorCode != 0 {
		return code.Error(got.ErrorCode).String() // with -1 from Kafka, not from kfake
	}
	return fmt.Sprintf("from %d on", got.LowWatermark)
}

// read fetches a partition from its start, and shows what a reader of committed
// records, or of all, does.
func (s *side) read(w *writer, t turn) string {
	var said strings.Builder
	from := int64(0)
	for {
		req := kmsg.NewPtrFetchRequest()
		req.ReplicaID, req.MaxWaitMillis, req.MaxBytes, req.SessionEpoch = -1, 1, 1<<20, -1
		if t.flag {
			req.IsolationLevel = 1
		}
		p := kmsg.NewFetchRequestTopicPartition()
		p.Partition, p.FetchOffset, p.PartitionMaxBytes, p.CurrentLeaderEpoch = t.partition, from, 1<<20, -1
		req.Topics = []kmsg.FetchRequestTopic{{Topic: s.topic(), Partitions: []kmsg.FetchRequestTopicPartition{p}}}
		resp := ask[*kmsg.FetchResponse](w.wire, 12, req)
		got := resp.Topics[0].Partitions[0]
		if c := code.Error(got.ErrorCode); c == code.OffsetOutOfRange && from == 0 && got.LogStartOffset > 0 {
			from = got.LogStartOffset
			continue
		} else if c != code.None {
			return c.String()
		}
		fmt.Fprintf(&said, "high %d, stable %d, start %d: ", got.HighWatermark, got.LastStableOffset, got.LogStartOffset)
		next, err := s.show(&said, &got, from)
		if err != nil {
			s.node.Fatal(err)
		}
		if next == from {
			return said.String()
		}
		from = next
	}
}

// show tells what a client makes of fetched batches, and where it goes on.
func (s *side) show(said *strings.Builder, got *kmsg.FetchResponseTopicPartition, from int64) (next int64, err error) {
	next = from
	var d batch.Decoder
	open := make(map[int64]bool) // aborted producers
	for b := got.RecordBatches; len(b) > 0; {
		one, rest, err := batch.Next(b)
		if errors.Is(err, io.ErrUnexpectedEOF) {
			break // cut off
		} else if err != nil {
			return 0, err
		}
		h, err := batch.ReadHeader(one)
		if err != nil {
			return 0, err
		}
		b, next = rest, h.LastOffset()+1
		for _, a := range got.AbortedTransactions {
			if a.FirstOffset <= h.LastOffset() && a.ProducerID == h.ProducerID && a.FirstOffset >= h.BaseOffset {
				open[a.ProducerID] = true
			}
		}
		for r, err := range d.Records(one) {
			switch {
			case err != nil:
				return 0, err
			case h.Attributes.Has(batch.Control):
				fmt.Fprintf(said, "%d marker %d, ", h.BaseOffset, r.Key[3])
				delete(open, h.ProducerID)
			case !open[h.ProducerID] && h.BaseOffset+int64(r.OffsetDelta) >= from:
				fmt.Fprintf(said, "%d %s, ", h.BaseOffset+int64(r.OffsetDelta), r.Value)
			}
		}
	}
	return next, nil
}

// turns draws what happens in a course.
func turns() *rapid.Generator[[]turn] {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) turn {
		return turn{
			what: rapid.SampledFrom([]string{
				"init", "write", "write", "write", "write", "add", "end", "end", "offset", "committed", "list", "read", "delete",
			}).Draw(t, "what"),
			client:    rapid.IntRange(0, 2).Draw(t, "client"),
			partition: rapid.Int32Range(0, partitionsOfCourse-1).Draw(t, "partition"),
			flag:      rapid.Bool().Draw(t, "flag"),
			shift:     rapid.SampledFrom([]int32{0, 0, 0, 0, -1, -2, 1, 5}).Draw(t, "shift"),
		}
	}), 1, 30)
}

// leftOut tells whether kfake is known to answer otherwise than Kafka does. A course
// ends there: kfake may have done something, too.
func leftOut(ours, kfakes string) bool {
	for _, known := range []struct{ ours, kfakes, why string }{
		{"INVALID_PRODUCER_EPOCH", "INVALID_TXN_STATE", "who writes is looked at first: TransactionCoordinator, verifyOnly"},
		{"INVALID_PRODUCER_EPOCH", "PRODUCER_FENCED", "clients take that for fatal, so it is never said of data: AddPartitionsToTxnManager"},
		{"INVALID_PRODUCER_EPOCH", "INVALID_PRODUCER_EPOCH", "with that kfake takes the partition into the transaction"},
		{"from ", "OFFSET_OUT_OF_RANGE", "what is gone already is no error: Partition.deleteRecordsOnLeader"},
		{"NONE: -1", "no group", "a group that is not known has no offsets: KIP-709"},
		{"UNSTABLE_OFFSET_COMMIT", "no group", "but some may come: OffsetMetadataManager.fetchOffsets"},
		{"PRODUCER_FENCED, producer", "INVALID_TXN_STATE, producer", "who ends is looked at first: TransactionCoordinator, endTransaction"},
		{"PRODUCER_FENCED, producer", "NONE, producer", "an end is a retry only if there was one: TransactionCoordinator, retryOnEpochBump"},
		{"INVALID_TXN_STATE, producer", "NONE, producer", "nothing is there to be ended: TransactionCoordinator, state Empty"},
	} {
		if strings.HasPrefix(ours, known.ours) && strings.HasPrefix(kfakes, known.kfakes) {
			return true
		}
	}
	return false
}

// Whatever clients ask, the answers are those of another broker that follows Kafka.
func TestAnswersAgreeWithKfake(t *testing.T) {
	other, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(other.Close)
	ours, theirs := side{node: start(t)}, side{node: &node{T: t, addr: other.ListenAddrs()[0]}}
	rapid.Check(t, func(t *rapid.T) {
		newer := rapid.Bool().Draw(t, "newer")
		for _, s := range []*side{&ours, &theirs} {
			s.course++
			s.numbers = nil
			s.begin(newer)
		}
		for i, turn := range turns().Draw(t, "turns") {
			if newer && turn.what == "add" {
				continue // clients of that time do not
			}
			if got, want := ours.play(turn), theirs.play(turn); leftOut(got, want) {
				return
			} else if got != want {
				t.Fatalf("turn %d, %v:\n\t%s\nkfake:\n\t%s", i, turn, got, want)
			}
		}
	})
}
