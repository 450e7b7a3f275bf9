package marking

import (
	"context"
	"errors"
	"fmt"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/identity"
	"github.com/hapaxmq/hapax/internal/sqltext"
)

// Operator looks at marks and lets them go, outside of the transactions that make them.
type Operator struct {
	Form    Form
	Session func(ctx context.Context, f func(ctx context.Context, tx Tx) error) error
}

// Look is the method of [hapax.Operator], of marks by id.
func (o *Operator) Look(ctx context.Context, s hapax.Scope, id hapax.Identity) (hapax.Claim, error) {
	c := hapax.Claim{Key: identity.SharedKey(s, id), Verdict: hapax.Fresh}
	c.Fingerprint = hapax.Fingerprint(c.Key[:len(c.Fingerprint)])
	err := o.marked(ctx, id, func(ctx context.Context, f *IDs, tx Tx) error {
		return tx.Query(ctx, func(scan func(...any) error) error {
			var digest int64
			var receipt []byte
			var kept bool
			err := scan(&digest, &receipt, &kept)
			c.Verdict, c.Digest = hapax.Duplicate, hapax.Digest(digest)
			if kept {
				c.Receipt = append(hapax.Receipt{}, receipt...)
			}
			return err
		}, sqltext.LookAtMark(f.Dialect, f.Table), c.Key[:])
	})
	if err != nil {
		return c, fmt.Errorf("look at a mark: %w", err)
	}
	return c, nil
}

// Expire is the method of [hapax.Operator], of marks by id.
func (o *Operator) Expire(ctx context.Context, s hapax.Scope, id hapax.Identity) (was bool, err error) {
	key := identity.SharedKey(s, id)
	err = o.marked(ctx, id, func(ctx context.Context, f *IDs, tx Tx) error {
		return patiently(ctx, f.Fault, patience, func() error {
			done, err := tx.Exec(ctx, sqltext.DropMark(f.Dialect, f.Table), key[:])
			was = done.Rows > 0
			return err
		})
	})
	if err != nil {
		return false, fmt.Errorf("let a mark go: %w", err)
	}
	return was, nil
}

// marked runs a function on a connection, if the marks are by id.
func (o *Operator) marked(ctx context.Context, id hapax.Identity, do func(context.Context, *IDs, Tx) error) error {
	f, ok := o.Form.(*IDs)
	switch {
	case !ok:
		return fmt.Errorf("marks by number, or in a column of the user's, are no rows of one message each: %w", errors.ErrUnsupported)
	case len(id) == 0:
		return hapax.ErrMissing
	}
	return o.Session(ctx, func(ctx context.Context, tx Tx) error { return do(ctx, f, tx) })
}
