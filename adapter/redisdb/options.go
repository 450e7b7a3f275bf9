package redisdb

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// Options are what a [Ledger] is opened with. All programs that share its keys should
// have the same ones, but need not.
type Options struct {
	// Window is how long a message is remembered, from its commit. Required; a
	// millisecond at least, and a hundred years at most.
	Window time.Duration

	// Prefix stands before each key (default "hapax:"). In a Redis Cluster a prefix
	// with a {tag} puts all keys on one node.
	Prefix string

	// MaxReceipt is how many bytes a receipt may have (default 64 KiB). Receipts are
	// in the server's memory for the window.
	MaxReceipt int

	// TokenMemory is how long the token of a claim that was released or ran out is
	// remembered, so that the next one is higher even if the server's clock was set
	// back meanwhile (default 1 h).
	TokenMemory time.Duration

	// Durable demands a server that syncs before it answers: appendonly yes and
	// appendfsync always, which Open must be allowed to read by CONFIG GET.
	Durable bool

	// BestEffort accepts a server that may evict keys, or of which Open cannot read
	// what it evicts: then a message may be forgotten inside its window, and run again.
	BestEffort bool
}

const (
	longest = 100 * 365 * 24 * time.Hour

	defaultPrefix      = "hapax:"
	defaultMaxReceipt  = 64 << 10
	defaultTokenMemory = time.Hour
)

func (o Options) withDefaults() (Options, error) {
	if o.Prefix == "" {
		o.Prefix = defaultPrefix
	}
	if o.MaxReceipt == 0 {
		o.MaxReceipt = defaultMaxReceipt
	}
	if o.TokenMemory == 0 {
		o.TokenMemory = defaultTokenMemory
	}
	switch {
	case o.Window < time.Millisecond || o.Window > longest:
		return o, fmt.Errorf("option Window %v: want 1ms to %v", o.Window, longest)
	case o.MaxReceipt < 0:
		return o, fmt.Errorf("option MaxReceipt %d: want none below zero", o.MaxReceipt)
	case o.TokenMemory < time.Millisecond || o.TokenMemory > longest:
		return o, fmt.Errorf("option TokenMemory %v: want 1ms to %v", o.TokenMemory, longest)
	}
	return o, nil
}

// Promises are what the servers said of themselves when the ledger was opened; of
// several, what holds for all. Who changes a server's settings later changes them.
type Promises struct {
	Evicts  bool   // may forget a message inside its window, when memory is full
	Durable bool   // what was answered outlives the server's process and its machine's power
	Policy  string // maxmemory-policy; empty if it could not be read
	Fsync   string // appendfsync; "no file" without one, empty if it could not be read
}

// Examine asks every primary behind a client what it can keep. It refuses a replica, a
// Ring, and a node of a cluster that is not asked as one.
func Examine(ctx context.Context, client redis.UniversalClient) (Promises, error) {
	switch c := client.(type) {
	case *redis.ClusterClient:
		var mu sync.Mutex
		var worst *Promises
		err := c.ForEachMaster(ctx, func(ctx context.Context, node *redis.Client) error {
			p, err := ask(ctx, node, "1")
			if err != nil {
				return fmt.Errorf("node %s: %w", node.Options().Addr, err)
			}
			mu.Lock()
			defer mu.Unlock()
			if worst == nil {
				worst = &p
			} else {
				worst.join(p)
			}
			return nil
		})
		if err != nil {
			return Promises{}, err
		}
		if worst == nil {
			return Promises{}, errors.New("the cluster has no primaries")
		}
		return *worst, nil
	case *redis.Ring:
		return Promises{}, errors.New("a Ring moves keys when a server fails, and forgets by it: use a Redis Cluster")
	default:
		return ask(ctx, c, "0")
	}
}

// join makes of p what holds for both.
func (p *Promises) join(q Promises) {
	if q.Evicts && !p.Evicts {
		p.Evicts, p.Policy = true, q.Policy
	}
	if p.Durable && !q.Durable {
		p.Durable, p.Fsync = false, q.Fsync
	}
}

// asked is the part of a client that ask needs.
type asked interface {
	Info(ctx context.Context, sections ...string) *redis.StringCmd
	ConfigGet(ctx context.Context, parameter string) *redis.MapStringStringCmd
}

// ask asks one server. cluster is what it must say of being a cluster's node.
func ask(ctx context.Context, c asked, cluster string) (Promises, error) {
	info, err := c.Info(ctx, "memory", "persistence", "replication", "cluster").Result()
	if err != nil {
		return Promises{}, fmt.Errorf("ask what it can keep (INFO): %w", err)
	}
	said := fields(info)
	switch {
	case said["role"] == "slave":
		return Promises{}, errors.New("the server is a replica: connect to its primary")
	case said["cluster_enabled"] == "1" && cluster == "0":
		return Promises{}, errors.New("the server is a node of a Redis Cluster: use redis.NewClusterClient")
	}
	p := Promises{Policy: said["maxmemory_policy"], Fsync: "no file"}
	p.Evicts = p.Policy != "noeviction"
	if said["aof_enabled"] == "1" {
		// Who may not ask is told nothing, and what is not known is not promised.
		settings, err := c.ConfigGet(ctx, "appendfsync").Result()
		if err != nil && !isReply(err) {
			return Promises{}, fmt.Errorf("ask what it can keep (CONFIG GET): %w", err)
		}
		p.Fsync = settings["appendfsync"]
		p.Durable = p.Fsync == "always"
	}
	return p, nil
}

// fields reads the lines "name:value" of INFO.
func fields(info string) map[string]string {
	all := map[string]string{}
	for line := range strings.Lines(info) {
		if name, value, ok := strings.Cut(strings.TrimRight(line, "\r\n"), ":"); ok {
			all[name] = value
		}
	}
	return all
}

// accept refuses servers that cannot keep what o asks for.
func (p Promises) accept(o Options) error {
	switch {
	case p.Evicts && p.Policy == "" && !o.BestEffort:
		return errors.New("the server does not tell its maxmemory-policy, so it may evict messages inside their window: " +
			"allow INFO memory, or accept that by BestEffort")
	case p.Evicts && !o.BestEffort:
		return fmt.Errorf("maxmemory-policy is %s, so the server may evict messages inside their window: "+
			"set it to noeviction, or accept that by BestEffort", p.Policy)
	case o.Durable && !p.Durable:
		return fmt.Errorf("appendfsync is %q, so the server may forget what it has answered: "+
			"set appendonly yes and appendfsync always, or do without Durable", p.Fsync)
	}
	return nil
}
