package hapax_test

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hapaxmq/hapax"
)

// book is a ledger in memory without a window. Its hooks run before the call
// they are named after and, if they return an error, instead of it.
type book struct {
	onClaim, onExtend, onCommit, onRelease func(context.Context) error

	mu    sync.Mutex
	pages map[string]page
	calls []string // every call, in order
}

type page struct {
	claim     hapax.Claim
	committed bool
}

func newBook() *book { return &book{pages: map[string]page{}} }

func (b *book) begin(ctx context.Context, call string, hook func(context.Context) error) error {
	b.mu.Lock()
	b.calls = append(b.calls, call)
	b.mu.Unlock()
	if hook != nil {
		return hook(ctx)
	}
	return ctx.Err()
}

func (b *book) Claim(ctx context.Context, r hapax.Request) (hapax.Claim, error) {
	if err := b.begin(ctx, "claim", b.onClaim); err != nil {
		return hapax.Claim{}, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	p := b.pages[string(r.Identity)]
	c := p.claim
	switch {
	case c.Token > 0 && c.Digest != r.Digest:
		c.Verdict = hapax.Conflict
		return c, nil
	case p.committed:
		c.Verdict = hapax.Duplicate
		return c, nil
	case time.Now().Before(c.Deadline):
		c.Verdict = hapax.InFlight
		return c, nil
	}
	c = hapax.Claim{Verdict: hapax.Fresh, Digest: r.Digest, Token: c.Token + 1, Deadline: time.Now().Add(r.Lease)}
	copy(c.Fingerprint[:], r.Identity)
	b.pages[string(r.Identity)] = page{claim: c}
	return c, nil
}

// turn changes the page of a claim that still holds.
func (b *book) turn(c hapax.Claim, change func(*page)) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	id := strings.TrimRight(string(c.Fingerprint[:]), "\x00")
	p := b.pages[id]
	if p.committed || p.claim.Token != c.Token || p.claim.Deadline.IsZero() {
		return hapax.ErrLeaseLost
	}
	change(&p)
	b.pages[id] = p
	return nil
}

func (b *book) Extend(ctx context.Context, c hapax.Claim, d time.Duration) (hapax.Claim, error) {
	if err := b.begin(ctx, "extend", b.onExtend); err != nil {
		return c, err
	}
	err := b.turn(c, func(p *page) {
		p.claim.Deadline = time.Now().Add(d)
		c = p.claim
	})
	return c, err
}

func (b *book) Commit(ctx context.Context, c hapax.Claim, r hapax.Receipt) error {
	if err := b.begin(ctx, "commit", b.onCommit); err != nil {
		return err
	}
	return b.turn(c, func(p *page) { p.committed, p.claim.Receipt = true, slices.Clone(r) })
}

func (b *book) Release(ctx context.Context, c hapax.Claim) error {
	if err := b.begin(ctx, "release", b.onRelease); err != nil {
		return err
	}
	return b.turn(c, func(p *page) { p.claim.Deadline = time.Time{} })
}

// wantCalls compares what Do asked of the ledger.
func (b *book) wantCalls(t *testing.T, want string) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if got := strings.Join(b.calls, " "); got != want {
		t.Errorf("ledger was asked %q, want %q", got, want)
	}
}

func count(calls []string, call string) (n int) {
	for _, c := range calls {
		if c == call {
			n++
		}
	}
	return n
}
