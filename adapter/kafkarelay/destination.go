package kafkarelay

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/hapaxmq/hapax/outbox/relay"
)

// Options are those of a [Destination]. The zero value is good.
type Options struct {
	// IDHeader is the header that has a record's id (default: "id").
	IDHeader string
	// Progress is the compacted topic of what was published (default: one of the outbox's own,
	// whose name is hapax-outbox-progress- and that which the outbox has drawn). Any number of
	// outboxes can share one; but who takes a shard over then waits for the dead relays of
	// others too, up to Transaction, as it does among the shards of an outbox of three or
	// more. It is made if it is not there; if it is, it needs two partitions at least, and
	// cleanup.policy=compact.
	Progress string
	// Replicas of that topic, if it is made (default: the broker's own default, which
	// those before Kafka 2.4 do not have).
	Replicas int16
	// Transaction is how long the transaction of a relay that died, or was cut off from the
	// brokers, may keep readers of committed records waiting, if no other one takes over (default: 30 s).
	Transaction time.Duration
	// Partitioner chooses the partitions of records (default: by the hash of the key, as
	// Java's clients do). It must give the records of one key one partition.
	Partitioner kgo.Partitioner
}

const (
	defaultIDHeader = "id"
	ownProgress     = "hapax-outbox-progress-"
)

// byKey partitions as Java's clients do.
func byKey() kgo.Partitioner { return kgo.UniformBytesPartitioner(64<<10, true, true, nil) }

// partitions of the progress topic, over which the shards of an outbox are spread.
const partitions = 2

// partition is that of a shard. It stays the same for good.
func partition(s relay.Shard) int32 { return int32(s.Number % partitions) } //nolint:gosec // below two

// Destination is a [relay.Destination]. It holds nothing but what lines hold.
type Destination struct {
	o    Options
	opts []kgo.Opt

	mu   sync.Mutex
	made map[string]bool // progress topics that are there
}

// New returns a destination, and asks nothing of the brokers yet. Options of franz-go say
// where those are and how to log in; transactions, acknowledgements and partitions are
// the destination's own.
func New(o Options, opts ...kgo.Opt) (*Destination, error) {
	if o.IDHeader == "" {
		o.IDHeader = defaultIDHeader
	}
	if o.Replicas == 0 {
		o.Replicas = -1
	}
	if o.Transaction == 0 {
		o.Transaction = 30 * time.Second
	}
	if o.Partitioner == nil {
		o.Partitioner = byKey()
	}
	if o.Transaction < time.Second {
		return nil, fmt.Errorf("kafka relay: transaction of %v: want 1s at least", o.Transaction)
	}
	d := &Destination{o: o, opts: opts, made: map[string]bool{}}
	if err := kgo.ValidateOpts(d.producer("x", "x")...); err != nil {
		return nil, fmt.Errorf("kafka relay: %w", err)
	}
	return d, nil
}

func (d *Destination) producer(shard, progress string) []kgo.Opt {
	return append([]kgo.Opt{kgo.ProducerLinger(0)}, append(d.opts[:len(d.opts):len(d.opts)],
		kgo.TransactionalID("hapax-outbox-"+shard), kgo.TransactionTimeout(d.o.Transaction), kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.RecordPartitioner(&partitioner{d.o.Partitioner, progress}))...)
}

// partitioner lets the records of the progress topic say their partitions themselves.
type partitioner struct {
	kgo.Partitioner
	progress string
}

func (p *partitioner) ForTopic(topic string) kgo.TopicPartitioner {
	if topic == p.progress {
		return kgo.ManualPartitioner().ForTopic(topic)
	}
	return p.Partitioner.ForTopic(topic)
}

// Open is the method of [relay.Destination]. It is five round trips and the reading of a
// partition of the progress topic.
func (d *Destination) Open(ctx context.Context, s relay.Shard) (relay.Line, int64, error) {
	progress := cmp.Or(d.o.Progress, ownProgress+s.Outbox)
	l := &line{o: d.o, shard: s, progress: progress}
	for i, id := range []string{s.Name, s.Name + "-odd"} {
		var err error
		if l.clients[i], err = kgo.NewClient(d.producer(id, progress)...); err != nil {
			l.Close()
			return nil, 0, fmt.Errorf("kafka relay: %w", err)
		}
	}
	unbind := context.AfterFunc(ctx, l.Close)
	defer unbind()
	published, err := d.open(ctx, l)
	if err != nil {
		l.Close()
		return nil, 0, fmt.Errorf("kafka relay: open shard %d: %w", s.Number, err)
	}
	return l, published, nil
}

