//go:build unix

package kafkaproducer_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"sync/atomic"
	"syscall"
	"testing"

	"go.uber.org/goleak"

	"github.com/hapaxmq/hapax/broker"
)

// task is what another process of this test's binary is for.
type task struct {
	Work   string // which of works
	Broker string // its address
	Dir    string // of the broker's data, or the file of a database
	Topic  string
	Stored bool   // ids are stored with their cause, and not natural
	Step   string // at which the process dies
	Number int64  // and at which time that the step is reached
}

// works are what processes do until they die.
func works() map[string]func(context.Context, task) error {
	return map[string]func(context.Context, task) error{
		"serve": serving, "trade": trading, "bill": billing, "forward": forwarding, "credit": crediting,
	}
}

const taskVariable = "HAPAX_KAFKAPRODUCER_TASK"

func TestMain(m *testing.M) {
	text, ok := os.LookupEnv(taskVariable)
	if !ok {
		goleak.VerifyTestMain(m)
		return
	}
	var of task
	err := json.Unmarshal([]byte(text), &of)
	if err == nil {
		go func() { // the test's process is gone
			_, _ = os.Stdin.Read(make([]byte, 1))
			os.Exit(1)
		}()
		err = works()[of.Work](context.Background(), of)
	}
	fmt.Fprintln(os.Stderr, of.Work, "ended with", err)
	if err != nil {
		os.Exit(1)
	}
}

// step is where a process dies by SIGKILL, at one time that it is there.
type step struct {
	name   string
	number int64
	times  atomic.Int64
}

func (s *step) reached(name string) {
	if s.name == name && s.times.Add(1) == s.number {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	}
}

// process is one that runs, and ends with the test.
type process struct {
	*exec.Cmd

	out   *bufio.Reader
	ended chan error
}

func (of task) start(t *testing.T) *process {
	t.Helper()
	text, err := json.Marshal(of)
	if err != nil {
		t.Fatal(err)
	}
	p := &process{Cmd: exec.CommandContext(context.WithoutCancel(t.Context()), os.Args[0]), ended: make(chan error, 1)}
	p.Env = append(os.Environ(), taskVariable+"="+string(text), "GORACE=atexit_sleep_ms=0")
	p.Stderr = t.Output()
	if _, err := p.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := p.StdoutPipe()
	if err == nil {
		p.out = bufio.NewReader(out)
		err = p.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	go func() { p.ended <- p.Wait() }()
	return p
}

// kill ends a process, unless it has ended.
func (p *process) kill() {
	_ = p.Process.Kill()
	err := <-p.ended
	p.ended <- err
}

// dies runs a process until it has died at its step.
func (of task) dies(t *testing.T) {
	t.Helper()
	var exit *exec.ExitError
	err := <-of.start(t).ended
	if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Fatalf("a process to %s ended by %v, and not by its kill at %q", of.Work, err, of.Step)
	}
}

// runs runs a process until it has done all.
func (of task) runs(t *testing.T) {
	t.Helper()
	if err := <-of.start(t).ended; err != nil {
		t.Fatalf("a process to %s: %v", of.Work, err)
	}
}

func serving(ctx context.Context, of task) error {
	b, err := broker.Open(of.Dir, broker.Options{
		Listeners: []broker.Listener{{Address: of.Broker}},
		Settings:  broker.Settings{"group.initial.rebalance.delay.ms": "0", "group.min.session.timeout.ms": "100"},
	})
	if err != nil {
		return err
	}
	fmt.Println("serves")
	b.Serve(ctx)
	return nil
}

// node is a broker as a process of its own, which can be killed and started again.
type node struct {
	task
	*process
}

func startNode(t *testing.T) *node {
	t.Helper()
	n := &node{task: task{Work: "serve", Broker: freeAddress(t), Dir: t.TempDir()}}
	n.start(t)
	t.Cleanup(func() { n.kill() })
	return n
}

func (n *node) start(t *testing.T) {
	t.Helper()
	n.process = n.task.start(t)
	if _, err := n.out.ReadString('\n'); err != nil {
		t.Fatalf("start a broker: %v", err)
	}
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
