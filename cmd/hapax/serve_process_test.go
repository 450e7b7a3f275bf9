package main

import (
	"bytes"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// served is a hapax serve that is killed and started again on the same port.
type served struct {
	*testing.T
	program string
	address string
	dir     string
	flags   []string
	process *exec.Cmd
	said    bytes.Buffer
}

func serve(t *testing.T, flags ...string) *served { return serveBy(t, "hapax", flags...) }

// serveBy is serve with another program.
func serveBy(t *testing.T, program string, flags ...string) *served {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &served{T: t, program: program, address: l.Addr().String(), dir: filepath.Join(t.TempDir(), "data"), flags: flags}
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
	s.process = exec.Command(s.program, append([]string{"serve", "--data", s.dir, "--kafka", s.address, "--http", ""}, s.flags...)...)
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
