package ledgertest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/internal/rehearsaltest"
)

var errReceiptTooLarge = errors.New("receipt too large")

const maxReceipt = 4096

// shelf is the smallest ledger that keeps the contract, and many that do not:
// bug names the one thing it does wrong.
type shelf struct {
	mu     sync.Mutex
	now    time.Time
	window time.Duration
	bug    string
	state  shelfState
	full   bool
	closed bool
}

type shelfState struct {
	records map[hapax.Fingerprint]record
	token   uint64
}

type record struct {
	digest    hapax.Digest
	token     uint64
	deadline  time.Time
	committed bool
	expires   time.Time
	receipt   hapax.Receipt
}

func (s *shelf) fingerprint(r hapax.Request) hapax.Fingerprint {
	var joined []byte
	if s.bug != "joins without length" {
		joined = binary.AppendUvarint(joined, uint64(len(r.Scope)))
	}
	joined = append(append(joined, r.Scope...), r.Identity...)
	switch s.bug {
	case "ignores scope":
		joined = r.Identity
	case "stops at zero byte":
		joined, _, _ = bytes.Cut(joined[1:], []byte{0})
	}
	sum := sha256.Sum256(joined)
	return hapax.Fingerprint(sum[:16])
}

func (s *shelf) Claim(ctx context.Context, r hapax.Request) (hapax.Claim, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.refuse(ctx); err != nil {
		return hapax.Claim{}, err
	}
	if r.Lease <= 0 {
		if s.bug != "lease zero is unset" {
			return hapax.Claim{}, errors.New("lease is not above zero")
		}
		r.Lease = time.Minute
	}
	c := hapax.Claim{Fingerprint: s.fingerprint(r), Digest: r.Digest}
	old, known := s.state.records[c.Fingerprint]
	if known && s.bug == "forgets under load" && len(s.state.records) > 1000 {
		known = false
	}
	alive := known && (old.committed && s.now.Before(old.expires) || !old.committed && s.now.Before(old.deadline))
	if s.bug == "lease never ends" && known && !old.committed {
		alive = true
	}
	conflict := alive && r.Digest != 0 && old.digest != 0 && r.Digest != old.digest && s.bug != "ignores digests"
	if s.bug == "in flight before conflict" && !old.committed {
		conflict = false
	}
	switch {
	case conflict:
		c.Verdict = hapax.Conflict
		if s.bug == "conflict overwrites" {
			old.digest = r.Digest
			s.state.records[c.Fingerprint] = old
		}
	case alive && old.committed:
		c.Verdict, c.Receipt = hapax.Duplicate, bytes.Clone(old.receipt)
		if s.bug == "copies prolong" {
			old.expires = s.now.Add(s.window)
			s.state.records[c.Fingerprint] = old
		}
	case alive:
		c.Verdict, c.Deadline = hapax.InFlight, old.deadline
	case s.full:
		return hapax.Claim{}, hapax.ErrFull
	default:
		s.state.token++
		c.Verdict, c.Token, c.Deadline = hapax.Fresh, s.state.token, s.now.Add(r.Lease)
		s.state.records[c.Fingerprint] = record{digest: r.Digest, token: c.Token, deadline: c.Deadline}
	}
	return c, nil
}

func (s *shelf) refuse(ctx context.Context) error {
	if err := ctx.Err(); err != nil && s.bug != "ignores context" {
		return err
	}
	if s.closed && s.bug != "works when closed" {
		return hapax.ErrClosed
	}
	return nil
}

// held returns the record of a claim that is still the caller's.
func (s *shelf) held(ctx context.Context, c hapax.Claim) (record, error) {
	if err := s.refuse(ctx); err != nil {
		return record{}, err
	}
	r, ok := s.state.records[c.Fingerprint]
	if ok && s.bug == "no fence" {
		return r, nil
	}
	if !ok || r.token != c.Token || c.Token == 0 {
		return record{}, hapax.ErrLeaseLost
	}
	return r, nil
}

func (s *shelf) Extend(ctx context.Context, c hapax.Claim, d time.Duration) (hapax.Claim, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, err := s.held(ctx, c)
	if err != nil {
		return c, err
	}
	if r.committed || d <= 0 {
		return c, hapax.ErrLeaseLost
	}
	if end := s.now.Add(d); end.After(r.deadline) || s.bug == "extend shortens" {
		r.deadline = end
	}
	if s.bug != "extend does nothing" {
		s.state.records[c.Fingerprint] = r
	}
	c.Deadline = r.deadline
	return c, nil
}

