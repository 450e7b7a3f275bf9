package clients

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestConnect: a distributed worker of Kafka Connect reads a file into a topic,
// exactly once, and another connector of it writes the topic to a file. The worker
// and the broker are killed meanwhile. What Connect knows is in compacted topics.
func TestConnect(t *testing.T) {
	t.Parallel()
	require(t, installed+"/java/classes/done")
	n := start(t)
	n.topic("copied", 1)
	w := newWorker(t, n)
	w.start()
	w.connector("source", map[string]string{"connector.class": "FileStreamSource", "file": w.path("in"), "topic": "copied",
		"transaction.boundary": "poll"})
	w.connector("sink", map[string]string{"connector.class": "FileStreamSink", "file": w.path("out"), "topics": "copied",
		"consumer.override.isolation.level": "read_committed"})

	g := newGathering(t, n, "copied")
	g.readCommitted(n, "copied")
	write := func() {
		t.Helper()
		g.mu.Lock()
		defer g.mu.Unlock()
		var lines bytes.Buffer
		for range 500 {
			fmt.Fprintln(&lines, g.written)
			g.written++
		}
		w.append("in", lines.Bytes())
	}
	copied := func() bool { return len(g.handled) == g.written }
	write()
	g.await("the file is in the topic", copied)
	write()
	w.process.kill()
	w.start()
	g.await("the killed worker goes on", copied)
	n.kill()
	write()
	g.await("the worker goes on with a killed broker", copied)
	for number, times := range g.handled {
		if times != 1 {
			t.Errorf("line %d is in the topic %d times", number, times)
		}
	}
	w.awaitLines("out", g.written)
}

// worker is a worker of Kafka Connect.
type worker struct {
	*testing.T
	dir     string
	rest    string // its HTTP interface
	argv    []string
	process *program
}

func newWorker(t *testing.T, n *node) *worker {
	t.Helper()
	w := &worker{T: t, dir: t.TempDir(), rest: freeAddress(t)}
	w.append("in", nil)
	w.append("worker.properties", fmt.Appendf(nil, `bootstrap.servers=%s
listeners=http://%s
group.id=workers
config.storage.topic=connect-configs
config.storage.replication.factor=1
offset.storage.topic=connect-offsets
offset.storage.replication.factor=1
offset.storage.partitions=1
status.storage.topic=connect-status
status.storage.replication.factor=1
status.storage.partitions=1
key.converter=org.apache.kafka.connect.storage.StringConverter
value.converter=org.apache.kafka.connect.storage.StringConverter
connector.client.config.override.policy=All
exactly.once.source.support=enabled
plugin.discovery=service_load
session.timeout.ms=5000
heartbeat.interval.ms=200
scheduled.rebalance.max.delay.ms=0
offset.flush.interval.ms=500
`, n.address, w.rest))
	w.argv = append(javaCommand("org.apache.kafka.connect.cli.ConnectDistributed"), w.path("worker.properties"))
	return w
}

func (w *worker) start() {
	w.Helper()
	w.process = launch(w.T, "connect", exec.Command(w.argv[0], w.argv[1:]...))
}

func (w *worker) path(name string) string { return filepath.Join(w.dir, name) }

// append writes to the end of a file.
func (w *worker) append(name string, content []byte) {
	w.Helper()
	f, err := os.OpenFile(w.path(name), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err == nil {
		_, err = f.Write(content)
	}
	if err == nil {
		err = f.Close()
	}
	if err != nil {
		w.Fatal(err)
	}
}

// eventually calls done until it says yes.
func (w *worker) eventually(what string, done func() error) {
	w.Helper()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for late := time.After(patience); ; {
		err := done()
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-late:
			w.Fatalf("waited %v for: %s: %v", patience, what, err)
		}
	}
}

// connector makes a connector, once the worker is ready.
func (w *worker) connector(name string, config map[string]string) {
	w.Helper()
	body, err := json.Marshal(config)
	if err != nil {
		w.Fatal(err)
	}
	w.eventually("connector "+name, func() error {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, http.MethodPut, "http://"+w.rest+"/connectors/"+name+"/config", bytes.NewReader(body))
		if err != nil {
			return err
		}
		req.Header.Set("Content-Type", "application/json")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		said, err := io.ReadAll(resp.Body)
		if err == nil && resp.StatusCode >= http.StatusBadRequest {
			err = fmt.Errorf("%s: %s", resp.Status, said)
		}
		_ = resp.Body.Close() // it was only read
		return err
	})
}

// awaitLines returns when a file has the lines of all numbers up to count. A sink
// may write some again after it was killed.
func (w *worker) awaitLines(name string, count int) {
	w.Helper()
	w.eventually(name, func() error {
		content, err := os.ReadFile(w.path(name))
		if err != nil {
			return err
		}
		lines := map[string]bool{}
		for line := range strings.Lines(string(content)) {
			lines[strings.TrimSpace(line)] = true
		}
		if len(lines) < count {
			return fmt.Errorf("%d lines of %d", len(lines), count)
		}
		return nil
	})
}
