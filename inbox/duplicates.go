package inbox

import (
	"context"
	"fmt"

	"github.com/hapaxmq/hapax"
)

// OnDuplicate says what is done with a copy of a message that was handled before.
// Whatever it is, the handler does not run, and the outcome is [hapax.Replayed].
// The zero value drops copies and counts them.
type OnDuplicate struct {
	name   string
	replay bool // the first run's receipt is wanted
	do     func(ctx context.Context, m *hapax.Message, first hapax.Receipt) error
}

// Drop drops copies and counts them. It is the default.
func Drop() OnDuplicate { return OnDuplicate{} }

// Replay gives the receipt of the first run to the caller of Handle, in
// [hapax.Result]: byte by byte what the handler had returned, if it was kept.
func Replay() OnDuplicate { return OnDuplicate{name: "replay", replay: true} }

// Callback gives each copy to f, with the receipt of the first run: to send a
// reply again, or messages whose first sending is in doubt, with the ids they
// had then. An error of f gives the copy back to the broker, and is no failed
// attempt.
func Callback(f func(ctx context.Context, m *hapax.Message, first hapax.Receipt) error) OnDuplicate {
	return OnDuplicate{name: "callback", replay: true, do: f}
}

// Route sends each copy elsewhere: to a topic for copies, to an archive. The copy
// is acknowledged once send returns nil; an error gives it back to the broker, and
// is no failed attempt. A copy that is given back may be sent twice.
func Route(send func(ctx context.Context, m *hapax.Message) error) OnDuplicate {
	o := OnDuplicate{name: "route"}
	if send != nil {
		o.do = func(ctx context.Context, m *hapax.Message, _ hapax.Receipt) error { return send(ctx, m) }
	}
	return o
}

func (o OnDuplicate) String() string {
	if o.name == "" {
		return "drop"
	}
	return o.name
}

func (o OnDuplicate) validate() error {
	if o.do == nil && (o.name == "callback" || o.name == "route") {
		return fmt.Errorf("duplicates: %s has no function", o.name)
	}
	return nil
}

// answer is the end of a delivery that was found to be a copy.
func (o OnDuplicate) answer(ctx context.Context, m *hapax.Message, first hapax.Receipt) (hapax.Result, error) {
	r := hapax.Result{Outcome: hapax.Replayed}
	if o.replay {
		r.Receipt = first
	}
	if o.do == nil {
		return r, nil
	}
	if err := o.do(ctx, m, first); err != nil {
		return r, fmt.Errorf("%s of a copy: %w", o, err)
	}
	return r, nil
}
