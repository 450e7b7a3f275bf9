package broker

import (
	"context"
	"time"

	"github.com/hapaxmq/hapax/broker/code"
	"github.com/hapaxmq/hapax/broker/partition"
)

// retention lets records go: those that a topic keeps no longer, and those that
// somebody deletes. With them go the producers that have been silent for long.
type retention struct{ b *Broker }

// run looks every so often for records that are kept no longer, until ctx ends.
func (r retention) run(ctx context.Context) {
	repeat(ctx, r.b.settings.number("log.retention.check.interval.ms"), 24*time.Hour, func() {
		if err := r.once(); err != nil && ctx.Err() == nil {
			r.b.options.Logger.Warn("old records are not let go", "error", err)
		}
	})
}

// nudge wakes who waits for a channel that has room for one, and waits for nobody.
func nudge(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// repeat calls once every so many ms, at least as often as every most, until ctx ends.
func repeat(ctx context.Context, every int64, most time.Duration, once func()) {
	tick := time.NewTicker(time.Duration(min(every, most.Milliseconds())) * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			once()
		}
	}
}

// once lets go what is kept no longer now.
func (r retention) once() error {
	now, gone := r.b.clock(), false
	for _, p := range partitionsOf(r.b.topics) {
		p.ExpireProducers(now)
	}
	for _, t := range r.b.topics.list() {
		if !t.rules.expire {
			continue
		}
		before := int64(-1) // none is from before that
		if keep := t.rules.retentionMs; keep >= 0 {
			before = now - keep
		}
		for _, p := range t.partitions {
			keep := p.Expired(before, t.rules.retentionBytes)
			if keep <= p.Start() {
				continue
			}
			if _, _, err := r.cutTo(p, keep); err != nil {
				return err
			}
			gone = true
		}
	}
	if gone {
		r.b.wal.Trim(0)
	}
	return nil
}

// cut lets the records of a partition below an offset go, and says what its answer
// waits for. t may be nil.
func (r retention) cut(t *topic, number int32, offset int64) (start, end int64, err error) {
	p, err := partitionOf(t, number, false)
	if err != nil {
		return -1, 0, err
	}
	if !t.rules.expire {
		return -1, 0, refuse(code.PolicyViolation, "topic %q is compacted only: cleanup.policy=compact,delete lets records be deleted", t.name)
	}
	if start, end, err = r.cutTo(p, offset); err != nil {
		return -1, 0, err
	}
	if end == 0 {
		end = r.b.wal.End() // it may have been cut a moment ago
	}
	return start, end, nil
}

func (r retention) cutTo(p *partition.Partition, offset int64) (start, end int64, err error) {
	r.b.log.Begin()
	defer r.b.log.End()
	return p.Cut(offset)
}
