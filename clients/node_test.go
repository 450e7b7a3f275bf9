package clients

import (
	"bytes"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// node is a broker in a process of its own: hapax serve, or Apache Kafka.
type node struct {
	*testing.T
	address string
	command func() *exec.Cmd
	process *exec.Cmd
	log     output
}

// output is what a process has said so far.
type output struct {
	mu   sync.Mutex
	said bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.said.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.said.String()
}

// start starts a fresh broker, which is stopped when the test ends. Its log is shown
// if the test failed.
func start(t *testing.T) *node {
	t.Helper()
	var n *node
	if *apache {
		n = apacheNode(t)
	} else {
		n = hapaxNode(t)
	}
	n.start()
	t.Cleanup(func() {
		n.stop()
		if t.Failed() {
			t.Logf("the broker said:\n%s", tail(n.log.String(), 20_000))
		}
	})
	return n
}

func hapaxNode(t *testing.T, set ...string) *node {
	address, dir := freeAddress(t), filepath.Join(t.TempDir(), "data")
	set = append([]string{"group.initial.rebalance.delay.ms=0", "group.min.session.timeout.ms=1000", "group.consumer.heartbeat.interval.ms=200", "group.consumer.min.heartbeat.interval.ms=200"}, set...)
	return &node{T: t, address: address, command: func() *exec.Cmd {
		return exec.Command(hapax, "serve", "--data", dir, "--kafka", address, "--http", "", "--set", strings.Join(set, ","))
	}}
}

// freeAddress is one that nothing listened on a moment ago.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// start returns when clients can come.
func (n *node) start() {
	n.Helper()
	n.process = n.command()
	n.process.Stdout, n.process.Stderr = &n.log, &n.log
	if err := n.process.Start(); err != nil {
		n.Fatalf("start the broker: %v", err)
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for late := time.After(time.Minute); ; {
		c, err := net.Dial("tcp", n.address)
		if err == nil {
			_ = c.Close() // it was only to see
			return
		}
		select {
		case <-tick.C:
		case <-late:
			n.Fatalf("the broker does not start: %v\n%s", err, n.log.String())
		}
	}
}

// stop stops the broker as a user would; one that does not stop is a failure.
func (n *node) stop() {
	if err := n.process.Process.Signal(os.Interrupt); err != nil {
		return // it is not running
	}
	timer := time.AfterFunc(30*time.Second, func() {
		n.Error("the broker does not stop within 30 s")
		_ = n.process.Process.Kill()
	})
	defer timer.Stop()
	_ = n.process.Wait() // Kafka ends with status 130
}

// kill kills the broker and starts it again, on the same port and data.
func (n *node) kill() {
	n.Helper()
	_ = n.process.Process.Kill() // it may have ended
	_ = n.process.Wait()         // by a signal
	n.start()
}

// client is the exam's own.
func (n *node) client(opts ...kgo.Opt) *kgo.Client {
	n.Helper()
	c, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(n.address), kgo.DisableClientMetrics(),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxWait(100 * time.Millisecond)}, opts...)...)
	if err != nil {
		n.Fatal(err)
	}
	n.Cleanup(c.Close)
	return c
}

// topic makes a topic.
func (n *node) topic(name string, partitions int32) {
	n.Helper()
	admin := kadm.NewClient(n.client())
	if _, err := admin.CreateTopic(n.Context(), partitions, 1, nil, name); err != nil {
		n.Fatalf("make topic %s: %v", name, err)
	}
}

// tail is the last part of s.
func tail(s string, length int) string {
	if len(s) <= length {
		return s
	}
	return "…" + s[len(s)-length:]
}