func (s *shelf) Commit(ctx context.Context, c hapax.Claim, receipt hapax.Receipt) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, err := s.held(ctx, c)
	if err != nil || r.committed {
		return err
	}
	if s.full && s.bug == "refuses commits when full" {
		return hapax.ErrFull
	}
	if len(receipt) > maxReceipt && s.bug != "no receipt limit" {
		return errReceiptTooLarge
	}
	r.committed, r.expires, r.receipt = true, s.now.Add(s.window), bytes.Clone(receipt)
	switch s.bug {
	case "window from claim":
		r.expires = r.deadline.Add(s.window - long)
	case "window short":
		r.expires = r.expires.Add(-2 * time.Millisecond)
	case "window long":
		r.expires = r.expires.Add(s.window / 100)
	case "empty receipt is none":
		r.receipt = append(hapax.Receipt(nil), receipt...)
	case "aliases receipt":
		r.receipt = receipt
	}
	s.state.records[c.Fingerprint] = r
	return nil
}

func (s *shelf) Release(ctx context.Context, c hapax.Claim) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, err := s.held(ctx, c)
	if err != nil {
		return err
	}
	if r.committed && s.bug != "release undoes commit" {
		return hapax.ErrLeaseLost
	}
	if s.bug == "release reuses token" {
		s.state.token = c.Token - 1
	}
	if s.bug != "release remembers" {
		delete(s.state.records, c.Fingerprint)
	}
	return nil
}

func (s *shelf) ClaimBatch(ctx context.Context, requests []hapax.Request) ([]hapax.Claim, []error) {
	claims, errs := make([]hapax.Claim, len(requests)), make([]error, len(requests))
	seen := map[string]int{}
	for i, r := range requests {
		claims[i], errs[i] = s.Claim(ctx, r)
		name := fmt.Sprint(r.Scope, r.Identity, r.Digest)
		first, twice := seen[name]
		if twice && s.bug == "batch gives both copies" {
			claims[i] = claims[first]
		} else if !twice {
			seen[name] = i
		}
		if errs[i] != nil && s.bug == "batch stops at an error" {
			for j := i; j < len(errs); j++ {
				errs[j] = errs[i]
			}
			return claims, errs
		}
	}
	if s.bug == "batch answers in reverse" {
		slices.Reverse(claims)
	}
	if s.bug == "batch leaves out the last" && len(requests) > 1000 {
		return claims[:1000], errs[:1000]
	}
	return claims, errs
}

func (s *shelf) CommitBatch(ctx context.Context, claims []hapax.Claim, receipts []hapax.Receipt) []error {
	errs := make([]error, len(claims))
	for i, c := range claims {
		var receipt hapax.Receipt
		if receipts != nil && s.bug != "batch loses receipts" {
			receipt = receipts[i]
		}
		if errs[i] = s.Commit(ctx, c, receipt); errs[i] != nil && s.bug == "batch commits up to an error" {
			for j := i; j < len(errs); j++ {
				errs[j] = errs[i]
			}
			return errs
		}
	}
	return errs
}

// alive returns the record of what is committed or claimed.
func (s *shelf) alive(fp hapax.Fingerprint) (record, bool) {
	r, ok := s.state.records[fp]
	return r, ok && (r.committed && s.now.Before(r.expires) || !r.committed && s.now.Before(r.deadline))
}

func (s *shelf) Look(_ context.Context, scope hapax.Scope, id hapax.Identity) (hapax.Claim, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := hapax.Claim{Fingerprint: s.fingerprint(hapax.Request{Scope: scope, Identity: id}), Verdict: hapax.Fresh}
	r, ok := s.alive(c.Fingerprint)
	if !ok {
		return c, nil
	}
	c.Digest, c.Token, c.Deadline, c.Receipt = r.digest, r.token, r.deadline, r.receipt
	if c.Verdict = hapax.InFlight; r.committed {
		c.Verdict = hapax.Duplicate
	}
	if s.bug == "looking changes" {
		delete(s.state.records, c.Fingerprint)
	}
	return c, nil
}

func (s *shelf) Expire(_ context.Context, scope hapax.Scope, id hapax.Identity) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fp := s.fingerprint(hapax.Request{Scope: scope, Identity: id})
	r, ok := s.alive(fp)
	if !ok || s.bug == "claims do not expire" && !r.committed {
		return ok, nil
	}
	delete(s.state.records, fp)
	return true, nil
}

// again is the ledger that opens on what this one left.
func (s *shelf) again() (hapax.Ledger, error) {
	next := s.copy()
	switch s.bug {
	case "forgets on reopen":
		clear(next.state.records)
	case "claims die with the process":
		maps.DeleteFunc(next.state.records, func(_ hapax.Fingerprint, r record) bool { return !r.committed })
	case "tokens start again":
		next.state.token = 0
	case "receipts die with the process":
		for fp, r := range next.state.records {
			r.receipt = nil
			next.state.records[fp] = r
		}
	}
	return next, nil
}

