package relaying

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/hapaxmq/hapax/internal/marking"
	"github.com/hapaxmq/hapax/internal/sqltext"
	"github.com/hapaxmq/hapax/outbox"
	"github.com/hapaxmq/hapax/outbox/relay"
)

// Next is the method of [relay.Source].
func (r *Records) Next(ctx context.Context, h relay.Hold, published relay.Batch, most relay.Size) (next relay.Batch, err error) {
	if r.dialect == sqltext.Postgres && published.Number > 0 {
		next, err = r.step(ctx, h, published, most)
		return next, wrap("seal a batch", err)
	}
	err = r.holding(ctx, h, func(ctx context.Context, tx marking.Tx, s shard) error {
		next = relay.Batch{Number: s.last}
		if len(s.sealed) > 0 {
			if s.last != published.Number {
				return fmt.Errorf("batch %d of shard %d is sealed, and batch %d was published", s.last, h.Shard, published.Number)
			}
			named := slices.ContainsFunc(published.Records, func(r relay.Record) bool { return r.Named })
			if err := execute(ctx, tx, sqltext.Forget(r.dialect, r.table, h.Shard, named, s.sealed)...); err != nil {
				return err
			}
		}
		positions, ages, err := r.unsealed(ctx, tx, h.Shard, s.faults > 0, most)
		switch {
		case err != nil:
			return err
		case len(positions) > 0:
			next.Number = s.last + 1
			if err := execute(ctx, tx, sqltext.Seal(r.dialect, r.table, h.Shard, next.Number, positions)); err != nil {
				return err
			}
			next.Records, err = r.read(ctx, tx, h.Shard, positions)
			for i := range next.Records {
				next.Records[i].Age = ages[i]
			}
			return err
		case len(s.sealed) > 0:
			return execute(ctx, tx, sqltext.Unseal(r.dialect, r.table, h.Shard, s.last))
		}
		return nil
	})
	return next, wrap("seal a batch", err)
}

// step is Next in one round trip, once it is known which batch was the last.
func (r *Records) step(ctx context.Context, h relay.Hold, published relay.Batch, most relay.Size) (next relay.Batch, err error) {
	positions := make([]int64, len(published.Records))
	named := false
	for i := range published.Records {
		positions[i], named = published.Records[i].Position, named || published.Records[i].Named
	}
	s := sqltext.Step(r.table, h.Relay, h.Shard, h.Lease.Microseconds(), published.Number, named, positions, most.Records, most.Bytes)
	held := false
	err = lookAsRelay(ctx, r.any, r.dialect, s, func(scan func(...any) error) error {
		held = true
		var position, age *int64
		var named *bool
		var id, topic *string
		var o relay.Record
		var key, headers []byte
		var has bool
		err := scan(&next.Number, &position, &named, &id, &topic, &key, &headers, &o.Payload, &has, &age)
		if err != nil || position == nil {
			return err
		}
		o.Position, o.Named, o.ID, o.Topic, o.Age = *position, *named, *id, *topic, time.Duration(*age)*time.Microsecond
		err = complete(&o, key, headers, has)
		next.Records = append(next.Records, o)
		return err
	})
	if err == nil && !held {
		err = relay.ErrLost
	}
	return next, err
}

// Sealed is the method of [relay.Source]. PostgreSQL alone has returned a batch before that.
func (r *Records) Sealed(ctx context.Context, h relay.Hold, b relay.Batch) error {
	if r.dialect != sqltext.Postgres {
		return nil
	}
	rows, err := r.change(ctx, sqltext.Sealed(r.table, h.Relay, h.Shard, b.Number))
	if err == nil && rows != 1 {
		err = relay.ErrLost
	}
	return wrap("keep the seal of a batch", err)
}

// unsealed are the positions of a new batch's rows, and their ages.
func (r *Records) unsealed(ctx context.Context, tx marking.Tx, shard int, faults bool, most relay.Size) (positions []int64, ages []time.Duration, err error) {
	size, full := 0, false
	err = look(ctx, tx, sqltext.Unsealed(r.dialect, r.table, shard, faults, most.Records), func(scan func(...any) error) error {
		var position, age int64
		var bytes int
		if err := scan(&position, &bytes, &age); err != nil {
			return err
		}
		size += bytes
		full = full || len(positions) > 0 && size > most.Bytes
		if !full {
			positions = append(positions, position)
			ages = append(ages, time.Duration(age)*time.Microsecond)
		}
		return nil
	})
	return positions, ages, err
}

func (r *Records) read(ctx context.Context, tx marking.Tx, shard int, positions []int64) (records []relay.Record, err error) {
	records = make([]relay.Record, 0, len(positions))
	err = look(ctx, tx, sqltext.ReadOutgoing(r.dialect, r.table, shard, positions), func(scan func(...any) error) error {
		var o relay.Record
		var key, headers []byte
		var has bool // a payload, be it empty
		err := scan(&o.Position, &o.Named, &o.ID, &o.Topic, &key, &headers, &o.Payload, &has)
		if err != nil {
			return err
		}
		err = complete(&o, key, headers, has)
		records = append(records, o)
		return err
	})
	return records, err
}

// complete fills in what is stored in another form.
func complete(o *relay.Record, key, headers []byte, has bool) (err error) {
	o.OrderKey = string(key)
	if has && o.Payload == nil {
		o.Payload = []byte{}
	}
	o.Headers, err = outbox.ParseHeaders(headers)
	return err
}
