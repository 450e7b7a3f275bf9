package demo

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// conductor starts the parts, plays the client, and does the harm.
type conductor struct {
	o       Options
	dir     string
	run     string // names it among others on the same servers
	tally   *tally
	offices *offices
	wires   *wires
	ground  *ground
	columns []*column
	broker  *process // nil: another one's
	kafka   *kgo.Client

	mu     sync.Mutex
	fault  *fault          // that strikes now
	struck map[string]bool // in which columns it did
}

// column is one of the two ways, with its processes.
type column struct {
	name   string
	prefix string
	parts  map[string]*process
	client *client
	books  books
}

const (
	columnNaive = "naive"
	columnHapax = "hapax"
)

func columnNames() []string { return []string{columnNaive, columnHapax} }

// arm has a fault strike at its step.
func (c *conductor) arm(f *fault) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fault, c.struck = f, map[string]bool{}
}

// strikesNow tells whether the fault strikes now: it does so once in each column.
func (c *conductor) strikesNow(of config, l line) *fault {
	c.mu.Lock()
	defer c.mu.Unlock()
	f := c.fault
	if f == nil || f.part != of.Part || f.step != l.What || !slices.Contains(l.Of, f.of) || c.struck[of.Column] {
		return nil
	}
	c.struck[of.Column] = true
	return f
}

// reached does to a part what it meets at a step. It tells whether the step is to fail.
func (c *conductor) reached(p *process, l line) (fail bool) {
	f := c.strikesNow(p.config, l)
	if f == nil {
		return false
	}
	var err error
	switch f.do {
	case kill:
		if err = c.awaitMarks(p, f); err == nil {
			err = errors.Join(p.kill(), p.start())
		}
		c.happened(p.config.Column, f)
	case throw:
		c.happened(p.config.Column, f)
		return true
	case evict:
		err = c.evict(p)
		c.happened(p.config.Column, f)
	case loseAck:
		c.wires.loseAck(p.config.Column, func() { c.happened(p.config.Column, f) })
	default:
		err = fmt.Errorf("%s: nothing is to be done at a step", f.name)
	}
	if err != nil {
		c.tally.fail(fmt.Errorf("%s: %s: %w", p.config.Column, f.name, err))
	}
	return false
}

// awaitMarks waits until an outbox by hand has marked what it published: killed before, it
// publishes that again, and this is another fault.
func (c *conductor) awaitMarks(p *process, f *fault) error {
	publishes := p.config.Part == partGateway || p.config.Part == partWallet
	if !p.config.ByHand || !publishes || f.step == afterPublish {
		return nil
	}
	return c.tally.await(context.Background(), event{p.config.Column, p.config.Part, isMarked, f.of}, 1)
}

// didStrike is what the tally counts of a fault that struck.
const didStrike = "struck"

// happened says that a fault did what it is about.
func (c *conductor) happened(column string, f *fault) {
	c.tally.add(config{Column: column, Part: f.part}, line{What: didStrike, Of: []string{f.of}})
}

// evict makes the group go on without its member, as it does without one whose handler
// takes longer than max.poll.interval.ms.
func (c *conductor) evict(p *process) error {
	group := p.config.Prefix + p.config.Part
	left, err := kadm.NewClient(c.kafka).LeaveGroup(context.Background(), kadm.LeaveGroup(group).InstanceIDs(p.config.Part))
	if err != nil {
		return err
	}
	return left[p.config.Part].Err
}

// play plays one wave, and returns when both columns are done with it.
func (c *conductor) play(ctx context.Context, w wave) error {
	if w.fault != nil {
		c.arm(w.fault)
		defer c.arm(nil)
	}
	err := c.inBoth(func(col *column) error {
		if err := col.client.ask(ctx, w); err != nil {
			return err
		}
		return c.awaitHandled(ctx, col, w)
	})
	if err != nil || w.fault == nil {
		return err
	}
	if err := c.inBoth(func(col *column) error { return c.byHand(ctx, col, w.fault) }); err != nil {
		return fmt.Errorf("%s: %w", w.fault.name, err)
	}
	return c.awaitHits(ctx, w.fault)
}

