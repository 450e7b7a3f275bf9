//go:build unix

package kafka_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/adapter/kafka"
	"github.com/hapaxmq/hapax/inbox"
)

// What the process that is to die is told.
const (
	envKill = "HAPAX_KAFKA_TEST_KILL" // where: "work" or "ack"
	envAddr = "HAPAX_KAFKA_TEST_ADDR"
	envName = "HAPAX_KAFKA_TEST_TOPIC"
	envID   = "HAPAX_KAFKA_TEST_IDENTITY"
	envFile = "HAPAX_KAFKA_TEST_FILE"
)

// The process dies before its acknowledgement: in the middle of a transaction, and
// when it is committed, but the offset is not.
func killed(t *testing.T, addr, identity string) {
	const count = 200
	w := newWorld(t, addr, identity, 1)
	w.produce(count, 1)
	for _, where := range []string{"work", "ack", "work"} {
		child := exec.CommandContext(w.ctx, os.Args[0], "-test.run=^TestMemberThatDies$")
		child.Env = append(os.Environ(), envKill+"="+where, envAddr+"="+addr, envName+"="+w.topic, envID+"="+identity, envFile+"="+w.file)
		out, err := child.CombinedOutput()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
			t.Fatalf("the process that was to be killed at its %s ended with %v:\n%s", where, err, out)
		}
	}
	done := make(chan struct{})
	last := w.join(habits{ended: func(d inbox.Delivery) {
		if d.Outcome == hapax.Executed && id(d.Message) == fmt.Sprint(count-1) {
			close(done)
		}
	}})
	await(w, done)
	w.leave(last)
	w.audit(count)
	w.wantCommitted()
}

// TestMemberThatDies is a process of killed.
func TestMemberThatDies(t *testing.T) {
	where := os.Getenv(envKill)
	if where == "" {
		t.Skip("run by other tests, to be killed")
	}
	w := &world{TB: t, ctx: t.Context(), addr: os.Getenv(envAddr), topic: os.Getenv(envName), identity: os.Getenv(envID), file: os.Getenv(envFile)}
	w.openDatabase()
	const after = 25
	committed := make(chan struct{}) // what is committed is what a loss would come of
	var once sync.Once
	var worked, acked atomic.Int64
	kill := func() {
		<-committed
		syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	}
	m := w.join(habits{
		options: kafka.Options{Commit: 100 * time.Millisecond},
		opts: []kgo.Opt{kgo.AutoCommitCallback(func(_ *kgo.Client, _ *kmsg.OffsetCommitRequest, _ *kmsg.OffsetCommitResponse, err error) {
			if err == nil {
				once.Do(func() { close(committed) })
			}
		})},
		work: func(context.Context, *hapax.Message) error {
			if where == "work" && worked.Add(1) == after {
				kill()
			}
			return nil
		},
		ended: func(d inbox.Delivery) {
			if where == "ack" && d.Outcome == hapax.Executed && acked.Add(1) == after {
				kill()
			}
		},
	})
	<-m.ran
}
