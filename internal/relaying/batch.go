package relaying

import (
	"context"
	"strings"

	"github.com/hapaxmq/hapax/internal/marking"
	"github.com/hapaxmq/hapax/internal/sqltext"
	"github.com/hapaxmq/hapax/outbox/relay"
)

// shard is the row of one, which is held.
type shard struct {
	last   int64   // its last batch
	faults int64   // rows that can't be published
	sealed []int64 // the positions of the last batch; none: it is over
}

// holding runs a function in a transaction that has the row of a shard, which is the
// relay's own.
func (r *Records) holding(ctx context.Context, h relay.Hold, f func(ctx context.Context, tx marking.Tx, s shard) error) error {
	return r.transact(ctx, func(ctx context.Context, tx marking.Tx) error {
		s, err := r.hold(ctx, tx, h)
		if err != nil {
			return err
		}
		return f(ctx, tx, s)
	})
}

func (r *Records) hold(ctx context.Context, tx marking.Tx, h relay.Hold) (s shard, err error) {
	hold := sqltext.HoldShard(r.dialect, r.table, h.Relay, h.Shard, h.Lease.Microseconds())
	tell, has := hold, int64(0)
	if !sqltext.Returns(r.dialect) {
		done, err := tx.Exec(ctx, hold.Text, hold.Args...)
		if err == nil && done.Rows != 1 {
			err = relay.ErrLost
		}
		if err != nil {
			return s, err
		}
		tell = sqltext.Shard(r.dialect, r.table, h.Shard)
	}
	var sealed string
	err = look(ctx, tx, tell, func(scan func(...any) error) error {
		has++
		return scan(&s.last, &s.faults, &sealed)
	})
	if err == nil && has != 1 {
		err = relay.ErrLost
	}
	if err == nil {
		s.sealed, err = sqltext.ParsePositions(sealed)
	}
	return s, err
}

// Resume is the method of [relay.Source].
func (r *Records) Resume(ctx context.Context, h relay.Hold, published int64) (next relay.Batch, err error) {
	err = r.holding(ctx, h, func(ctx context.Context, tx marking.Tx, s shard) (err error) {
		next = relay.Batch{}
		switch {
		case s.last > published && len(s.sealed) > 0:
			next.Number = s.last
			next.Records, err = r.read(ctx, tx, h.Shard, s.sealed)
			return err
		case len(s.sealed) > 0:
			if err := execute(ctx, tx, sqltext.Forget(r.dialect, r.table, h.Shard, true, s.sealed)...); err != nil {
				return err
			}
		case s.last >= published:
			return nil
		}
		return execute(ctx, tx, sqltext.Unseal(r.dialect, r.table, h.Shard, max(s.last, published)))
	})
	return next, wrap("resume a shard", err)
}

// maxFault bounds the text of a fault in bytes.
const maxFault = 1000

// SetAside is the method of [relay.Source].
func (r *Records) SetAside(ctx context.Context, h relay.Hold, b relay.Batch, faults map[int64]string) error {
	err := r.holding(ctx, h, func(ctx context.Context, tx marking.Tx, _ shard) error {
		blocked := map[string]bool{} // order keys
		var left []int64
		for _, record := range b.Records {
			fault, faulty := faults[record.Position]
			switch {
			case faulty:
				fault = strings.ReplaceAll(strings.ToValidUTF8(fault[:min(len(fault), maxFault)], ""), "\x00", "")
				if err := execute(ctx, tx, sqltext.SetAside(r.dialect, r.table, h.Shard, record.Position, fault)); err != nil {
					return err
				}
				blocked[record.OrderKey] = record.OrderKey != ""
			case !blocked[record.OrderKey]:
				left = append(left, record.Position)
			}
		}
		seal := sqltext.Seal(r.dialect, r.table, h.Shard, b.Number, left)
		if len(left) == 0 {
			seal = sqltext.Unseal(r.dialect, r.table, h.Shard, b.Number)
		}
		if err := execute(ctx, tx, seal); err != nil {
			return err
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
