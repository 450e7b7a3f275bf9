package demo

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
)

// process is a part, as the conductor has it: a process that is killed and started again.
type process struct {
	*conductor
	config config
	log    string // file of what it says on standard error

	mu      sync.Mutex
	cmd     *exec.Cmd
	in      io.WriteCloser
	meant   bool          // its end is
	ended   chan struct{} // closed when it has ended
	address string        // where it listens, if it does
	ready   chan struct{} // closed when it is ready
}

func (c *conductor) newProcess(of config) *process {
	p := &process{conductor: c, config: of, log: filepath.Join(c.dir, strings.TrimPrefix(of.Column+"-"+of.Part+".log", "-"))}
	p.ready = make(chan struct{})
	return p
}

// start starts the process, which need not be ready on return.
func (p *process) start() error {
	first, err := json.Marshal(p.config)
	if err != nil {
		return err
	}
	log, err := os.OpenFile(p.log, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }() // it is the child's now
	cmd := exec.Command(p.o.Program[0], p.o.Program[1:]...)
	cmd.Stderr = log
	in, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", p.config.Part, err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cmd, p.in, p.meant, p.ended = cmd, in, false, make(chan struct{})
	go p.listen(cmd, out, p.ended)
	_, err = in.Write(append(first, '\n'))
	return err
}

// listen hears what a process says until it ends.
func (p *process) listen(cmd *exec.Cmd, out io.Reader, ended chan struct{}) {
	said := bufio.NewScanner(out)
	for said.Scan() {
		var l line
		if err := json.Unmarshal(said.Bytes(), &l); err != nil {
			p.tally.fail(fmt.Errorf("%s said %q", p.config.Part, said.Text()))
			break
		}
		p.hear(l)
	}
	err := cmd.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	close(ended)
	if !p.meant {
		p.tally.fail(fmt.Errorf("%s of %s ended by itself: %w%s", p.config.Part, p.config.Column, err, lastLines(p.log)))
	}
}

func (p *process) hear(l line) {
	if l.What == isReady {
		p.mu.Lock()
		if len(l.Of) > 0 {
			p.address = l.Of[0]
		}
		close(p.ready)
		p.mu.Unlock()
		return
	}
	p.tally.add(p.config, l)
	if l.Ask > 0 {
		go p.answer(l)
	}
}

// answer does what the plan has for a step, and lets the part go on if it lives.
func (p *process) answer(l line) {
	fail := p.reached(p, l)
	text, err := json.Marshal(line{Ask: l.Ask, Fail: fail})
	if err != nil {
		p.tally.fail(err)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	_, _ = p.in.Write(append(text, '\n')) // if it is gone, it asks no more
}

// at waits until the process is ready, and is where it listens.
func (p *process) at(ctx context.Context) (string, error) {
	p.mu.Lock()
	ready := p.ready
	p.mu.Unlock()
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("%s of %s is not ready after %v", p.config.Part, p.config.Column, patience))
	defer cancel()
	for {
		p.tally.mu.Lock()
		failed, changed := p.tally.failed, p.tally.changed
		p.tally.mu.Unlock()
		if failed != nil {
			return "", failed
		}
		select {
		case <-ready:
			return p.listens(), nil
		case <-changed:
		case <-ctx.Done():
			return "", context.Cause(ctx)
		}
	}
}

func (p *process) listens() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.address
}

// kill kills the process by SIGKILL, and returns when it is dead.
func (p *process) kill() error {
	return p.end(func(cmd *exec.Cmd, _ io.Closer) error { return cmd.Process.Kill() })
}

// stop lets the process end by itself.
func (p *process) stop() error {
	return p.end(func(_ *exec.Cmd, in io.Closer) error { return in.Close() })
}

func (p *process) end(how func(*exec.Cmd, io.Closer) error) error {
	p.mu.Lock()
	if p.cmd == nil {
		p.mu.Unlock()
		return nil
	}
	p.meant = true
	p.ready = make(chan struct{})
	err := how(p.cmd, p.in)
	ended := p.ended
	p.mu.Unlock()
	<-ended
	if errors.Is(err, os.ErrProcessDone) {
		err = nil
	}
	return err
}

// lastLines are those of a file, each behind an end of line.
func lastLines(name string) string {
	text, err := os.ReadFile(name)
	if err != nil {
		return "\n" + err.Error()
	}
	return strings.TrimRight("\n"+string(text[max(0, len(text)-2000):]), "\n")
}
