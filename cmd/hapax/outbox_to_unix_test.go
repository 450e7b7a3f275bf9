//go:build unix

package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	client "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/hapaxmq/hapax/internal/servertest"
	"github.com/hapaxmq/hapax/outbox"
)

// TestOutboxTo: hapax outbox relay publishes to each destination, and says what that is worth. One
// that is killed is followed by another.
func TestOutboxTo(t *testing.T) {
	t.Parallel()
	name := fmt.Sprintf("outbox-to-%d", os.Getpid())
	for to, arrange := range map[string]func(t *testing.T) (flags []string, env, said string, count func() int){
		"nats":     func(t *testing.T) ([]string, string, string, func() int) { t.Helper(); return toNATS(t, name) },
		"rabbitmq": func(t *testing.T) ([]string, string, string, func() int) { t.Helper(); return toRabbitMQ(t, name) },
		"window":   func(t *testing.T) ([]string, string, string, func() int) { t.Helper(); return toWindow(t, name) },
	} {
		t.Run(to, func(t *testing.T) {
			t.Parallel()
			flags, env, said, count := arrange(t)
			o := outboxes()["sqlite"](t)
			const each = 30
			for kill := range 2 {
				for n := range each {
					o.put(outbox.Record{Topic: name, OrderKey: fmt.Sprint(n % 5), Payload: fmt.Append(nil, n)})
				}
				var stdout, stderr bytes.Buffer
				c := exec.Command("hapax", append(append([]string{"outbox", "relay", "--lease", "1s", "--batch", "7"}, flags...), o.flags...)...)
				c.Env, c.Stdout, c.Stderr = append(os.Environ(), "GORACE="+noLinger, env), &stdout, &stderr
				if err := c.Start(); err != nil {
					t.Fatal(err)
				}
				end, left := syscall.SIGKILL, int64(each/2)
				if kill == 1 {
					end, left = syscall.SIGTERM, 0
				}
				o.until(func(v outboxView) bool { return v.Pending <= left })
				if err := c.Process.Signal(end); err != nil {
					t.Fatal(err)
				}
				if err := c.Wait(); kill == 1 && err != nil {
					t.Errorf("the relay ended with %v\n%s", err, stderr.String())
				}
				if !strings.Contains(stdout.String(), said) || strings.Contains(stdout.String(), "guest:guest") {
					t.Errorf("said %q, want %q, and no password", stdout.String(), said)
				}
			}
			if got := count(); got != 2*each {
				t.Errorf("%d messages came, want %d", got, 2*each)
			}
		})
	}
}

func toNATS(t *testing.T, name string) (flags []string, env, said string, count func() int) {
	t.Helper()
	url := servertest.NATS(t)
	conn, err := client.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	s, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: name, Subjects: []string{name}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = js.DeleteStream(context.Background(), name) })
	return []string{"--nats", url}, "", "Records go to: streams of NATS at " + strings.TrimPrefix(url, "nats://") + ", each once inside", func() int {
		info, err := s.Info(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return int(info.State.Msgs)
	}
}

// toRabbitMQ counts ids.
func toRabbitMQ(t *testing.T, name string) (flags []string, env, said string, count func() int) {
	t.Helper()
	url := servertest.RabbitMQ(t)
	conn, err := amqp.Dial(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	ch, err := conn.Channel()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ch.QueueDeclare(name, true, false, false, false, nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = ch.QueueDelete(name, false, false, false) })
	return nil, "HAPAX_RABBITMQ=" + url, "Records go to: the default exchange of RabbitMQ at ", func() int {
		ids := map[string]bool{}
		for {
			d, ok, err := ch.Get(name, true)
			if err != nil {
				t.Fatal(err)
			}
			if !ok {
				return len(ids)
			}
			ids[d.MessageId] = true
		}
	}
}

func toWindow(t *testing.T, name string) (flags []string, env, said string, count func() int) {
	t.Helper()
	s := serve(t)
	_, err := kadm.NewClient(s.client()).CreateTopic(t.Context(), 1, 1, map[string]*string{
		"hapax.identity": kadm.StringPtr("header:order-id"), "hapax.window.ms": kadm.StringPtr("3600000"),
	}, name)
	if err != nil {
		t.Fatal(err)
	}
	return []string{"--kafka", s.address, "--window", "--id-header", "order-id"}, "", "with hapax.identity=header:order-id, each once", func() int {
		seen := 0
		c := s.client(kgo.ConsumeTopics(name), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
		for seen < 60 {
			seen += c.PollFetches(t.Context()).NumRecords()
		}
		return seen
	}
}

// TestOutboxToWrong: what can't be meant is told.
func TestOutboxToWrong(t *testing.T) {
	o := outboxes()["sqlite"](t)
	for _, test := range []struct{ flags, want string }{
		{"", "want one of --kafka, --nats and --rabbitmq, and there are 0"},
		{"--kafka localhost:1 --nats nats://localhost", "and there are 2"},
		{"--nats localhost", "--nats: want nats://"},
		{"--nats nats://localhost --key-header Nats-Msg-Id", "none of NATS's own"},
		{"--nats nats://localhost --key-header a:b", "without colons"},
		{"--nats http://localhost:4222", "--nats: want nats://"},
		{"--nats nats://localhost,http://localhost", "--nats: want nats://"},
		{"--rabbitmq http://localhost", "--rabbitmq: want"},
		{"--rabbitmq localhost", "--rabbitmq: want"},
		{"--nats nats://localhost --window", "are for --kafka"},
		{"--kafka localhost:1 --exchange e", "--exchange is for --rabbitmq"},
		{"--kafka localhost:1 --key-header k", "--key-header is for"},
		{"--rabbitmq amqp://localhost --creds f", "--creds is for --nats"},
		{"--kafka localhost:1 --window --progress p", "are for transactions"},
		{"--kafka localhost:1 --window --id-header a+b", "--id-header"},
		{"--rabbitmq amqp://localhost --ca f", "want --rabbitmq amqps://"},
	} {
		var stdout, stderr bytes.Buffer
		code := run(t.Context(), append(append([]string{"outbox", "relay"}, strings.Fields(test.flags)...), o.flags...), strings.NewReader(""), &stdout, &stderr)
		if code != exitUsage || !strings.Contains(stderr.String(), test.want) {
			t.Errorf("%s: exit code %d, %s: want %q", test.flags, code, stderr.String(), test.want)
		}
	}
	for _, test := range []struct{ flags, want string }{
		{"--database sqlite:", "want sqlite:FILE"},
		{"--database http://localhost/shop", "--database: want postgres://"},
		{"--database mysql:shop", "--database: want mysql://"},
		{"--database sqlite:shop.db --most -1", "--most -1: want 1 or more"},
	} {
		var stdout, stderr bytes.Buffer
		code := run(t.Context(), append([]string{"outbox", "list"}, strings.Fields(test.flags)...), strings.NewReader(""), &stdout, &stderr)
		if code != exitUsage || !strings.Contains(stderr.String(), test.want) {
			t.Errorf("list %s: exit code %d, %s: want %q", test.flags, code, stderr.String(), test.want)
		}
	}
}
