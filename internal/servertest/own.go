//go:build unix

package servertest

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Server is a server of one test's own, on loopback. It ends with the test, and with
// the test's process.
type Server struct {
	Addr string
	Dir  string // of a RabbitMQ's files

	tb      testing.TB
	name    string
	command []string
	answers func(net.Conn) error

	mu      sync.Mutex
	process *process // nil while it is down
}

// process is a server that runs below a shell, which kills it when the test's process
// is gone: the shell's input ends with it. A server's own processes end with it, those
// that PostgreSQL has for its clients.
type process struct {
	shell *exec.Cmd
	stdin io.Closer
	pid   int // of the server
}

// StartRedis starts a Redis with arguments of its command line. It keeps its files
// in a folder of the test's.
func StartRedis(tb testing.TB, args ...string) *Server {
	tb.Helper()
	port := freePort(tb)
	command := append([]string{"redis-server", "--port", port, "--bind", "127.0.0.1", "--save", "", "--dir", tb.TempDir()}, args...)
	return begin(tb, "Redis", port, command, redisAnswers)
}

// StartMemcached starts a Memcached with arguments of its command line.
func StartMemcached(tb testing.TB, args ...string) *Server {
	tb.Helper()
	port := freePort(tb)
	command := append([]string{"memcached", "-u", "nobody", "-l", "127.0.0.1", "-p", port, "-U", "0"}, args...)
	return begin(tb, "Memcached", port, command, memcachedAnswers)
}

// StartMosquitto starts an MQTT broker with lines of its configuration. It keeps its
// sessions in a folder of the test's, and writes them when it is stopped.
func StartMosquitto(tb testing.TB, lines ...string) *Server {
	tb.Helper()
	port, dir := freePort(tb), tb.TempDir()
	file := filepath.Join(dir, "mosquitto.conf")
	text := fmt.Sprintf("user root\nlistener %s 127.0.0.1\nallow_anonymous true\npersistence true\npersistence_location %s/\n", port, dir)
	text += strings.Join(lines, "\n") + "\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		tb.Fatalf("configure Mosquitto: %v", err)
	}
	return begin(tb, "Mosquitto", port, []string{"/usr/sbin/mosquitto", "-c", file}, mqttAnswers)
}

// StartNATS starts a NATS server with JetStream and lines of configuration. It syncs each
// message, in a folder of the test's.
func StartNATS(tb testing.TB, lines ...string) *Server {
	tb.Helper()
	port, dir := freePort(tb), tb.TempDir()
	file := filepath.Join(dir, "nats.conf")
	text := fmt.Sprintf("listen: 127.0.0.1:%s\njetstream {store_dir: %q, sync_interval: always}\n%s\n", port, dir, strings.Join(lines, "\n"))
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		tb.Fatalf("configure NATS: %v", err)
	}
	return begin(tb, "NATS", port, []string{natsServer(), "-c", file}, natsAnswers)
}

// StartRabbitMQ starts a RabbitMQ with lines of configuration, beside that which tests share,
// whose port mapper it uses. It keeps its files in a folder of the test's.
func StartRabbitMQ(tb testing.TB, lines ...string) *Server {
	tb.Helper()
	RabbitMQ(tb)
	port, dir := freePort(tb), tb.TempDir()
	file := filepath.Join(dir, "rabbitmq.conf")
	if err := os.WriteFile(file, []byte(strings.Join(lines, "\n")), 0o600); err != nil {
		tb.Fatalf("configure RabbitMQ: %v", err)
	}
	s := begin(tb, "RabbitMQ", port, []string{
		"env", "HOME=" + dir, "ERL_EPMD_ADDRESS=127.0.0.1", "ERL_EPMD_PORT=56730",
		"RABBITMQ_NODENAME=test" + port + "@localhost", "RABBITMQ_DIST_PORT=" + freePort(tb),
		"RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=-noshell -noinput -kernel inet_dist_use_interface {127,0,0,1} -start_epmd false",
		"RABBITMQ_NODE_IP_ADDRESS=127.0.0.1", "RABBITMQ_NODE_PORT=" + port,
		"RABBITMQ_MNESIA_BASE=" + dir, "RABBITMQ_LOGS=-", "RABBITMQ_LOG_BASE=" + dir,
		"RABBITMQ_ENABLED_PLUGINS_FILE=" + filepath.Join(dir, "plugins"), "RABBITMQ_CONFIG_FILE=" + file,
		"RABBITMQ_ALLOW_INPUT=1", // or else it runs below a shell that outlives it
		"/usr/lib/rabbitmq/bin/rabbitmq-server",
	}, rabbitAnswers)
	s.Dir = dir
	return s
}