func (d *Destination) open(ctx context.Context, l *line) (published int64, err error) {
	client := l.clients[0]
	if err := d.make(ctx, client, l.progress); err != nil {
		return 0, err
	}
	// Whoever held the shard before can do nothing more, and what it began has ended.
	for _, c := range l.clients {
		if _, _, err := c.ProducerID(ctx); err != nil {
			return 0, err
		}
	}
	fence := &kgo.Record{Topic: l.progress, Partition: partition(l.shard), Key: []byte(l.shard.Name + " fence")}
	if err := client.BeginTransaction(); err != nil {
		return 0, err
	}
	if err := client.ProduceSync(ctx, fence).FirstErr(); err != nil {
		return 0, err
	}
	if err := client.EndTransaction(ctx, kgo.TryCommit); err != nil {
		return 0, err
	}
	return d.progress(ctx, l.shard, fence)
}

// make makes the progress topic, unless it is there.
func (d *Destination) make(ctx context.Context, client *kgo.Client, progress string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.made[progress] {
		return nil
	}
	admin := kadm.NewClient(client)
	_, err := admin.CreateTopic(ctx, partitions, d.o.Replicas, map[string]*string{
		"cleanup.policy": kadm.StringPtr("compact"), "segment.bytes": kadm.StringPtr("16777216"),
	}, progress)
	if err != nil && !errors.Is(err, kerr.TopicAlreadyExists) {
		return fmt.Errorf("make topic %s: %w", progress, err)
	}
	if err != nil {
		if err := check(ctx, admin, progress); err != nil {
			return err
		}
	}
	d.made[progress] = true
	return nil
}

// check refuses a progress topic that could lose what it says.
func check(ctx context.Context, admin *kadm.Client, progress string) error {
	topics, err := admin.ListTopics(ctx, progress)
	if err != nil {
		return err
	}
	if n := len(topics[progress].Partitions); n < partitions {
		return fmt.Errorf("topic %s has %d partitions: want %d", progress, n, partitions)
	}
	configs, err := admin.DescribeTopicConfigs(ctx, progress)
	if err != nil {
		return err
	}
	for _, c := range configs {
		for _, o := range c.Configs { // none if this client may not read them
			if o.Key == "cleanup.policy" && o.MaybeValue() != "compact" {
				return fmt.Errorf("topic %s has cleanup.policy=%s: want compact, for else it forgets what was published", progress, o.MaybeValue())
			}
		}
	}
	return nil
}

// progress reads the last batch of a shard that was published, up to the fence: what was
// committed before stands before it.
func (d *Destination) progress(ctx context.Context, s relay.Shard, fence *kgo.Record) (published int64, err error) {
	// Kafka wakes no fetch when a transaction ends: it is to ask again soon.
	reader, err := kgo.NewClient(append(d.opts[:len(d.opts):len(d.opts)], kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.FetchMaxWait(50*time.Millisecond),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{fence.Topic: {fence.Partition: kgo.NewOffset().AtStart()}}))...)
	if err != nil {
		return 0, err
	}
	defer reader.Close()
	for {
		fetches := reader.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return 0, fmt.Errorf("read topic %s: %w", fence.Topic, err)
		}
		for r := range fetches.RecordsAll() {
			if r.Offset > fence.Offset {
				return published, nil
			}
			if string(r.Key) == s.Name {
				if published, err = strconv.ParseInt(string(r.Value), 10, 64); err != nil {
					return 0, fmt.Errorf("topic %s, partition %d, offset %d: %q is no number of a batch", fence.Topic, r.Partition, r.Offset, r.Value)
				}
			}
			if r.Offset == fence.Offset {
				return published, nil
			}
		}
	}
}
