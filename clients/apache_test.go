package clients

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// apacheNode is Apache Kafka, set up as one node.
func apacheNode(t *testing.T) *node {
	t.Helper()
	require(t, installed+"/java/lib/done")
	address, controller, dir := freeAddress(t), freeAddress(t), t.TempDir()
	file := filepath.Join(dir, "server.properties")
	err := os.WriteFile(file, fmt.Appendf(nil, `process.roles=broker,controller
node.id=1
controller.quorum.voters=1@%[2]s
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://%[1]s,CONTROLLER://%[2]s
advertised.listeners=PLAINTEXT://%[1]s
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs=%[3]s
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.num.partitions=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
`, address, controller, filepath.Join(dir, "data")), 0o600)
	if err != nil {
		t.Fatal(err)
	}
	format := javaCommand("kafka.tools.StorageTool")
	format = append(format, "format", "-t", "AAAAAAAAAAAAAAAAAAAAAA", "-c", file)
	if out, err := exec.Command(format[0], format[1:]...).CombinedOutput(); err != nil {
		t.Fatalf("format: %v\n%s", err, out)
	}
	run := append(javaCommand("kafka.Kafka"), file)
	return &node{T: t, address: address, command: func() *exec.Cmd { return exec.Command(run[0], run[1:]...) }}
}
