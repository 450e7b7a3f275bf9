package broker

import (
	"encoding/binary"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/hapaxmq/hapax/broker/batch"
	"github.com/hapaxmq/hapax/broker/code"
	"github.com/hapaxmq/hapax/broker/txn"
)

// copied starts a node on what the disk holds while n runs: what is left of it by
// kill -9.
func (n *node) copied() *node {
	n.Helper()
	dir := n.TempDir()
	if err := n.copyTo(dir); err != nil {
		n.Fatal(err)
	}
	return n.on(dir)
}

// on starts a node on a directory.
func (n *node) on(dir string) *node {
	n.Helper()
	other := &node{T: n.T, dir: dir, addr: "127.0.0.1:0"}
	other.start()
	n.Cleanup(func() {
		if err := other.stop(); err != nil {
			n.Error(err)
		}
	})
	return other
}

func (n *node) copyTo(dir string) error {
	return filepath.WalkDir(n.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		to := filepath.Join(dir, path[len(n.dir):])
		if d.IsDir() {
			return os.MkdirAll(to, 0o750)
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(to, b, 0o600)
	})
}

// wire is a connection that sends what it is told, as no proper client would.
type wire struct {
	*testing.T
	net.Conn
	unwanted func(code.Error) // ends the test, or the goroutine; nil: the test
}

func (n *node) wire() *wire {
	n.Helper()
	c, err := net.Dial("tcp", n.addr)
	if err != nil {
		n.Fatal(err)
	}
	n.Cleanup(func() { _ = c.Close() }) // the test is over
	if err := c.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		n.Fatal(err)
	}
	return &wire{T: n.T, Conn: c}
}

// ask sends a request of a version and reads the response.
func ask[R kmsg.Response](w *wire, version int16, req kmsg.Request) R {
	w.Helper()
	req.SetVersion(version)
	if _, err := w.Write(kmsg.NewRequestFormatter().AppendRequest(nil, req, 7)); err != nil {
		w.Fatal(err)
	}
	var size [4]byte
	if _, err := io.ReadFull(w, size[:]); err != nil {
		w.Fatal(err)
	}
	b := make([]byte, binary.BigEndian.Uint32(size[:]))
	if _, err := io.ReadFull(w, b); err != nil {
		w.Fatal(err)
	}
	resp := req.ResponseKind()
	if b = b[4:]; resp.IsFlexible() && resp.Key() != keyAPIVersions {
		b = b[1:]
	}
	if err := resp.ReadFrom(b); err != nil {
		w.Fatal(err)
	}
	return resp.(R)
}

// writer is a transactional producer on such a connection. With newer set it is one
// that KIP-890 knows.
type writer struct {
	*wire
	id       string
	newer    bool
	producer txn.Producer
	next     map[int32]int32 // sequence numbers by partition
}

func (n *node) writer(id string, newer bool, timeoutMs int32) *writer {
	n.Helper()
	w := &writer{wire: n.wire(), id: id, newer: newer}
	w.init(timeoutMs)
	return w
}

// reconnect lets a writer go on with another node, as the producer that it is.
func (w *writer) reconnect(n *node) { w.wire = n.wire() }

func (w *writer) init(timeoutMs int32) {
	w.Helper()
	req := kmsg.NewPtrInitProducerIDRequest()
	req.TransactionalID, req.TransactionTimeoutMillis = &w.id, timeoutMs
	resp := ask[*kmsg.InitProducerIDResponse](w.wire, 4, req)
	w.want(code.None, resp.ErrorCode)
	w.become(resp.ProducerID, resp.ProducerEpoch)
}

func (w *writer) become(id int64, epoch int16) {
	w.producer, w.next = txn.Producer{ID: id, Epoch: epoch}, make(map[int32]int32)
}

func (w *wire) want(want code.Error, got int16) {
	w.Helper()
	if code.Error(got) == want {
		return
	}
	if w.unwanted != nil {
		w.unwanted(code.Error(got))
	}
	w.Fatalf("%v, want %v", code.Error(got), want)
}

// batch is one of a record, with the sequence number that is next.
func (w *writer) batch(partition int32, value string, transactional bool) []byte {
	w.Helper()
	return w.batchOf(partition, batch.Record{Value: []byte(value)}, transactional)
}

func (w *writer) batchOf(partition int32, r batch.Record, transactional bool) []byte {
	w.Helper()
	h := batch.Header{ProducerID: w.producer.ID, ProducerEpoch: w.producer.Epoch, BaseSequence: w.next[partition], BaseTimestamp: 1}
	if transactional {
		h.Attributes = batch.Transactional
	}
	var e batch.Encoder
	b, err := e.Append(nil, h, []batch.Record{r})
	if err != nil {
		w.Fatal(err)
	}
	return b
}

