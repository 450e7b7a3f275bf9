package peer

import (
	"bufio"
	"context"
	_ "embed"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/hapaxmq/hapax/bench/stream"
)

//go:embed rocksdb/peer.cc
var rocksDBSource []byte

// RocksDB is a store in a C++ program of its own, so that no call crosses
// from Go to C. It gets fingerprints through a pipe; what it reports is the
// time it spent itself, without the pipe.
type RocksDB struct {
	program *exec.Cmd
	in      io.WriteCloser
	out     *bufio.Reader
	request []byte
}

// OpenRocksDB compiles and starts the program, whose store is in dir. It needs
// g++ and the headers of RocksDB (Debian: librocksdb-dev).
func OpenRocksDB(ctx context.Context, dir string) (*RocksDB, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("make directory: %w", err)
	}
	source, binary := filepath.Join(dir, "peer.cc"), filepath.Join(dir, "peer")
	if err := os.WriteFile(source, rocksDBSource, 0o600); err != nil {
		return nil, fmt.Errorf("write source: %w", err)
	}
	build := exec.CommandContext(ctx, "g++", "-O2", "-std=c++17", "-o", binary, source, "-lrocksdb", "-lpthread")
	if output, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("compile RocksDB peer (install g++ and librocksdb-dev): %w: %s", err, output)
	}
	program := exec.CommandContext(ctx, binary, filepath.Join(dir, "store"))
	program.Stderr = os.Stderr
	program.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	in, err := program.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("start RocksDB peer: %w", err)
	}
	out, err := program.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("start RocksDB peer: %w", err)
	}
	if err := program.Start(); err != nil {
		return nil, fmt.Errorf("start RocksDB peer: %w", err)
	}
	return &RocksDB{program: program, in: in, out: bufio.NewReader(out)}, nil
}

// TakeBatch takes ids in as one synced write. It returns how many were new and
// how long that took, hashing and sorting included and the pipe not.
func (r *RocksDB) TakeBatch(ids []stream.ID) (fresh int, spent time.Duration, err error) {
	start := time.Now()
	keys := sortedKeys(ids)
	spent = time.Since(start)
	const synced = 1
	r.request = binary.NativeEndian.AppendUint32(r.request[:0], uint32(len(keys)))
	r.request = binary.NativeEndian.AppendUint32(r.request, synced)
	for i := range keys {
		r.request = append(r.request, keys[i][:]...)
	}
	if _, err := r.in.Write(r.request); err != nil {
		return 0, 0, fmt.Errorf("ask RocksDB peer: %w", err)
	}
	var answer [12]byte
	if _, err := io.ReadFull(r.out, answer[:]); err != nil {
		return 0, 0, fmt.Errorf("hear RocksDB peer: %w", err)
	}
	spent += time.Duration(binary.NativeEndian.Uint64(answer[:8]))
	return int(binary.NativeEndian.Uint32(answer[8:])), spent, nil
}

// Close ends the program and waits for it.
func (r *RocksDB) Close() error { return errors.Join(r.in.Close(), r.program.Wait()) }
