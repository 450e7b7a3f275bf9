package main

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// TestServeKill kills hapax serve again and again while idempotent producers write
// and a reader reads, and demands that what was acknowledged is there, once, where
// it was said to be.
func TestServeKill(t *testing.T) {
	t.Parallel()
	serveAndKill(t, rand.New(rand.NewPCG(3, 4)), func(kills int) bool { return kills < 8 })
}

// TestTortureServe is the same for as long as HAPAX_TORTURE says.
func TestTortureServe(t *testing.T) {
	limit, err := time.ParseDuration(os.Getenv("HAPAX_TORTURE"))
	if err != nil {
		t.Skip("set HAPAX_TORTURE to a length of time")
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	start := time.Now()
	serveAndKill(t, rand.New(rand.NewPCG(seed, 0)), func(int) bool { return time.Since(start) < limit })
}

// served is a hapax serve that is killed and started again on the same port.
type served struct {
	*testing.T
	address string
	dir     string
	flags   []string
	process *exec.Cmd
	said    bytes.Buffer
}

func serve(t *testing.T, flags ...string) *served {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &served{T: t, address: l.Addr().String(), dir: filepath.Join(t.TempDir(), "data"), flags: flags}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	s.start()
	t.Cleanup(s.kill)
	return s
}

// start returns when clients can come.
func (s *served) start() {
	s.Helper()
	s.said.Reset()
	s.process = exec.Command("hapax", append([]string{"serve", "--data", s.dir, "--kafka", s.address, "--http", ""}, s.flags...)...)
	s.process.Env = append(os.Environ(), "GORACE="+noLinger)
	s.process.Stderr = &s.said
	out, err := s.process.StdoutPipe()
	if err == nil {
		err = s.process.Start()
	}
	if err == nil {
		_, err = out.Read(make([]byte, 1)) // it says what it serves
	}
	if err != nil {
		s.Fatalf("start: %v\n%s", err, s.said.String())
	}
}

func (s *served) kill() {
	_ = s.process.Process.Kill() // it may have ended
	_ = s.process.Wait()         // by a signal
}

func (s *served) client(opts ...kgo.Opt) *kgo.Client {
	s.Helper()
	c, err := kgo.NewClient(s.options(opts...)...)
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(c.Close)
	return c
}

func (s *served) options(opts ...kgo.Opt) []kgo.Opt {
	return append([]kgo.Opt{kgo.SeedBrokers(s.address), kgo.AllowAutoTopicCreation(), kgo.DisableClientMetrics(),
		kgo.RetryBackoffFn(func(int) time.Duration { return 20 * time.Millisecond }), kgo.MetadataMinAge(20 * time.Millisecond)}, opts...)
}

// history is what producers were told and readers saw. Values are of a producer, in
// the order of their numbers.
type history struct {
	mu    sync.Mutex
	more  *sync.Cond       // something was acknowledged, or went wrong
	acked map[string]int64 // value to offset
	seen  map[int64]string // offset to value
	next  map[string]int   // of a producer: the least number it may be seen with
	fault error            // the first
}

func (h *history) fail(format string, args ...any) {
	if h.fault == nil {
		h.fault = fmt.Errorf(format, args...)
	}
}

func (h *history) ack(r *kgo.Record, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err != nil {
		h.fail("produce %s: %w", r.Value, err)
		h.more.Broadcast()
		return
	}
	h.acked[string(r.Value)] = r.Offset
	h.more.Broadcast()
}

// await returns when n more were acknowledged, or something went wrong.
func (h *history) await(n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for target := len(h.acked) + n; len(h.acked) < target && h.fault == nil; {
		h.more.Wait()
	}
}

func (h *history) see(r *kgo.Record) {
	h.mu.Lock()
	defer h.mu.Unlock()
	value := string(r.Value)
	if was, ok := h.seen[r.Offset]; ok && was != value {
		h.fail("offset %d held %s, and holds %s", r.Offset, was, value)
	}
	if _, ok := h.seen[r.Offset]; ok {
		return
	}
	h.seen[r.Offset] = value
	var producer string
	var n int
	if _, err := fmt.Sscanf(value, "%1s %d", &producer, &n); err != nil || n < h.next[producer] {
		h.fail("%s at offset %d comes after number %d", value, r.Offset, h.next[producer]-1)
	}
	h.next[producer] = n + 1
}

// check demands each acknowledged value once, where it was said to be.
func (h *history) check(t *testing.T) {
	t.Helper()
	at := make(map[string]int64)
	for offset, value := range h.seen {
		if other, twice := at[value]; twice {
			t.Errorf("%s is at offsets %d and %d", value, other, offset)
		}
		at[value] = offset
	}
	for value, offset := range h.acked {
		if got, ok := at[value]; !ok || got != offset {
			t.Errorf("%s was acknowledged at offset %d, and is at %d (%t)", value, offset, got, ok)
		}
	}
	if h.fault != nil {
		t.Error(h.fault)
	}
	if len(h.acked) == 0 {
		t.Error("nothing was acknowledged")
	}
}

func serveAndKill(t *testing.T, r *rand.Rand, more func(kills int) bool) {
	s := serve(t)
	h := &history{acked: map[string]int64{}, seen: map[int64]string{}, next: map[string]int{}}
	h.more = sync.NewCond(&h.mu)
	stop := make(chan struct{})
	var producing sync.WaitGroup
	for p := range 3 {
		producing.Go(func() { s.produce(fmt.Sprintf("%c", 'a'+p), p, h, stop) })
	}
	reading, cancel := context.WithCancel(t.Context())
	defer cancel()
	reader := s.client(kgo.ConsumeTopics("t"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	go func() {
		for reading.Err() == nil {
			reader.PollFetches(reading).EachRecord(h.see)
		}
	}()
	kills := 0
	for ; more(kills); kills++ {
		h.await(1 + r.IntN(1<<(r.IntN(15)+1)))
		s.kill()
		s.start()
	}
	close(stop)
	producing.Wait()
	s.readAll(h)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.check(t)
	t.Logf("%d kills, %d acknowledged, %d read", kills, len(h.acked), len(h.seen))
}

// produce writes numbered values until stop, and returns when all are acknowledged.
func (s *served) produce(name string, p int, h *history, stop <-chan struct{}) {
	c := s.client(kgo.DefaultProduceTopic("t"), kgo.ProducerLinger(0), kgo.MaxBufferedRecords(100*(p+1)))
	for n := 0; ; n++ {
		select {
		case <-stop:
			if err := c.Flush(s.Context()); err != nil {
				s.Error(err)
			}
			return
		default:
		}
		c.Produce(s.Context(), &kgo.Record{Value: fmt.Appendf(nil, "%s %d", name, n)}, h.ack)
	}
}

// readAll reads from the start until all that was acknowledged is seen, by a reader
// that knows nothing of before.
func (s *served) readAll(h *history) {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.Context(), time.Minute)
	defer cancel()
	c := s.client(kgo.ConsumeTopics("t"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	last := int64(-1)
	for _, offset := range h.acked {
		last = max(last, offset)
	}
	for at := int64(-1); at < last; {
		fetches := c.PollFetches(ctx)
		if err := fetches.Err0(); err != nil {
			s.Fatalf("read up to %d of %d: %v", at, last, err)
		}
		fetches.EachRecord(func(r *kgo.Record) { h.see(r); at = r.Offset })
	}
}
