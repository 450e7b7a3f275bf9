//go:build unix

package kafkarelay_test

import (
	"context"
	"testing"
	"time"

	"github.com/hapaxmq/hapax/internal/relaytest"
	"github.com/hapaxmq/hapax/internal/servertest"
	"github.com/hapaxmq/hapax/outbox/relay"
)

// TestS44Restarts: while some hundreds of records a second are put and two relays share the
// shards, the database and the broker are killed and start again, one after the other and
// together: each record is published once, each key in its order, and nothing stays behind.
func TestS44Restarts(t *testing.T) {
	t.Parallel()
	for name, at := range relaytest.OwnPlaces() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := startNode(t)
			place, database := at(t)
			restarts(t, n, relaytest.NewBox(t, place), database)
		})
	}
}

func restarts(t *testing.T, n *node, b *relaytest.Box, database *servertest.Server) {
	t.Helper()
	ctx, end := context.WithTimeout(t.Context(), patience)
	defer end()
	topic := n.topic(t, "restarts-"+b.Table, nil)
	o := relay.Options{Lease: time.Second, MaxPause: 100 * time.Millisecond}
	stopFirst, stopSecond := b.Run(t, to(t, n), o), b.Run(t, to(t, n), o)
	const keys = 8
	writers := b.Writers(t, topic, keys, 20*time.Millisecond)
	a, r := &relaytest.Audit{T: t, Keys: keys}, n.reader(t, topic)
	for _, harm := range []func(){
		func() {},
		func() { database.Kill(); database.Start() },
		func() { n.kill(); n.start() },
		func() { database.Kill(); n.kill(); n.start(); database.Start() },
		func() { n.kill(); database.Kill(); database.Start(); n.start() },
	} {
		harm()
		for more := a.Came() + 200; a.Came() < more && ctx.Err() == nil; {
			take(a, r.PollFetches(ctx))
		}
	}
	a.Each = writers.Stop()
	audited(ctx, a, r)
	b.Drained(t)
	stopFirst()
	stopSecond()
}
