package main

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/hapaxmq/hapax/broker/batch"
	"github.com/hapaxmq/hapax/internal/brokertest"
)

// TestServeSyncs shows by the system calls of hapax serve that each acknowledgement
// is sent after a sync of what it acknowledges, that of a duplicate too.
func TestServeSyncs(t *testing.T) {
	t.Parallel()
	if traced := traceProduce(t, "hapax"); len(traced.Early) > 0 {
		t.Errorf("%d of %d answers are early: %s", len(traced.Early), len(traced.Acks), traced.Early[0])
	}
}

// TestTortureSyncs demands that the trace shows planted faults.
func TestTortureSyncs(t *testing.T) {
	tortureTime(t)
	for _, m := range brokertest.Unsynced() {
		t.Run(m.Name, func(t *testing.T) {
			if traced := traceProduce(t, buildMutant(t, m)); len(traced.Early) == 0 {
				t.Error("no answer is early")
			}
		})
	}
}

const (
	tracedClients = 8
	tracedBatches = 60 // of each client
)

// traceProduce traces a broker while clients produce to it.
func traceProduce(t *testing.T, hapax string) brokertest.Traced {
	t.Helper()
	strace, err := exec.LookPath("strace")
	if err == nil {
		err = exec.Command(strace, "true").Run()
	}
	switch {
	case err != nil && os.Getenv("CI") != "":
		t.Fatalf("no trace: %v", err)
	case err != nil:
		t.Skipf("no trace: %v (scripts/setup strace installs it; it needs the right to trace)", err)
	}
	s := serveBy(t, hapax, "--set", "hapax.log.file.bytes=65536")
	if err := s.client(kgo.DefaultProduceTopic("t")).ProduceSync(t.Context(), kgo.StringRecord("the first")).FirstErr(); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "trace")
	stop := s.trace(strace, brokertest.TraceArgs(file))
	var producing sync.WaitGroup
	for n := range uint32(tracedClients) {
		producing.Go(func() {
			if err := produceMarked(s.address, n); err != nil {
				t.Error(err)
			}
		})
	}
	producing.Wait()
	stop()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	traced, err := brokertest.Trace(f, func(correlation uint32) (uint32, bool) { return correlation &^ 1, correlation >= firstMark })
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d acknowledgements, %d syncs", len(traced.Acks), traced.Syncs)
	if want := 2 * tracedClients * tracedBatches; len(traced.Acks) != want {
		t.Errorf("%d acknowledgements in the trace, want %d", len(traced.Acks), want)
	}
	return traced
}

// trace has strace look at the process until stop.
func (s *served) trace(strace string, args []string) (stop func()) {
	s.Helper()
	c := exec.Command(strace, append(args, "-p", strconv.Itoa(s.process.Process.Pid))...)
	said, err := c.StderrPipe()
	if err == nil {
		err = c.Start()
	}
	if err == nil {
		_, err = said.Read(make([]byte, 1)) // it says that it is attached
	}
	if err != nil {
		s.Fatal(err)
	}
	return func() {
		s.Helper()
		if err := c.Process.Signal(os.Interrupt); err != nil {
			s.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, said) // until it has let go
		_ = c.Wait()                     // by the signal
	}
}

// firstMark is the least mark: the correlation ids of others are below.
const firstMark = 1 << 24

// produceMarked sends marked batches by one connection, and each again by another one
// before it is acknowledged. Correlation ids are marks, and one more for the second.
func produceMarked(address string, client uint32) error {
	first, err := net.DialTimeout("tcp", address, time.Minute)
	if err != nil {
		return err
	}
	defer func() { _ = first.Close() }() // all was answered
	second, err := net.DialTimeout("tcp", address, time.Minute)
	if err != nil {
		return err
	}
	defer func() { _ = second.Close() }() // the same
	conns := []net.Conn{first, second}
	for n := range uint32(tracedBatches) {
		mark := firstMark + (client*tracedBatches+n)*2
		req, err := markedProduce(mark, batch.Header{ProducerID: int64(1000 + client), BaseSequence: int32(n), BaseTimestamp: 1})
		if err != nil {
			return err
		}
		for i, c := range conns {
			if _, err := c.Write(kmsg.NewRequestFormatter().AppendRequest(nil, req, int32(mark)+int32(i))); err != nil {
				return err
			}
		}
		for _, c := range conns {
			if err := produced(c); err != nil {
				return err
			}
		}
	}
	return nil
}

// markedProduce is a request with a batch of one record, a mark.
func markedProduce(mark uint32, h batch.Header) (*kmsg.ProduceRequest, error) {
	var e batch.Encoder
	b, err := e.Append(nil, h, []batch.Record{{Value: []byte(brokertest.Mark(mark))}})
	req := kmsg.NewPtrProduceRequest()
	req.SetVersion(9)
	req.Acks, req.TimeoutMillis = -1, 60_000
	req.Topics = []kmsg.ProduceRequestTopic{{Topic: "t", Partitions: []kmsg.ProduceRequestTopicPartition{{Records: b}}}}
	return req, err
}

// produced demands that what was sent is acknowledged.
func produced(c net.Conn) error {
	var size [4]byte
	if _, err := io.ReadFull(c, size[:]); err != nil {
		return err
	}
	b := make([]byte, binary.BigEndian.Uint32(size[:]))
	if _, err := io.ReadFull(c, b); err != nil {
		return err
	}
	resp := kmsg.NewPtrProduceResponse()
	resp.SetVersion(9)
	if err := resp.ReadFrom(b[5:]); err != nil { // behind correlation id and tags
		return err
	}
	return kerr.ErrorForCode(resp.Topics[0].Partitions[0].ErrorCode)
}
