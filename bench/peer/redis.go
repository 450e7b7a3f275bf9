package peer

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/hapaxmq/hapax/bench/stream"
)

// Redis is a redis-server of our own, in memory only, reached over a unix
// socket by one connection that sends SET id 1 NX in pipelines. Redis hashes
// the ids itself. The client does no more than format and count, so that the
// server is what is measured.
type Redis struct {
	server *exec.Cmd
	conn   net.Conn
	in     *bufio.Reader
	out    []byte
	reply  []byte
}

// RedisPipeline is how many commands are on their way at once.
const RedisPipeline = 100

// OpenRedis starts a server whose socket is in dir.
func OpenRedis(ctx context.Context, dir string) (*Redis, error) {
	socket := filepath.Join(dir, "redis.sock")
	server := exec.CommandContext(ctx, "redis-server", "--port", "0", "--unixsocket", socket,
		"--save", "", "--appendonly", "no", "--dir", dir, "--daemonize", "no", "--loglevel", "warning")
	server.Stderr = os.Stderr
	server.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := server.Start(); err != nil {
		return nil, fmt.Errorf("start redis-server: %w", err)
	}
	r := &Redis{server: server, reply: make([]byte, 5*RedisPipeline)}
	var err error
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if r.conn, err = net.Dial("unix", socket); err == nil {
			break
		}
		if time.Now().After(deadline) {
			return nil, errors.Join(fmt.Errorf("connect to redis-server: %w", err), r.Close())
		}
	}
	r.in = bufio.NewReaderSize(r.conn, 64<<10)
	return r, nil
}

// Take takes ids in by pipelines and returns how many were new.
func (r *Redis) Take(ids []stream.ID) (fresh int, err error) {
	for len(ids) > 0 {
		part := ids[:min(RedisPipeline, len(ids))]
		ids = ids[len(part):]
		n, err := r.pipeline(part)
		if err != nil {
			return fresh, fmt.Errorf("redis: %w", err)
		}
		fresh += n
	}
	return fresh, nil
}

func (r *Redis) pipeline(ids []stream.ID) (fresh int, err error) {
	r.out = r.out[:0]
	for i := range ids {
		r.out = append(r.out, "*4\r\n$3\r\nSET\r\n$36\r\n"...)
		r.out = append(r.out, ids[i][:]...)
		r.out = append(r.out, "\r\n$1\r\n1\r\n$2\r\nNX\r\n"...)
	}
	if _, err := r.conn.Write(r.out); err != nil {
		return 0, err
	}
	// "+OK\r\n" and "$-1\r\n" are both five bytes long.
	replies := r.reply[:5*len(ids)]
	if _, err := io.ReadFull(r.in, replies); err != nil {
		return 0, err
	}
	for i := 0; i < len(replies); i += 5 {
		switch replies[i] {
		case '+':
			fresh++
		case '$':
		default:
			return 0, fmt.Errorf("unexpected reply %q", replies[i:])
		}
	}
	return fresh, nil
}

// Close stops the server.
func (r *Redis) Close() error {
	if r.conn != nil {
		_ = r.conn.Close() // the server is killed anyway
	}
	if err := r.server.Process.Kill(); err != nil {
		return err
	}
	_ = r.server.Wait() // it was killed
	return nil
}
