package httpkey

import (
	"context"

	"github.com/hapaxmq/hapax/identity"
	"github.com/hapaxmq/hapax/internal/handling"
)

// Run is one run of a handler, for one key.
type Run struct {
	Key    string
	Tenant string
	// Token fences the run: it rises with every run of the key, so that a resource
	// that remembers the highest one can refuse a run that was overtaken.
	Token uint64

	shared [32]byte
	calls  *handling.Calls
}

// handled is a run, to who sends for it.
type handled struct{ *Run }

func (h handled) ChildID(step string) string { return identity.ChildID(h.shared[:], step) }

func (h handled) Next(kind string) int { return h.calls.Next(kind) }

// FromContext returns the run that a handler's context belongs to. There is none for
// a request without a key, and none under [Options.FailOpen] while the ledger can't be
// asked.
func FromContext(ctx context.Context) (Run, bool) {
	h, ok := ctx.Value(handling.Request{}).(handled)
	if !ok {
		return Run{}, false
	}
	return *h.Run, true
}

// ChildID derives the id of what a handler sends out, such as the key of its own
// request to another service, from the key that it handles: a run that comes again
// sends the same ids, and whoever receives them can drop copies. ctx is the
// handler's; step names what is sent among all of one run, and must not depend on
// time or chance. It is empty where [FromContext] has no run.
func ChildID(ctx context.Context, step string) string {
	run, ok := FromContext(ctx)
	if !ok {
		return ""
	}
	return handled{&run}.ChildID(step)
}
