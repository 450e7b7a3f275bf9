//go:build unix

package kafkarelay_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/hapaxmq/hapax/adapter/kafkarelay"
	"github.com/hapaxmq/hapax/broker"
	"github.com/hapaxmq/hapax/internal/relaytest"
	"github.com/hapaxmq/hapax/internal/servertest"
	"github.com/hapaxmq/hapax/outbox/relay"
)

// patience is how long anything may take in these tests.
const patience = relaytest.Patience

// task is a broker as another process of this test's binary.
type task struct {
	Serve string // its address
	Dir   string // and its data
}

const taskVariable = "HAPAX_KAFKARELAY_TASK"

func TestMain(m *testing.M) {
	text, ok := os.LookupEnv(taskVariable)
	if !ok {
		os.Exit(relaytest.Main(m, mortal))
	}
	var of task
	err := json.Unmarshal([]byte(text), &of)
	if err == nil {
		err = of.serve()
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// command is its process.
func (of task) command(ctx context.Context, t *testing.T) *exec.Cmd {
	t.Helper()
	text, err := json.Marshal(of)
	if err != nil {
		t.Fatal(err)
	}
	c := exec.CommandContext(ctx, os.Args[0])
	c.Env = append(os.Environ(), taskVariable+"="+string(text))
	return c
}

func (of task) serve() error {
	b, err := broker.Open(of.Dir, broker.Options{Listeners: []broker.Listener{{Address: of.Serve}}})
	if err != nil {
		return err
	}
	fmt.Println("serves")
	go func() { // the test's process is gone
		_, _ = os.Stdin.Read(make([]byte, 1))
		os.Exit(1)
	}()
	b.Serve(context.Background())
	return nil
}

// node is a broker as a process of its own, which is killed and started again.
type node struct {
	addr        string
	kill, start func()
}

// startKafka starts an Apache Kafka.
func startKafka(t *testing.T) *node {
	t.Helper()
	s := servertest.StartKafka(t)
	return &node{s.Addr, s.Kill, s.Start}
}

// startNode starts a broker of ours.
func startNode(t *testing.T) *node {
	t.Helper()
	p := &process{T: t, dir: t.TempDir()}
	var err error
	for range 10 { // another may have taken the port meanwhile
		p.addr = servertest.FreeAddress(t)
		if err = p.launch(); err == nil {
			t.Cleanup(p.kill)
			return &node{p.addr, p.kill, p.start}
		}
	}
	t.Fatalf("start a broker: %v", err)
	return nil
}

// process is that of a broker of ours.
type process struct {
	*testing.T
	addr, dir string
	command   *exec.Cmd
	killed    atomic.Bool
	ended     chan struct{}
}

// start starts the broker again, where it was.
func (p *process) start() {
	p.Helper()
	if err := p.launch(); err != nil {
		p.Fatalf("start a broker: %v", err)
	}
}

func (p *process) launch() error {
	p.command = task{Serve: p.addr, Dir: p.dir}.command(context.WithoutCancel(p.Context()), p.T) // [process.kill] ends it
	p.command.Stderr = p.Output()
	if _, err := p.command.StdinPipe(); err != nil {
		return err
	}
	out, err := p.command.StdoutPipe()
	if err == nil {
		err = p.command.Start()
	}
	if err == nil {
		_, err = bufio.NewReader(out).ReadString('\n')
	}
	if err != nil {
		_ = p.command.Wait() // it said why
		return err
	}
	p.killed.Store(false)
	p.ended = make(chan struct{})
	go func() {
		defer close(p.ended)
		if err := p.command.Wait(); !p.killed.Load() {
			p.Errorf("the broker ended by itself: %v", err)
		}
	}()
	return nil
}

func (p *process) kill() {
	p.killed.Store(true)
	_ = p.command.Process.Kill() // it may have ended
	<-p.ended
}

func connection(addr string) []kgo.Opt {
	return []kgo.Opt{
		kgo.SeedBrokers(addr), kgo.DisableClientMetrics(), kgo.MetadataMinAge(20 * time.Millisecond),
		kgo.RetryBackoffFn(func(int) time.Duration { return 20 * time.Millisecond }), kgo.FetchMaxWait(100 * time.Millisecond),
	}
}

// topic makes a topic of several partitions, and returns its name.
func (n *node) topic(t *testing.T, name string, configs map[string]*string) string {
	t.Helper()
	c, err := kgo.NewClient(connection(n.addr)...)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := kadm.NewClient(c).CreateTopic(t.Context(), 4, 1, configs, name); err != nil {
		t.Fatal(err)
	}
	return name
}

// reader reads what is committed, as long as it takes.
func (n *node) reader(t *testing.T, topics ...string) *kgo.Client {
	t.Helper()
	c, err := kgo.NewClient(append(connection(n.addr), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.ConsumeTopics(topics...),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// writer writes where its records say.
func (n *node) writer(t *testing.T) *kgo.Client {
	t.Helper()
	c, err := kgo.NewClient(append(connection(n.addr), kgo.RecordPartitioner(kgo.ManualPartitioner()))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// to is the destination that a node is.
func to(t *testing.T, n *node, opts ...kgo.Opt) relay.Destination {
	t.Helper()
	d, err := kafkarelay.New(kafkarelay.Options{}, append(connection(n.addr), opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// audit reads a topic until all have come, and a little longer: whatever was published
// twice would stand behind the last.
func audit(t *testing.T, n *node, topic string, keys, each int) {
	t.Helper()
	ctx, end := context.WithTimeout(t.Context(), patience)
	defer end()
	audited(ctx, &relaytest.Audit{T: t, Keys: keys, Each: each}, n.reader(t, topic))
}

func audited(ctx context.Context, a *relaytest.Audit, r *kgo.Client) {
	a.Helper()
	for !a.All() && ctx.Err() == nil {
		take(a, r.PollFetches(ctx))
	}
	a.Missing()
	for range 2 {
		last, end := context.WithTimeout(ctx, 150*time.Millisecond)
		take(a, r.PollFetches(last))
		end()
	}
}

func take(a *relaytest.Audit, fetches kgo.Fetches) {
	for r := range fetches.RecordsAll() {
		if r.Headers[0].Key != "id" {
			a.Errorf("%q is the first header, want id", r.Headers[0].Key)
		}
		a.Take(string(r.Key), string(r.Headers[0].Value), string(r.Value))
	}
}