// inBoth does something in both columns at once.
func (c *conductor) inBoth(do func(col *column) error) error {
	errs := make([]error, len(c.columns))
	var all sync.WaitGroup
	for i, col := range c.columns {
		all.Go(func() {
			if err := do(col); err != nil {
				errs[i] = fmt.Errorf("%s: %w", col.name, err)
			}
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

// awaitHandled waits until each consumer of a column has handled what a wave asks for.
func (c *conductor) awaitHandled(ctx context.Context, col *column, w wave) error {
	for _, consumer := range consumers() {
		ids := paymentIDs(w.payments)
		if consumer.topic == topicMoves {
			ids = moveIDs(w.moves)
		}
		for _, id := range ids {
			if err := c.tally.await(ctx, event{col.name, consumer.name, didHandle, id}, 1); err != nil {
				return err
			}
		}
	}
	return nil
}

// awaitHits waits until a fault has hit both columns.
func (c *conductor) awaitHits(ctx context.Context, f *fault) error {
	var hit []string
	err := c.inBoth(func(col *column) error {
		err := c.awaitHit(ctx, col.name, f)
		if err == nil {
			c.mu.Lock()
			hit = append(hit, col.name)
			c.mu.Unlock()
		}
		return err
	})
	if err != nil && len(hit) == 1 {
		return fmt.Errorf("%s: it hit only the %s column: %w", f.name, hit[0], err)
	}
	return err
}

// awaitHit waits until a fault has hit a column: it struck, and what it makes come again did.
func (c *conductor) awaitHit(ctx context.Context, column string, f *fault) error {
	again := slices.Contains([]deed{loseAnswer, sendTwice, otherAmount, kill, throw, evict, reread}, f.do) &&
		f.step != afterPublish // behind which nothing comes to the gateway again
	struck := slices.Contains([]deed{kill, throw, evict, loseAck, rewrite}, f.do)
	if struck {
		if err := c.tally.await(ctx, event{column, f.part, didStrike, f.of}, 1); err != nil {
			return err
		}
	}
	for _, id := range f.ids {
		if !again {
			break
		}
		if err := c.tally.await(ctx, event{column, f.part, came, id}, 2); err != nil {
			return err
		}
	}
	return nil
}

// byHand does what an operator does.
func (c *conductor) byHand(ctx context.Context, col *column, f *fault) error {
	switch f.do {
	case reread:
		return c.setBack(ctx, col, f)
	case rewrite:
		return c.writeAgain(ctx, col, f)
	}
	return nil
}

// setBack stops a consumer, sets its group's offset back to the beginning of a range, and
// starts it again.
func (c *conductor) setBack(ctx context.Context, col *column, f *fault) error {
	p := col.parts[f.part]
	from, err := c.tally.first(col.name, f.part, f.ids)
	if err != nil {
		return err
	}
	if err := p.stop(); err != nil {
		return err
	}
	if err := c.evict(p); err != nil {
		return err
	}
	var offsets kadm.Offsets
	offsets.AddOffset(topicOf(col, f.part), 0, from, -1)
	if err := kadm.NewClient(c.kafka).CommitAllOffsets(ctx, p.config.Prefix+f.part, offsets); err != nil {
		return err
	}
	return p.start()
}

// topicOf is the topic that a part consumes.
func topicOf(col *column, part string) string {
	for _, c := range consumers() {
		if c.name == part {
			return col.prefix + c.topic
		}
	}
	return ""
}

// writeAgain copies the records of a range to the end of their topic, as they are.
func (c *conductor) writeAgain(ctx context.Context, col *column, f *fault) error {
	reader := partWallet
	if f.step == topicMoves {
		reader = partAddresses
	}
	from, err := c.tally.first(col.name, reader, f.ids)
	if err != nil {
		return err
	}
	topic := col.prefix + f.step
	source, err := kgo.NewClient(kgo.SeedBrokers(c.ground.kafka...), kgo.DisableClientMetrics(), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {0: kgo.NewOffset().At(from)}}))
	if err != nil {
		return err
	}
	defer source.Close()
	var copies []*kgo.Record
	for len(copies) < len(f.ids) {
		fetches := source.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return err
		}
		for r := range fetches.RecordsAll() {
			if slices.Contains(f.ids, idOf(r.Value)) && len(copies) < len(f.ids) {
				copies = append(copies, &kgo.Record{Topic: topic, Key: r.Key, Value: r.Value, Headers: r.Headers})
			}
		}
	}
	if err := c.kafka.ProduceSync(ctx, copies...).FirstErr(); err != nil {
		return err
	}
	c.happened(col.name, f)
	return nil
}