// produce sends a batch as it is.
func (w *writer) produce(version int16, topic string, partition int32, b []byte) (c code.Error, offset int64) {
	w.Helper()
	req := kmsg.NewPtrProduceRequest()
	req.TransactionID, req.Acks, req.TimeoutMillis = &w.id, -1, 1000
	if w.id == "" {
		req.TransactionID = nil
	}
	req.Topics = []kmsg.ProduceRequestTopic{{Topic: topic, Partitions: []kmsg.ProduceRequestTopicPartition{{Partition: partition, Records: b}}}}
	resp := ask[*kmsg.ProduceResponse](w.wire, version, req)
	p := resp.Topics[0].Partitions[0]
	return code.Error(p.ErrorCode), p.BaseOffset
}

// write sends a value in the transaction.
func (w *writer) write(topic string, partition int32, value string) {
	w.Helper()
	version := int16(12)
	if !w.newer {
		version = 9
		w.want(code.None, int16(w.add(topic, partition)))
	}
	c, _ := w.produce(version, topic, partition, w.batch(partition, value, true))
	w.want(code.None, int16(c))
	w.next[partition]++
}

func (w *writer) add(topic string, partitions ...int32) code.Error {
	w.Helper()
	req := kmsg.NewPtrAddPartitionsToTxnRequest()
	req.TransactionalID, req.ProducerID, req.ProducerEpoch = w.id, w.producer.ID, w.producer.Epoch
	req.Topics = []kmsg.AddPartitionsToTxnRequestTopic{{Topic: topic, Partitions: partitions}}
	resp := ask[*kmsg.AddPartitionsToTxnResponse](w.wire, 3, req)
	return code.Error(resp.Topics[0].Partitions[0].ErrorCode)
}

// offset commits an offset of partition 0 of a topic in the transaction.
func (w *writer) offset(group, topic string, offset int64) {
	w.Helper()
	version := int16(5)
	if !w.newer {
		version = 3
		req := kmsg.NewPtrAddOffsetsToTxnRequest()
		req.TransactionalID, req.ProducerID, req.ProducerEpoch, req.Group = w.id, w.producer.ID, w.producer.Epoch, group
		w.want(code.None, ask[*kmsg.AddOffsetsToTxnResponse](w.wire, 3, req).ErrorCode)
	}
	req := kmsg.NewPtrTxnOffsetCommitRequest()
	req.TransactionalID, req.ProducerID, req.ProducerEpoch, req.Group = w.id, w.producer.ID, w.producer.Epoch, group
	p := kmsg.NewTxnOffsetCommitRequestTopicPartition()
	p.Offset = offset
	req.Topics = []kmsg.TxnOffsetCommitRequestTopic{{Topic: topic, Partitions: []kmsg.TxnOffsetCommitRequestTopicPartition{p}}}
	resp := ask[*kmsg.TxnOffsetCommitResponse](w.wire, version, req)
	w.want(code.None, resp.Topics[0].Partitions[0].ErrorCode)
}

// end ends the transaction, and takes over the epoch that it is told.
func (w *writer) end(commit bool) code.Error {
	w.Helper()
	req := kmsg.NewPtrEndTxnRequest()
	req.TransactionalID, req.ProducerID, req.ProducerEpoch, req.Commit = w.id, w.producer.ID, w.producer.Epoch, commit
	version := int16(3)
	if w.newer {
		version = 5
	}
	resp := ask[*kmsg.EndTxnResponse](w.wire, version, req)
	if w.newer && resp.ErrorCode == 0 {
		w.become(resp.ProducerID, resp.ProducerEpoch)
	}
	return code.Error(resp.ErrorCode)
}

// fetchOffset is what a group has of partition 0 of a topic.
func (w *wire) fetchOffset(group, topic string, stable bool) (c code.Error, offset int64) {
	w.Helper()
	req := kmsg.NewPtrOffsetFetchRequest()
	req.Group, req.RequireStable = group, stable
	req.Topics = []kmsg.OffsetFetchRequestTopic{{Topic: topic, Partitions: []int32{0}}}
	resp := ask[*kmsg.OffsetFetchResponse](w, 7, req)
	w.want(code.None, resp.ErrorCode)
	p := resp.Topics[0].Partitions[0]
	return code.Error(p.ErrorCode), p.Offset
}
