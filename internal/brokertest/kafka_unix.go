//go:build unix

package brokertest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Kafka is Apache Kafka, one node with its data in dir, of the jars in another
// directory. It is how this package is judged: nothing may be found.
func Kafka(jars, dir string) Broker {
	java := func(class string, args ...string) *exec.Cmd {
		c := exec.Command("java", append([]string{"-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
			"-cp", filepath.Join(jars, "*"), class}, args...)...)
		c.Dir = dir
		return c
	}
	settings := filepath.Join(dir, "server.properties")
	return Broker{
		Start: time.Minute, Stopped: 128 + int(syscall.SIGTERM), WithinEpoch: true, NoWindows: true,
		Setup: func(_ context.Context, at Addresses) error {
			controller, err := freeAddress()
			if err != nil {
				return err
			}
			if err := os.WriteFile(settings, []byte(kafkaSettings(at, controller, dir)), 0o600); err != nil {
				return err
			}
			out, err := java("kafka.tools.StorageTool", "format", "-t", "MkU3OEVBNTcwNTJENDM2Qg", "-c", settings).CombinedOutput()
			if err != nil {
				return fmt.Errorf("format: %w\n%s", err, out)
			}
			return nil
		},
		Command: func(Addresses) *exec.Cmd { return java("kafka.Kafka", settings) },
	}
}

func kafkaSettings(at Addresses, controller, dir string) string {
	return strings.Join([]string{
		"process.roles=broker,controller", "node.id=1",
		"controller.quorum.voters=1@" + controller,
		"listeners=FAULTY://" + at.Proxied + ",DIRECT://" + at.Direct + ",CONTROLLER://" + controller,
		"advertised.listeners=FAULTY://" + at.Advertise + ",DIRECT://" + at.Direct,
		"listener.security.protocol.map=FAULTY:PLAINTEXT,DIRECT:PLAINTEXT,CONTROLLER:PLAINTEXT",
		"controller.listener.names=CONTROLLER", "inter.broker.listener.name=DIRECT",
		"log.dirs=" + filepath.Join(dir, "data"),
		"log.segment.bytes=1048576", "log.cleaner.backoff.ms=100",
		"offsets.topic.replication.factor=1", "offsets.topic.num.partitions=1",
		"transaction.state.log.replication.factor=1", "transaction.state.log.min.isr=1", "transaction.state.log.num.partitions=1",
		"share.coordinator.state.topic.replication.factor=1", "share.coordinator.state.topic.min.isr=1",
		"transaction.abort.timed.out.transaction.cleanup.interval.ms=500",
		"group.initial.rebalance.delay.ms=0", "group.min.session.timeout.ms=100",
		"group.consumer.min.heartbeat.interval.ms=100", "group.consumer.heartbeat.interval.ms=100",
		"group.consumer.min.session.timeout.ms=2000", "group.consumer.session.timeout.ms=2000",
		"broker.session.timeout.ms=1000", "broker.heartbeat.interval.ms=200",
	}, "\n") + "\n"
}
