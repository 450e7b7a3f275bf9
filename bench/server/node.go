// Package server starts the brokers that are measured, and kills them.
package server

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/hapaxmq/hapax/bench/measure"
)

// Node is one broker that is measured.
type Node struct {
	Name    string
	Address string
	Command func() *exec.Cmd
	Process *exec.Cmd // nil while it does not run
	Output  string    // the file that it writes its messages to
}

// Hapax is our broker on a directory of its own.
func Hapax(binary, data string, more ...string) (*Node, error) {
	address, err := FreeAddress()
	arguments := append([]string{"serve", "--data", data, "--kafka", address, "--http", ""}, more...)
	return &Node{
		Name: "hapax", Address: address, Output: data + ".log",
		Command: func() *exec.Cmd { return exec.Command(binary, arguments...) },
	}, err
}

// FreeAddress is one that nobody listens at.
func FreeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// Start runs the broker until it is ended, and returns once it lets clients in.
func (n *Node) Start(ctx context.Context) error {
	output, err := os.OpenFile(n.Output, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	defer func() { _ = output.Close() }() // the process has it
	n.Process = n.Command()
	n.Process.Stdout, n.Process.Stderr = output, output
	n.Process.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := n.Process.Start(); err != nil {
		return fmt.Errorf("start %s: %w", n.Name, err)
	}
	for deadline := time.Now().Add(time.Minute); ; {
		c, err := net.Dial("tcp", n.Address)
		if err == nil {
			return c.Close()
		}
		if time.Now().After(deadline) || ctx.Err() != nil {
			said, _ := os.ReadFile(n.Output)
			return fmt.Errorf("start %s: %w: %s", n.Name, err, strings.TrimSpace(string(said)))
		}
		time.Sleep(time.Millisecond)
	}
}

// End sends the process a signal and waits until it is gone.
func (n *Node) End(signal os.Signal) error {
	if n.Process == nil {
		return nil
	}
	if err := n.Process.Process.Signal(signal); err != nil {
		return fmt.Errorf("end %s: %w", n.Name, err)
	}
	_ = n.Process.Wait() // its status tells of the signal
	n.Process = nil
	return nil
}

// Spent runs f and returns how many seconds of processor time the broker took.
func (n *Node) Spent(f func() error) (float64, error) {
	before, err := measure.CPUOf(n.Process.Process.Pid)
	if err != nil {
		return 0, err
	}
	if err := f(); err != nil {
		return 0, err
	}
	after, err := measure.CPUOf(n.Process.Process.Pid)
	return (after - before).Seconds(), err
}
