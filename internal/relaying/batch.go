package relaying

import (
	"context"
	"strings"

	"github.com/hapaxmq/hapax/internal/marking"
	"github.com/hapaxmq/hapax/internal/sqltext"
	"github.com/hapaxmq/hapax/outbox"
	"github.com/hapaxmq/hapax/outbox/relay"
)

// holding runs a function in a transaction that has the row of a shard, which is the
// relay's own. No batch will have a number up to last.
func (r *Records) holding(ctx context.Context, h relay.Hold, last int64, f func(ctx context.Context, tx marking.Tx) error) error {
	return r.transact(ctx, func(ctx context.Context, tx marking.Tx) error {
		s := sqltext.HoldShard(r.dialect, r.table, h.Relay, h.Shard, h.Lease.Microseconds(), last)
		done, err := tx.Exec(ctx, s.Text, s.Args...)
		if err == nil && done.Rows != 1 {
			err = relay.ErrLost
		}
		if err != nil {
			return err
		}
		return f(ctx, tx)
	})
}

// Resume is the method of [relay.Source].
func (r *Records) Resume(ctx context.Context, h relay.Hold, published int64) (next relay.Batch, err error) {
	err = r.holding(ctx, h, published, func(ctx context.Context, tx marking.Tx) error {
		next = relay.Batch{}
		var old, positions []int64
		named := false
		err := look(ctx, tx, sqltext.Sealed(r.dialect, r.table, h.Shard), func(scan func(...any) error) error {
			var position, batch int64
			var has bool
			if err := scan(&position, &batch, &has); err != nil {
				return err
			}
			switch {
			case batch <= published:
				old, named = append(old, position), named || has
			case next.Number == 0 || batch == next.Number:
				next.Number, positions = batch, append(positions, position)
			}
			return nil
		})
		if err != nil {
			return err
		}
		if len(old) > 0 {
			if err := execute(ctx, tx, sqltext.Forget(r.dialect, r.table, h.Shard, named, old)...); err != nil {
				return err
			}
		}
		if len(positions) > 0 {
			next.Records, err = r.read(ctx, tx, h.Shard, positions)
		}
		return err
	})
	return next, wrap("resume a shard", err)
}

// Next is the method of [relay.Source].
func (r *Records) Next(ctx context.Context, h relay.Hold, published relay.Batch, most relay.Size) (next relay.Batch, err error) {
	var old []int64
	named := false
	for _, record := range published.Records {
		old, named = append(old, record.Position), named || record.Named
	}
	err = r.holding(ctx, h, published.Number, func(ctx context.Context, tx marking.Tx) error {
		next = relay.Batch{}
		if len(old) > 0 {
			if err := execute(ctx, tx, sqltext.Forget(r.dialect, r.table, h.Shard, named, old)...); err != nil {
				return err
			}
		}
		var last, faults int64
		err := look(ctx, tx, sqltext.LastBatch(r.dialect, r.table, h.Shard), func(scan func(...any) error) error { return scan(&last, &faults) })
		if err != nil {
			return err
		}
		positions, err := r.unsealed(ctx, tx, h.Shard, faults > 0, most)
		if err != nil || len(positions) == 0 {
			return err
		}
		if err := execute(ctx, tx, sqltext.Seal(r.dialect, r.table, h.Shard, last+1, positions)...); err != nil {
			return err
		}
		next.Number = last + 1
		next.Records, err = r.read(ctx, tx, h.Shard, positions)
		return err
	})
	return next, wrap("seal a batch", err)
}

// unsealed are the positions of a new batch's rows.
func (r *Records) unsealed(ctx context.Context, tx marking.Tx, shard int, faults bool, most relay.Size) (positions []int64, err error) {
	size, full := 0, false
	err = look(ctx, tx, sqltext.Unsealed(r.dialect, r.table, shard, faults, most.Records), func(scan func(...any) error) error {
		var position int64
		var bytes int
		if err := scan(&position, &bytes); err != nil {
			return err
		}
		size += bytes
		full = full || len(positions) > 0 && size > most.Bytes
		if !full {
			positions = append(positions, position)
		}
		return nil
	})
	return positions, err
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
		o.OrderKey = string(key)
		if has && o.Payload == nil {
			o.Payload = []byte{}
		}
		o.Headers, err = outbox.ParseHeaders(headers)
		records = append(records, o)
		return err
	})
	return records, err
}

// maxFault bounds the text of a fault in bytes.
const maxFault = 1000

// SetAside is the method of [relay.Source].
func (r *Records) SetAside(ctx context.Context, h relay.Hold, b relay.Batch, faults map[int64]string) error {
	err := r.holding(ctx, h, 0, func(ctx context.Context, tx marking.Tx) error {
		blocked := map[string]bool{} // order keys
		var behind []int64
		for _, record := range b.Records {
			fault, faulty := faults[record.Position]
			switch {
			case faulty:
				fault = strings.ReplaceAll(strings.ToValidUTF8(fault[:min(len(fault), maxFault)], ""), "\x00", "")
				if err := execute(ctx, tx, sqltext.SetAside(r.dialect, r.table, h.Shard, record.Position, fault)); err != nil {
					return err
				}
				blocked[record.OrderKey] = record.OrderKey != ""
			case blocked[record.OrderKey]:
				behind = append(behind, record.Position)
			}
		}
		if len(behind) > 0 {
			if err := execute(ctx, tx, sqltext.Unseal(r.dialect, r.table, h.Shard, behind)); err != nil {
				return err
			}
		}
		return r.recount(ctx, tx, h.Shard)
	})
	return wrap("set records aside", err)
}

// recount keeps how many rows of a shard can't be published.
func (r *Records) recount(ctx context.Context, tx marking.Tx, shard int) error {
	var faults int64
	err := look(ctx, tx, sqltext.CountFaults(r.dialect, r.table, shard), func(scan func(...any) error) error { return scan(&faults) })
	if err != nil {
		return err
	}
	return execute(ctx, tx, sqltext.KeepFaults(r.dialect, r.table, shard, faults))
}
