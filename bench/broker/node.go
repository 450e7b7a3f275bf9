package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/hapaxmq/hapax/bench/measure"
)

// node is one broker that is measured.
type node struct {
	name    string
	address string
	command func() *exec.Cmd
	process *exec.Cmd
	output  string // the file that it writes its messages to
}

// open builds our broker.
func (b *bench) open(hapax string) error {
	if hapax == "" {
		hapax = filepath.Join(b.dir, "hapax")
		if err := measure.Go(b.ctx, "build", "-o", hapax, "./cmd/hapax"); err != nil {
			return err
		}
	}
	ours, err := b.hapax(hapax, filepath.Join(b.dir, "data"))
	b.nodes = []*node{ours}
	return err
}

// startAll starts all brokers, unless they run. The first is ours.
func (b *bench) startAll() error {
	if b.nodes[0].process != nil {
		return nil
	}
	jars, err := kafkaJars(b.ctx)
	if err != nil {
		fmt.Fprintln(os.Stderr, "broker: measured without Apache Kafka:", err)
	} else {
		for _, peer := range []struct{ name, settings string }{
			{"Kafka", ""}, {"Kafka with fsync", "log.flush.interval.messages=1\n"},
		} {
			n, err := b.kafka(jars, peer.name, peer.settings)
			if err != nil {
				return err
			}
			b.nodes = append(b.nodes, n)
		}
	}
	for _, n := range b.nodes {
		if err := n.start(b.ctx); err != nil {
			return err
		}
	}
	return nil
}

// close kills those that run.
func (b *bench) close() (err error) {
	for _, n := range b.nodes {
		err = errors.Join(err, n.end(syscall.SIGKILL))
	}
	return err
}

// alone runs f with a broker of ours that has done nothing yet, and ends it.
func (b *bench) alone(f func(*node) error, more ...string) error {
	data := filepath.Join(b.dir, "alone")
	n, err := b.hapax(b.nodes[0].command().Path, data, more...)
	if err != nil {
		return err
	}
	if err := n.start(b.ctx); err != nil {
		return err
	}
	err = f(n)
	return errors.Join(err, n.end(syscall.SIGKILL), os.RemoveAll(data))
}

// hapax is our broker on a directory of its own.
func (b *bench) hapax(binary, data string, more ...string) (*node, error) {
	address, err := freeAddress()
	arguments := append([]string{"serve", "--data", data, "--kafka", address, "--http", ""}, more...)
	return &node{
		name: "hapax", address: address, output: data + ".log",
		command: func() *exec.Cmd { return exec.Command(binary, arguments...) },
	}, err
}

func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// start runs the broker until it is ended, and returns once it lets clients in.
func (n *node) start(ctx context.Context) error {
	output, err := os.OpenFile(n.output, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	defer func() { _ = output.Close() }() // the process has it
	n.process = n.command()
	n.process.Stdout, n.process.Stderr = output, output
	n.process.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := n.process.Start(); err != nil {
		return fmt.Errorf("start %s: %w", n.name, err)
	}
	for deadline := time.Now().Add(time.Minute); ; {
		c, err := net.Dial("tcp", n.address)
		if err == nil {
			return c.Close()
		}
		if time.Now().After(deadline) || ctx.Err() != nil {
			said, _ := os.ReadFile(n.output)
			return fmt.Errorf("start %s: %w: %s", n.name, err, strings.TrimSpace(string(said)))
		}
		time.Sleep(time.Millisecond)
	}
}

// end sends the process a signal and waits until it is gone.
func (n *node) end(signal os.Signal) error {
	if n.process == nil {
		return nil
	}
	if err := n.process.Process.Signal(signal); err != nil {
		return fmt.Errorf("end %s: %w", n.name, err)
	}
	_ = n.process.Wait() // its status tells of the signal
	n.process = nil
	return nil
}

// spent runs f and returns how many seconds of processor time the broker took.
func (n *node) spent(f func() error) (float64, error) {
	before, err := measure.CPUOf(n.process.Process.Pid)
	if err != nil {
		return 0, err
	}
	if err := f(); err != nil {
		return 0, err
	}
	after, err := measure.CPUOf(n.process.Process.Pid)
	return (after - before).Seconds(), err
}
