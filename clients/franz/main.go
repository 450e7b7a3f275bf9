// Command franz is the program of franz-go; see package clients.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/hapaxmq/hapax/clients/telling"
)

func main() {
	telling.Verbs{Produce: produce, Consume: consume, Member: member, Transform: transform, Admin: administer}.Main()
}

func options(address string, more ...kgo.Opt) []kgo.Opt {
	return append([]kgo.Opt{kgo.SeedBrokers(address), kgo.FetchMaxWait(100 * time.Millisecond),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted())}, more...)
}

func membership(address, group, topic string, more ...kgo.Opt) []kgo.Opt {
	return options(address, append([]kgo.Opt{kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic), kgo.Balancers(kgo.RangeBalancer()),
		kgo.HeartbeatInterval(200 * time.Millisecond), kgo.SessionTimeout(5 * time.Second)}, more...)...)
}

func produce(ctx context.Context, address, topic string, numbers telling.Range, codec string) error {
	codecs := map[string]kgo.CompressionCodec{"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(),
		"snappy": kgo.SnappyCompression(), "lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression()}
	c, err := kgo.NewClient(options(address, kgo.DefaultProduceTopic(topic), kgo.ProducerBatchCompression(codecs[codec]))...)
	if err != nil {
		return err
	}
	defer c.Close()
	var mu sync.Mutex
	var fault error
	for n := numbers.From; n < numbers.To; n++ {
		r := kgo.KeyStringRecord(telling.Key(n), strconv.Itoa(n))
		r.Headers = []kgo.RecordHeader{{Key: "codec", Value: []byte(codec)}}
		c.Produce(ctx, r, func(r *kgo.Record, err error) {
			if err == nil {
				telling.Tell("wrote", r.Partition, r.Offset, n)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			fault = errors.Join(fault, err)
		})
	}
	if err := c.Flush(ctx); err != nil {
		return err
	}
	mu.Lock()
	defer mu.Unlock()
	return fault
}

func consume(ctx context.Context, address, topic string, count int) error {
	c, err := kgo.NewClient(options(address, kgo.ConsumeTopics(topic))...)
	if err != nil {
		return err
	}
	defer c.Close()
	for read := 0; read < count; {
		fetches := c.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return err
		}
		fetches.EachRecord(func(r *kgo.Record) {
			telling.Tell("read", r.Partition, r.Offset, string(r.Value), string(r.Key), string(r.Headers[0].Value))
			read++
		})
	}
	return nil
}

// assignment counts the partitions that a member has.
type assignment struct{ count int }

func (a *assignment) added(_ context.Context, _ *kgo.Client, partitions map[string][]int32) {
	for _, p := range partitions {
		a.count += len(p)
	}
	telling.Tell("assigned", a.count)
}

func (a *assignment) gone(_ context.Context, _ *kgo.Client, partitions map[string][]int32) {
	for _, p := range partitions {
		a.count -= len(p)
	}
	telling.Tell("assigned", a.count)
}

// member commits before it polls again; while it has not, BlockRebalanceOnPoll
// keeps its partitions.
func member(ctx context.Context, address, group, topic, protocol string) error {
	var a assignment
	more := []kgo.Opt{kgo.DisableAutoCommit(), kgo.BlockRebalanceOnPoll(),
		kgo.OnPartitionsAssigned(a.added), kgo.OnPartitionsRevoked(a.gone), kgo.OnPartitionsLost(a.gone)}
	if protocol == "consumer" {
		more = append(more, kgo.ServerSideBalancer())
	}
	c, err := kgo.NewClient(membership(address, group, topic, more...)...)
	if err != nil {
		return err
	}
	defer c.CloseAllowingRebalance()
	for {
		fetches := c.PollRecords(ctx, 50)
		if ctx.Err() != nil {
			return nil
		}
		if err := fetches.Err(); err != nil {
			return err
		}
		records := fetches.Records()
		switch err := c.CommitRecords(context.Background(), records...); {
		case err == nil:
			for _, r := range records {
				telling.Tell("handled", r.Partition, r.Offset, string(r.Value))
			}
		case !errors.Is(err, kerr.RebalanceInProgress) && !errors.Is(err, kerr.IllegalGeneration) && !errors.Is(err, kerr.UnknownMemberID) &&
			!errors.Is(err, kerr.StaleMemberEpoch):
			return fmt.Errorf("commit: %w", err)
		}
		c.AllowRebalance()
	}
}

func transform(ctx context.Context, address, group, from, to, id string) error {
	var a assignment
	s, err := kgo.NewGroupTransactSession(membership(address, group, from, kgo.TransactionalID(id), kgo.DefaultProduceTopic(to),
		kgo.OnPartitionsAssigned(a.added), kgo.OnPartitionsRevoked(a.gone), kgo.OnPartitionsLost(a.gone))...)
	if err != nil {
		return err
	}
	defer s.Close()
	if _, _, err := s.Client().ProducerID(ctx); err != nil { // at once, as offsets are not read before what another left open has ended
		return fmt.Errorf("begin with id %s: %w", id, err)
	}
	for transactions := 1; ; transactions++ {
		fetches := s.PollRecords(ctx, 50)
		if ctx.Err() != nil {
			return nil
		}
		if err := fetches.Err(); err != nil {
			return err
		}
		if err := s.Begin(); err != nil {
			return fmt.Errorf("begin: %w", err)
		}
		records := fetches.Records()
		for _, r := range records {
			s.Produce(context.Background(), &kgo.Record{Key: r.Key, Value: r.Value}, func(_ *kgo.Record, err error) {
				if err != nil {
					fmt.Fprintln(os.Stderr, "produce:", err) // the end aborts then
				}
			})
		}
		commit := kgo.TransactionEndTry(transactions%3 != 0)
		committed, err := s.End(context.Background(), commit)
		switch {
		case err != nil:
			return fmt.Errorf("end: %w", err)
		case committed:
			telling.Tell("committed", len(records))
		case !bool(commit):
			telling.Tell("aborted")
		}
	}
}
