//go:build unix

package kafkarelay_test

import (
	"context"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/hapaxmq/hapax/adapter/kafkarelay"
	"github.com/hapaxmq/hapax/internal/relaytest"
	"github.com/hapaxmq/hapax/outbox/relay"
)

// The steps at which a relay dies. Those of the protocol of Kafka are in the middle of a
// batch: records are written; the end of the transaction is asked for, and answered.
func steps() []string {
	return []string{"taken", "opened", "resumed", "sealed", "written", "asked", "answered", "published", "deleted"}
}

// toWindow stands before the address of a broker whose topics have windows.
const toWindow = "windowed:"

// mortal is the destination of a relay that dies.
func mortal(server string, m *relaytest.Mortal) (relay.Destination, error) {
	if at, windowed := strings.CutPrefix(server, toWindow); windowed {
		return kafkarelay.NewWindowed(kafkarelay.WindowedOptions{}, append(connection(at),
			kgo.Dialer(func(_ context.Context, network, address string) (net.Conn, error) { return m.Dial(network, address) }))...)
	}
	return kafkarelay.New(kafkarelay.Options{}, append(connection(server), kgo.WithHooks(&hooks{m}))...)
}

type hooks struct{ *relaytest.Mortal }

// Keys of Kafka's requests.
const (
	produce = 0
	endTxn  = 26
)

var (
	_ kgo.HookBrokerWrite = (*hooks)(nil)
	_ kgo.HookBrokerRead  = (*hooks)(nil)
)

// OnBrokerWrite knows what was asked for. Other shards' fences are asked for too, and
// it is as well if the relay dies at one of them.
func (h *hooks) OnBrokerWrite(_ kgo.BrokerMetadata, key int16, _ int, _, _ time.Duration, _ error) {
	if key == endTxn && h.Publishing() {
		h.Reached("asked")
	}
}

func (h *hooks) OnBrokerRead(_ kgo.BrokerMetadata, key int16, _ int, _, _ time.Duration, _ error) {
	switch {
	case key == produce && h.Publishing():
		h.Reached("written")
	case key == endTxn && h.Publishing():
		h.Reached("answered")
	}
}

// TestS44Killed: a relay that is killed at any step publishes each record once, and those of an
// order key in their order.
func TestS44Killed(t *testing.T) {
	t.Parallel()
	n := startNode(t)
	for name, at := range relaytest.Places() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			killed(t, n, relaytest.NewBox(t, at(t)))
		})
	}
}

func killed(t *testing.T, n *node, b *relaytest.Box) {
	t.Helper()
	topic := n.topic(t, "killed-"+b.Table, nil)
	const keys, rounds = 8, 12
	for i, step := range steps() {
		b.PutRounds(t, topic, keys, i*rounds, rounds)
		b.Die(t, step, n.addr)
	}
	stop := b.Run(t, to(t, n), relay.Options{Batch: relaytest.Few()})
	audit(t, n, topic, keys, len(steps())*rounds)
	b.Drained(t)
	stop()
}
