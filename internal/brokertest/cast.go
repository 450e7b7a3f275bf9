package brokertest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kversion"
)

// cast are the clients of a course.
type cast struct {
	*history
	direct      string // the broker's address
	proxied     string // the proxy's
	withinEpoch bool   // see Broker
	windows     bool   // it has them
	lastID      atomic.Int64
}

// topics are what there is, and how many partitions each has.
func topics() map[string]int32 {
	return map[string]int32{"p": 2, "in": 1, "x": 2, "y": 1, keyed: 1, once: 2}
}

// keyed is a topic that is compacted all the time: it keeps the last record of each
// key, and may let the others go.
const keyed = "k"

// drawKey draws a key: some are written again all the time, and many seldom, as in any
// table. What compaction takes of those nothing later makes up for.
func drawKey(rng *rand.Rand) int64 { return rng.Int64N(1 << rng.IntN(12)) }

func keyOf(number int64) []byte { return fmt.Append(nil, number) }

// configs are a topic's.
func (c *cast) configs(topic string) map[string]*string {
	switch {
	case topic == once && c.windows:
		return onceConfigs()
	case topic != keyed:
		return nil
	}
	return map[string]*string{
		"cleanup.policy": kadm.StringPtr("compact"), "min.cleanable.dirty.ratio": kadm.StringPtr("0.01"),
		"segment.ms": kadm.StringPtr("50"),
	}
}

// everywhere are all partitions.
func everywhere() []place {
	return []place{{"p", 0}, {"p", 1}, {"in", 0}, {"x", 0}, {"x", 1}, {"y", 0}, {keyed, 0}, {once, 0}, {once, 1}}
}

func (c *cast) options(address string, opts ...kgo.Opt) []kgo.Opt {
	return append([]kgo.Opt{
		kgo.SeedBrokers(address), kgo.DisableClientMetrics(), kgo.MetadataMinAge(20 * time.Millisecond),
		kgo.RetryBackoffFn(func(int) time.Duration { return 20 * time.Millisecond }),
		kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(0),
		kgo.FetchMaxWait(250 * time.Millisecond),
	}, opts...)
}

// oldProtocol makes a client one from before KIP-890. Late requests may harm it
// (KAFKA-17754), so it is not to go through the proxy.
func oldProtocol() kgo.Opt { return kgo.MaxVersions(kversion.V3_6_0()) }

// makeTopics makes the topics.
func (c *cast) makeTopics(ctx context.Context) error {
	client, err := kgo.NewClient(c.options(c.direct)...)
	if err != nil {
		return err
	}
	defer client.Close()
	for topic, partitions := range topics() {
		for {
			_, err := kadm.NewClient(client).CreateTopic(ctx, partitions, 1, c.configs(topic), topic)
			if err == nil || errors.Is(err, kerr.TopicAlreadyExists) {
				break
			}
			if ctx.Err() != nil {
				return err
			}
			wait(ctx, 50*time.Millisecond) // Apache Kafka listens before it can do so
		}
	}
	return nil
}

// seal ends all partitions. Who reads the seals read-committed was held up by no
// transaction.
func (c *cast) seal(ctx context.Context) error {
	client, err := kgo.NewClient(c.options(c.direct)...)
	if err != nil {
		return err
	}
	defer client.Close()
	for _, p := range everywhere() {
		if err := client.ProduceSync(ctx, &kgo.Record{Topic: p.topic, Partition: p.partition, Key: []byte(seal), Value: []byte(seal)}).FirstErr(); err != nil {
			return err
		}
	}
	return nil
}

// settle returns when no transaction is open: those that nobody comes back to are over
// after their timeout.
func (c *cast) settle(ctx context.Context, admin *kadm.Client) error {
	deadline := time.Now().Add(transactionTimeout + c.patience/4)
	for {
		open, err := c.open(ctx, admin)
		if err != nil || open == "" {
			return err
		}
		if time.Now().After(deadline) {
			c.find("no transaction hangs", "%s, %v after the last writer was done", open, c.patience/4)
			return nil
		}
		if !wait(ctx, 20*time.Millisecond) {
			return ctx.Err()
		}
	}
}

// open names a transaction that is not over, or a partition that is not stable up to its
// end. One whose records were all copies holds no reader up, and yet ends with a marker.
func (c *cast) open(ctx context.Context, admin *kadm.Client) (string, error) {
	ongoing, err := admin.ListTransactions(ctx, nil, []string{"Ongoing", "PrepareCommit", "PrepareAbort", "PrepareEpochFence"})
	if err != nil {
		return "", err
	}
	if all := ongoing.Sorted(); len(all) > 0 {
		return fmt.Sprintf("transaction %s is %s", all[0].TxnID, all[0].State), nil
	}
	var names []string
	for topic := range topics() {
		names = append(names, topic)
	}
	stable, err := admin.ListCommittedOffsets(ctx, names...)
	if err != nil {
		return "", err
	}
	ends, err := admin.ListEndOffsets(ctx, names...)
	if err != nil {
		return "", err
	}
	for _, p := range everywhere() {
		if at, end := stable[p.topic][p.partition].Offset, ends[p.topic][p.partition].Offset; at != end {
			return fmt.Sprintf("%v is stable up to %d of %d", p, at, end), nil
		}
	}
	return "", nil
}