func (s *shelf) copy() *shelf {
	s.mu.Lock()
	defer s.mu.Unlock()
	return &shelf{now: s.now, window: s.window, bug: s.bug,
		state: shelfState{records: maps.Clone(s.state.records), token: s.state.token}}
}

// shelves makes ledgers with one bug, or with none.
func shelves(bug string) Factory {
	return Factory{
		Capabilities: Capabilities{Durable: true, ServerClock: true, FencedWrites: true, Receipts: true, Digests: true, Retries: true, Batches: true, Operator: true},
		New: func(_ testing.TB, window time.Duration) *Instance {
			s := &shelf{now: time.Unix(1_700_000_000, 0), window: window, bug: bug,
				state: shelfState{records: map[hapax.Fingerprint]record{}}}
			in := &Instance{Ledger: s, Skewed: s, MaxReceipt: maxReceipt, TooLarge: errReceiptTooLarge}
			reopen := func() (l hapax.Ledger, err error) {
				l, err = s.again()
				s = l.(*shelf)
				return l, err
			}
			in.Reopen, in.Crash = reopen, reopen
			in.Advance = func(d time.Duration) {
				s.mu.Lock()
				defer s.mu.Unlock()
				s.now = s.now.Add(d)
			}
			in.Now = func() time.Time {
				s.mu.Lock()
				defer s.mu.Unlock()
				return s.now
			}
			in.Pressure = func() {
				s.mu.Lock()
				defer s.mu.Unlock()
				s.full = true
				if bug == "evicts" {
					clear(s.state.records)
				}
			}
			in.Close = func() error {
				s.mu.Lock()
				defer s.mu.Unlock()
				s.closed = true
				return nil
			}
			return in
		},
	}
}

func TestRunLedger(t *testing.T) { RunLedger(t, shelves("")) }

// TestContractCatches plants one bug at a time and demands that the check which
// should notice it does.
func TestContractCatches(t *testing.T) {
	bugs := map[string]string{
		"joins without length":          "scope and identity never run",
		"ignores scope":                 "one event runs once in each",
		"stops at zero byte":            "any bytes",
		"lease zero is unset":           "zero or less",
		"forgets under load":            "thousands",
		"evicts":                        "memory is full",
		"refuses commits when full":     "memory is full",
		"lease never ends":              "a lease that ran out is Fresh for",
		"ignores digests":               "another digest",
		"in flight before conflict":     "Conflict comes before",
		"conflict overwrites":           "another digest",
		"copies prolong":                "copies do not prolong",
		"ignores context":               "cancelled",
		"works when closed":             "Close with calls",
		"no fence":                      "an overtaken holder",
		"extend shortens":               "never shortens",
		"extend does nothing":           "Extend moves",
		"no receipt limit":              "above the limit",
		"window from claim":             "from the commit",
		"window short":                  "inside the window",
		"window long":                   "inside the window",
		"empty receipt is none":         "identical receipt",
		"aliases receipt":               "identical receipt",
		"release undoes commit":         "a commit ends",
		"release reuses token":          "higher token",
		"release remembers":             "a released identity",
		"forgets on reopen":             "a reopened ledger",
		"claims die with the process":   "a killed ledger",
		"tokens start again":            "tokens rise",
		"receipts die with the process": "receipts outlive",
		"batch gives both copies":       "a batch with a message twice",
		"batch stops at an error":       "one of a batch that fails",
		"batch answers in reverse":      "a batch is answered as",
		"batch leaves out the last":     "a batch may be large",
		"batch loses receipts":          "a batch keeps each receipt",
		"batch commits up to an error":  "one of a batch that fails",
		"looking changes":               "an operator looks",
		"claims do not expire":          "an operator lets go",
	}
	for bug, name := range bugs {
		t.Run(bug, func(t *testing.T) {
			caught := false
			for _, c := range contract() {
				if !strings.Contains(c.name, name) {
					continue
				}
				r := rehearsaltest.Run(t, func(tb testing.TB) { c.run(newSitting(tb, shelves(bug))) })
				caught = caught || r.Failed()
			}
			if !caught {
				t.Errorf("no check %q noticed", name)
			}
		})
	}
}

// TestUndeclaredIsSeen: a promise not made must be seen not to be kept.
func TestUndeclaredIsSeen(t *testing.T) {
	f := shelves("no fence")
	f.FencedWrites = false
	for _, c := range fenceChecks() {
		if c.needs == nil || c.needs(f.Capabilities) {
			continue
		}
		r := rehearsaltest.Run(t, func(tb testing.TB) { c.run(newSitting(tb, f)) })
		if !r.Failed() {
			t.Errorf("%s: a ledger without fences passed", c.name)
		}
	}
}
