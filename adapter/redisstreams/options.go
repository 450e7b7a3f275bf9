package redisstreams

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/hapaxmq/hapax/adapter/redisdb"
	"github.com/hapaxmq/hapax/internal/intake"
)

// Options are those of a [Consumer]. Stream, Group and DeadLetters are required; of all
// others the zero value is good.
type Options struct {
	Stream string
	Group  string // of consumers, which must be there: XGROUP CREATE makes it

	// DeadLetters is the stream for messages that another try will not help. In a Redis
	// Cluster it must be in the slot of Stream, which a {tag} in both names does.
	DeadLetters string

	// Consumer is this one's name in the group. No two that run may have the same. If
	// empty it is one at random, which is taken out of the group at the end of a run,
	// unless something is pending under it.
	Consumer string

	// Payload is the field that holds a message's value. All others are headers
	// (default: "payload").
	Payload string

	// MinIdle is how long an entry must be pending with nobody at work on it before
	// another consumer takes it (default: 30 s; 30 ms at least). All consumers of a
	// group should have the same.
	MinIdle time.Duration

	// Attempts is how many deliveries that failed, or whose process died, make a dead
	// letter (default: no limit). They are counted by the server, see the package.
	Attempts int

	// Prefetch is how many messages are taken and not settled: handled, waiting for a
	// handler, or held until they come again (default: 64, at most 65,535).
	Prefetch int
	// Handlers is how many messages are handled at once (default: 16, or Prefetch if
	// that is less).
	Handlers int
	// Hold is how long a message that has to come again is held at most, then it is
	// given back (default: 10 min).
	Hold time.Duration
	// Drain is how long handlers may go on once the context of Run has ended; then
	// theirs ends too (default: 30 s).
	Drain  time.Duration
	Logger *slog.Logger // default: silent

	// Durable demands a server that syncs before it answers, as appendonly yes and
	// appendfsync always do, which New must be allowed to read by CONFIG GET. Any
	// other forgets entries that it has taken when it dies.
	Durable bool
	// BestEffort accepts a server that may evict the stream when its memory is full, or
	// of which New cannot read that it does not.
	BestEffort bool
}

const (
	defaultPayload = "payload"
	defaultMinIdle = 30 * time.Second
	shortestIdle   = 30 * time.Millisecond
)

func (o Options) withDefaults() (Options, error) {
	if o.Payload == "" {
		o.Payload = defaultPayload
	}
	if o.MinIdle == 0 {
		o.MinIdle = defaultMinIdle
	}
	switch {
	case o.Stream == "" || o.Group == "" || o.DeadLetters == "":
		return o, errors.New("want a stream, a group and a stream for dead letters")
	case o.DeadLetters == o.Stream:
		return o, fmt.Errorf("dead letters: %q is read by the consumer itself", o.DeadLetters)
	case o.MinIdle < shortestIdle:
		return o, fmt.Errorf("min idle %v: want %v at least", o.MinIdle, shortestIdle)
	case o.Attempts < 0:
		return o, fmt.Errorf("attempts %d: want none below zero", o.Attempts)
	}
	if o.Consumer == "" {
		o.Consumer = rand.Text()
	}
	return o, nil
}

func (o *Options) limits() (intake.Options, error) {
	return intake.Options{Prefetch: o.Prefetch, Handlers: o.Handlers, Hold: o.Hold, Drain: o.Drain, Logger: o.Logger}.WithDefaults()
}

// examine asks the servers what they keep, and refuses less than o asks for.
func (o *Options) examine(ctx context.Context, client redis.UniversalClient) (redisdb.Promises, error) {
	p, err := redisdb.Examine(ctx, client)
	if err != nil {
		return p, err
	}
	switch {
	case p.Policy == "" && !o.BestEffort:
		return p, errors.New("the server does not tell its maxmemory-policy, so it may evict the stream: " +
			"allow INFO memory, or accept that by BestEffort")
	case strings.HasPrefix(p.Policy, "allkeys") && !o.BestEffort:
		return p, fmt.Errorf("maxmemory-policy is %s, so the server may evict the stream: "+
			"set it to noeviction, or accept that by BestEffort", p.Policy)
	case o.Durable && !p.Durable:
		return p, fmt.Errorf("appendfsync is %q, so the server may forget entries that it has taken: "+
			"set appendonly yes and appendfsync always, or do without Durable", p.Fsync)
	}
	if cluster, ok := client.(*redis.ClusterClient); ok {
		return p, o.oneSlot(ctx, cluster)
	}
	return p, nil
}

// oneSlot refuses streams that a script cannot change together.
func (o *Options) oneSlot(ctx context.Context, cluster *redis.ClusterClient) error {
	stream, err := cluster.ClusterKeySlot(ctx, o.Stream).Result()
	if err != nil {
		return fmt.Errorf("ask for the slot of %q: %w", o.Stream, err)
	}
	dead, err := cluster.ClusterKeySlot(ctx, o.DeadLetters).Result()
	if err != nil {
		return fmt.Errorf("ask for the slot of %q: %w", o.DeadLetters, err)
	}
	if stream != dead {
		return fmt.Errorf("streams %q and %q are in slots %d and %d: name them with one {tag}", o.Stream, o.DeadLetters, stream, dead)
	}
	return nil
}
