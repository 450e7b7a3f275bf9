package kafkarelay

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/hapaxmq/hapax/internal/sending"
	"github.com/hapaxmq/hapax/outbox/relay"
)

// WindowedOptions are those of a [Windowed]. The zero value is good.
type WindowedOptions struct {
	// IDHeader is the header that has a record's id, by which the windows of topics know it
	// (default: "id").
	IDHeader string
	// InFlight is how many records of a shard are sent and not acknowledged at most
	// (default: 256; 10,000 at most).
	InFlight int
	// Timeout is how long to wait for an acknowledgement before all that is on its way is taken
	// for unknown, and sent again (default: 10 s).
	Timeout time.Duration
	// Partitioner chooses the partitions of records (default: by the hash of the key, as
	// Java's clients do). It must give the records of one key one partition.
	Partitioner kgo.Partitioner
}

// Windowed is a [relay.Destination] for topics of hapax serve that drop copies by their ids. It
// needs no transactions.
type Windowed struct {
	o      WindowedOptions
	opts   []kgo.Opt
	sender *sending.Sender
}

// NewWindowed returns a destination, and asks nothing of the brokers yet. Options of franz-go say
// where those are and how to log in; acknowledgements and partitions are the
// destination's own.
func NewWindowed(o WindowedOptions, opts ...kgo.Opt) (*Windowed, error) {
	if o.IDHeader == "" {
		o.IDHeader = defaultIDHeader
	}
	if strings.ContainsAny(o.IDHeader, `+|,\`) {
		return nil, fmt.Errorf("kafka relay: header %q: a window can't name it alone: take one without + | , and \\", o.IDHeader)
	}
	if o.Partitioner == nil {
		o.Partitioner = byKey()
	}
	sender, err := sending.New(sending.Options{InFlight: o.InFlight, Timeout: o.Timeout})
	if err != nil {
		return nil, fmt.Errorf("kafka relay: %w", err)
	}
	d := &Windowed{o: o, opts: opts, sender: sender}
	if err := kgo.ValidateOpts(d.producer()...); err != nil {
		return nil, fmt.Errorf("kafka relay: %w", err)
	}
	return d, nil
}

func (d *Windowed) producer() []kgo.Opt {
	return append([]kgo.Opt{kgo.ProducerLinger(0)}, append(d.opts[:len(d.opts):len(d.opts)],
		kgo.RequiredAcks(kgo.AllISRAcks()), kgo.RecordPartitioner(d.o.Partitioner))...)
}

// Open is the method of [relay.Destination]. It asks nothing of the brokers.
func (d *Windowed) Open(_ context.Context, s relay.Shard) (relay.Line, int64, error) {
	client, err := kgo.NewClient(d.producer()...)
	if err != nil {
		return nil, 0, fmt.Errorf("kafka relay: open shard %d: %w", s.Number, err)
	}
	return &windowedLine{Windowed: d, shard: s, client: client, topics: map[string]string{}}, 0, nil
}

// windowedLine is a [relay.Line]: a client.
type windowedLine struct {
	*Windowed

	shard  relay.Shard
	client *kgo.Client
	topics map[string]string // that are known, and why nothing may be published there
	close  sync.Once
}

// Publish is the method of [relay.Line].
func (l *windowedLine) Publish(ctx context.Context, b relay.Batch, alone bool, sealed func() error) error {
	// What a broker may have got, a client waits for whatever its context says.
	unbind := context.AfterFunc(ctx, l.Close)
	defer unbind()
	err := l.look(ctx, b)
	if err == nil {
		err = l.sender.Batch(ctx, l.shard.Name, b, alone, sealed, l.send)
	}
	if err != nil {
		return fmt.Errorf("kafka relay: publish batch %d of shard %d: %w", b.Number, l.shard.Number, err)
	}
	return nil
}

// look looks at the windows of topics that are not known yet.
func (l *windowedLine) look(ctx context.Context, b relay.Batch) error {
	var unknown []string
	for i := range b.Records {
		topic := b.Records[i].Topic
		if _, known := l.topics[topic]; !known && !slices.Contains(unknown, topic) {
			unknown = append(unknown, topic)
		}
	}
	if len(unknown) == 0 {
		return nil
	}
	ctx, end := context.WithTimeout(ctx, l.sender.Timeout())
	defer end()
	all, err := kadm.NewClient(l.client).DescribeTopicConfigs(ctx, unknown...)
	if err != nil {
		return fmt.Errorf("look at the windows of topics: %w", err)
	}
	for _, of := range all {
		why, err := l.judge(of)
		if err != nil {
			return err
		}
		l.topics[of.Name] = why
	}
	return nil
}

// judge tells why nothing may be published to a topic, if that is so: its window would not drop
// what comes again. An error is what may pass.
func (l *windowedLine) judge(topic kadm.ResourceConfig) (why string, err error) {
	identity := "header:" + l.o.IDHeader
	switch {
	case isAny(topic.Err, ofTopics()):
		return fmt.Sprintf("%s: topic %s has to be there, with hapax.identity=%s and a bound such as hapax.window.ms", strings.TrimSuffix(topic.Err.Error(), "."), topic.Name, identity), nil
	case topic.Err != nil:
		return "", fmt.Errorf("look at the window of topic %s: %w", topic.Name, topic.Err)
	}
	has := map[string]string{}
	for _, c := range topic.Configs {
		has[c.Key] = c.MaybeValue()
	}
	if has["hapax.identity"] == "" {
		return fmt.Sprintf("topic %s has no window, which would drop what comes again: set hapax.identity=%s there, and a bound such as hapax.window.ms, if the broker is hapax serve; else publish in transactions", topic.Name, identity), nil
	}
	for _, s := range []struct{ name, want string }{
		{"hapax.identity", identity}, {"hapax.mode", "enforce"}, {"hapax.duplicates", "drop"}, {"hapax.scope", "topic"},
	} {
		if got := has[s.name]; got != "" && got != s.want {
			return fmt.Sprintf("the window of topic %s would not drop what comes again, for it has %s=%s: want %s", topic.Name, s.name, got, s.want), nil
		}
	}
	if state := has["hapax.window.state"]; strings.HasPrefix(state, "warming") || strings.HasPrefix(state, "failed") {
		return "", fmt.Errorf("the window of topic %s does not drop copies yet: %s", topic.Name, state)
	}
	return "", nil
}

// send begins to send a record.
func (l *windowedLine) send(r *relay.Record, done func(error)) {
	if why := l.topics[r.Topic]; why != "" {
		done(&sending.RefusedError{Why: why})
		return
	}
	l.client.Produce(context.Background(), record(r, l.o.IDHeader), func(_ *kgo.Record, err error) {
		if topic := isAny(err, ofTopics()); topic || isAny(err, ofRecords()) {
			err = &sending.RefusedError{Why: err.Error(), Together: !topic}
		}
		done(err)
	})
}

// Close is the method of [relay.Line]. What is on its way may be stored still.
func (l *windowedLine) Close() { l.close.Do(l.client.Close) }
