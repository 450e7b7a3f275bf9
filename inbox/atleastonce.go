package inbox

import (
	"context"
	"errors"
	"time"

	"github.com/hapaxmq/hapax"
)

// AtLeastOnce makes the inbox of a handler that is declared idempotent: running it
// again with the same message changes nothing, as with setting an address. Nothing
// is marked, and the handler runs for every copy.
//
// Guarantee: no message is lost, if it is acknowledged as [Settle] says. What voids
// it: an effect that adds up, and copies that come after a newer message, which set
// the old address again; compare a version there.
//
// Of the options only Name, Backoff, Logger and Observer are read.
func AtLeastOnce(o Options, h func(ctx context.Context, m *hapax.Message) error) (*Inbox, error) {
	if h == nil {
		return nil, errors.New("inbox: no handler")
	}
	in, err := newInbox(AtLeast, o, nil)
	if err != nil {
		return nil, err
	}
	in.one = func(ctx context.Context, d *delivery) (hapax.Result, error) {
		defer d.ran(time.Now())
		if err := h(ctx, d.message); err != nil {
			return hapax.Result{Outcome: hapax.Failed}, err
		}
		return hapax.Result{Outcome: hapax.Executed}, nil
	}
	return in, nil
}