// natsServer is the program, in the path or where scripts/setup leaves it.
func natsServer() string {
	const name = "nats-server"
	if _, err := exec.LookPath(name); err == nil {
		return name
	}
	_, here, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(here), "..", "..", ".tools", "bin", name)
}

// FreeAddress is one on loopback that nobody listens on. Its port is below those that
// connections are made from (32768 and above, unless a system says otherwise): while a server is
// down, a client that tries to reach it could else be given its port, and keep it.
func FreeAddress(tb testing.TB) string {
	tb.Helper()
	for range 1000 {
		address := fmt.Sprintf("127.0.0.1:%d", 12000+rand.IntN(20000))
		if listener, err := net.Listen("tcp", address); err == nil {
			_ = listener.Close() // which was all it was for
			return address
		}
	}
	tb.Fatal("find a port: all are taken")
	return ""
}

func freePort(tb testing.TB) string {
	tb.Helper()
	return strings.TrimPrefix(FreeAddress(tb), "127.0.0.1:")
}

func begin(tb testing.TB, name, port string, command []string, answers func(net.Conn) error) *Server {
	tb.Helper()
	if _, err := exec.LookPath(command[0]); err != nil {
		missing(tb, fmt.Sprintf("no %s: run make services, which installs it", command[0]))
	}
	s := &Server{Addr: "127.0.0.1:" + port, tb: tb, name: name, command: command, answers: answers}
	tb.Cleanup(s.Kill)
	s.Start()
	return s
}

// Start starts the server again after [Server.Kill], on what it left, and waits until
// it serves.
func (s *Server) Start() {
	s.tb.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	var err error
	for range 6 { // one that ended at once, for a port or what the one before left, is started again
		if s.process == nil {
			if s.process, err = run(s.command); err != nil {
				s.tb.Fatalf("start %s: %v", s.name, err)
			}
		}
		if err = s.await(); err == nil {
			return
		}
		s.end()
	}
	s.tb.Fatalf("start %s: %v", s.name, err)
}

// await asks until the server answers.
func (s *Server) await() (err error) {
	pause := time.NewTicker(5 * time.Millisecond)
	defer pause.Stop()
	for until := time.Now().Add(6 * patience); time.Now().Before(until); <-pause.C {
		if err = ask(s.Addr, s.answers); err == nil {
			return nil
		}
	}
	return err
}

func run(command []string) (*process, error) {
	const watched = `"$@" >/dev/null 2>&1 & echo $!; read -r _
		kill -STOP $!; its=$(cat /proc/$!/task/$!/children 2>/dev/null); kill -9 $its $!; wait
		for one in $its; do while [ -e /proc/$one/exe ]; do sleep 0.01; done; done` // or PostgreSQL finds them at its next start, and ends
	shell := exec.Command("sh", append([]string{"-c", watched, "sh"}, command...)...)
	shell.Dir = "/" // which everybody can enter, whoever the server is
	stdin, err := shell.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := shell.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := shell.Start(); err != nil {
		return nil, err
	}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		return nil, fmt.Errorf("read its process id: %w", err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		return nil, fmt.Errorf("read its process id: %w", err)
	}
	return &process{shell: shell, stdin: stdin, pid: pid}, nil
}

// Kill ends the server as SIGKILL does, and returns when it is gone.
func (s *Server) Kill() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.end()
}

func (s *Server) end() {
	if s.process == nil {
		return
	}
	_ = s.process.stdin.Close()
	_ = s.process.shell.Wait() // tells how the shell's last command ended, which is by a signal
	s.process = nil
}

// Stop ends the server as SIGTERM does, which lets it write what it keeps, and returns
// when it is gone.
func (s *Server) Stop() {
	s.tb.Helper()
	s.signal(syscall.SIGTERM)
	pause := time.NewTicker(5 * time.Millisecond)
	defer pause.Stop()
	for until := time.Now().Add(12 * patience); time.Now().Before(until); <-pause.C {
		conn, err := net.DialTimeout("tcp", s.Addr, patience)
		if err != nil {
			break // it listens no more, which is the last that it ends
		}
		_ = conn.Close()
	}
	s.Kill()
}

// Pause stops the server where it is, so that it answers nobody, until [Server.Resume].
func (s *Server) Pause() { s.signal(syscall.SIGSTOP) }

// Resume lets a paused server go on.
func (s *Server) Resume() { s.signal(syscall.SIGCONT) }

func (s *Server) signal(sig syscall.Signal) {
	s.tb.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process == nil {
		s.tb.Fatalf("%s does not run", s.name)
	}
	if err := syscall.Kill(s.process.pid, sig); err != nil {
		s.tb.Fatalf("signal %s: %v", s.name, err)
	}
}
