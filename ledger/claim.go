package ledger

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/window"
)

var errReadOnly = errors.New("ledger is open for reading only")

// tokenBlock is how many tokens are reserved at once. A reservation is synced
// before its first token is given out, so that tokens rise over power loss too.
const tokenBlock = 1 << 16

var _ hapax.Ledger = (*Ledger)(nil)

// claims are the live ones, and the tokens that are given out for them. They are
// under the ledger's mu.
type claims struct {
	*window.Claims
	reserved   uint64 // tokens up to here may be given out,
	reservedAt int64  // once the log is durable up to here
}

// held is the live claim that c is, or ErrLeaseLost.
func (s *claims) held(c hapax.Claim, now int64) (window.Held, error) {
	h, ok := s.Get(c.Fingerprint, now)
	if !ok || h.Token != c.Token {
		return h, hapax.ErrLeaseLost
	}
	return h, nil
}

// log appends a claim that was taken or extended to l's log, if it has one, and a
// reservation of tokens where it is due.
func (s *claims) log(l *Ledger, f hapax.Fingerprint, h window.Held) error {
	j := l.journal
	if j == nil {
		return nil
	}
	if h.Token > s.reserved {
		s.reserved = h.Token + tokenBlock
		if err := j.append(frameTokens, binary.AppendUvarint(nil, s.reserved)); err != nil {
			return l.fail(err)
		}
		s.reservedAt = j.End()
	}
	if err := j.append(frameClaim, appendClaim(nil, f, h)); err != nil {
		return l.fail(err)
	}
	return nil
}

// Claim is [hapax.Ledger]. A claim survives kill -9; power loss may forget one,
// which is as if its lease had run out. A Duplicate's first copy is durable.
func (l *Ledger) Claim(ctx context.Context, r hapax.Request) (hapax.Claim, error) {
	if err := l.o.refuseClaim(ctx, r); err != nil {
		return hapax.Claim{}, err
	}
	c, reserved, err := l.claim(l.hasher.Scoped(r.Scope).Fingerprint(r.Identity), r)
	if err != nil || l.journal == nil {
		return c, err
	}
	if err := answerable(l.journal, c.Verdict == hapax.Duplicate, reserved); err != nil {
		return hapax.Claim{}, l.settled(err)
	}
	return c, nil
}

// refuse tells why a claim is not looked at.
func (o *Options) refuseClaim(ctx context.Context, r hapax.Request) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if o.Follows != nil {
		return fmt.Errorf("claim: %w", errFollows)
	}
	if r.Lease <= 0 || r.Lease > o.MaxLease {
		return fmt.Errorf("lease %v: want above 0, and at most %v", r.Lease, o.MaxLease)
	}
	if len(r.Identity) == 0 {
		return hapax.ErrMissing
	}
	return nil
}

// answerable returns once j is as durable as it must be before claims are
// answered: for copies, and for tokens that are reserved up to a place in it.
func answerable(j *journal, copies bool, reserved int64) error {
	end := j.End()
	var err error
	if copies {
		err = j.wait(end)
	} else {
		err = j.Flush(end)
	}
	if err == nil {
		err = j.Sync(reserved)
	}
	return err
}

// claim gives the verdict, and returns up to where the log must be durable before
// the token may be given out.
func (l *Ledger) claim(f hapax.Fingerprint, r hapax.Request) (c hapax.Claim, reserved int64, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer func() { err = l.sound(err) }()
	now, err := l.beginClaim()
	if err == nil {
		err = l.makeRoom(l.claims.Len() + 1)
	}
	if err != nil {
		return c, 0, err
	}
	c = hapax.Claim{Fingerprint: f, Digest: r.Digest}
	k := window.KeyOf(f)
	l.stripes.lockAll()
	defer l.stripes.unlockAll()
	a := admission{l: l, now: now}
	p, was := l.hot.table.Find(k)
	if was != window.Claimed && a.known(&Entry{Fingerprint: f}) {
		c, err = a.claimCopy(c)
		return c, 0, err
	}
	if held, ok := l.claims.Get(f, now); was == window.Claimed && ok {
		c.Deadline = time.Unix(0, held.Deadline)
		e := Entry{Digest: r.Digest}
		a.claimed(&e, held)
		c.Verdict = e.Verdict
		return c, 0, nil
	}
	if was == 0 {
		if p, err = l.hot.insert(k, l.hot.table.Spot(k), window.Claimed); err != nil {
			return c, 0, err
		}
	}
	held, err := l.claims.Take(f, r.Digest, now+int64(r.Lease))
	if err != nil {
		l.hot.table.Mark(k, p, 0)
		return c, 0, fmt.Errorf("%w: %d claims are live; raise MaxClaims", hapax.ErrFull, l.claims.Len())
	}
	l.hot.table.Mark(k, p, window.Claimed)
	l.stats.fresh.Add(1)
	c.Verdict, c.Token, c.Deadline = hapax.Fresh, held.Token, time.Unix(0, held.Deadline)
	err = l.claims.log(l, f, held)
	return c, l.claims.reservedAt, err
}

// claimCopy is the claim on an identity that is remembered: a copy of it came.
func (a *admission) claimCopy(c hapax.Claim) (hapax.Claim, error) {
	l := a.l
	e := Entry{Fingerprint: c.Fingerprint, Digest: c.Digest, Time: max(a.now, l.gens.Watermark())}
	l.frame.begin(a.now, "")
	k := window.KeyOf(c.Fingerprint)
	err := a.admitEntry(&e, k, l.hot.table.Spot(k))
	if err == nil {
		_, err = l.logBatch()
	}
	if err != nil {
		return c, l.fail(err)
	}
	if c.Verdict = e.Verdict; c.Verdict == hapax.Duplicate {
		c.Receipt = slices.Clone(l.receipts.get(c.Fingerprint))
	}
	return c, nil
}

// beginClaim is what Claim, Extend, Commit and Release begin with, under mu.
func (l *Ledger) beginClaim() (now int64, err error) {
	if err := l.ready(); err != nil {
		return 0, err
	}
	if l.o.ReadOnly {
		return 0, errReadOnly
	}
	now = l.now()
	if err := l.turnIfDue(now); err != nil {
		return 0, err
	}
	l.claims.Expire(now, l.hot.unclaim)
	if err := l.roll(); err != nil {
		return 0, err
	}
	return now, l.hot.pay(0)
}

// Extend is [hapax.Ledger].
func (l *Ledger) Extend(ctx context.Context, c hapax.Claim, d time.Duration) (hapax.Claim, error) {
	if err := ctx.Err(); err != nil {
		return c, err
	}
	if d <= 0 || d > l.o.MaxLease {
		return c, fmt.Errorf("lease %v: want above 0, and at most %v", d, l.o.MaxLease)
	}
	h, err := l.extend(c, d)
	if err != nil {
		return c, err
	}
	c.Deadline = time.Unix(0, h.Deadline)
	if l.journal == nil {
		return c, nil
	}
	return c, l.settled(l.journal.Flush(l.journal.End()))
}

func (l *Ledger) extend(c hapax.Claim, d time.Duration) (window.Held, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now, err := l.beginClaim()
	if err != nil {
		return window.Held{}, err
	}
	h, err := l.claims.held(c, now)
	if err != nil {
		return h, err
	}
	h.Deadline = max(h.Deadline, now+int64(d))
	l.claims.Put(c.Fingerprint, h)
	return h, l.claims.log(l, c.Fingerprint, h)
}

// Commit is [hapax.Ledger]. The window runs from the commit. A receipt above
// [Options.MaxReceipt] is an [hapax.ErrReceiptSize]; what is kept of all receipts is
// bounded by [Options.MaxReceipts], oldest out first.
func (l *Ledger) Commit(ctx context.Context, c hapax.Claim, receipt hapax.Receipt) error {
	if err := l.o.refuseCommit(ctx, receipt); err != nil {
		return err
	}
	end, err := l.commit(c, receipt)
	if err != nil || l.journal == nil {
		return err
	}
	if err := l.journal.wait(end); err != nil {
		return errors.Join(hapax.ErrUnknown, l.settled(err))
	}
	return nil
}

func (o *Options) refuseCommit(ctx context.Context, receipt hapax.Receipt) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if len(receipt) > o.MaxReceipt {
		return fmt.Errorf("%w: %d bytes, at most %d", hapax.ErrReceiptSize, len(receipt), o.MaxReceipt)
	}
	return nil
}

func (l *Ledger) commit(c hapax.Claim, receipt hapax.Receipt) (end int64, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer func() { err = l.sound(err) }()
	now, err := l.beginClaim()
	if err != nil {
		return 0, err
	}
	h, err := l.claims.held(c, now)
	if err != nil {
		return 0, err
	}
	e := &Entry{Fingerprint: c.Fingerprint, Digest: h.Digest, Time: max(now, l.gens.Watermark())}
	a := admission{l: l, now: now}
	l.stripes.lockAll()
	gen, err := a.generationOf(e)
	if err == nil {
		k := window.KeyOf(e.Fingerprint)
		p, _ := l.hot.table.Find(k)
		l.hot.table.Mark(k, p, gen.Number)
		a.keep(e, k, p, gen)
	}
	l.stripes.unlockAll()
	if err != nil {
		return 0, err
	}
	l.claims.Drop(c.Fingerprint)
	l.receipts.put(c.Fingerprint, receipt)
	if receipt != nil && l.concurrent {
		l.stripes.close() // they do not drop it when the identity comes anew: see deal
	}
	if l.journal == nil {
		return 0, nil
	}
	b := appendCommit(nil, e, gen.ID, receipt)
	if err := errors.Join(l.journal.use(gen), l.journal.append(frameCommit, b)); err != nil {
		return 0, l.fail(err)
	}
	l.frame.begin(now, "") // it may have moved the watermark
	return l.logBatch()
}

// Release is [hapax.Ledger].
func (l *Ledger) Release(ctx context.Context, c hapax.Claim) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := l.release(c); err != nil || l.journal == nil {
		return err
	}
	return l.settled(l.journal.wait(l.journal.End()))
}

func (l *Ledger) release(c hapax.Claim) (err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer func() { err = l.sound(err) }()
	now, err := l.beginClaim()
	if err != nil {
		return err
	}
	if _, err := l.claims.held(c, now); err != nil {
		return err
	}
	l.claims.Drop(c.Fingerprint)
	l.hot.unclaim(c.Fingerprint)
	if l.journal == nil {
		return nil
	}
	if err := l.journal.append(frameRelease, c.Fingerprint[:]); err != nil {
		return l.fail(err)
	}
	return nil
}

func appendClaim(b []byte, f hapax.Fingerprint, h window.Held) []byte {
	b = append(b, f[:]...)
	b = binary.AppendUvarint(b, h.Token)
	b = binary.AppendVarint(b, h.Deadline)
	return binary.LittleEndian.AppendUint64(b, uint64(h.Digest))
}

func readClaim(r *reader) (f hapax.Fingerprint, h window.Held) {
	f = r.fingerprint()
	h.Token = r.uvarint("token")
	h.Deadline = r.varint("deadline")
	h.Digest = hapax.Digest(r.fixed("digest"))
	return f, h
}

func appendCommit(b []byte, e *Entry, gen uint64, receipt hapax.Receipt) []byte {
	b = append(b, e.Fingerprint[:]...)
	b = binary.AppendUvarint(b, gen)
	b = binary.AppendVarint(b, e.Size)
	b = binary.LittleEndian.AppendUint64(b, uint64(e.Digest))
	if receipt == nil {
		return append(b, 0)
	}
	return appendString(append(b, 1), receipt)
}

func readCommit(r *reader) (e Entry, gen uint64, receipt hapax.Receipt) {
	e.Fingerprint = r.fingerprint()
	gen = r.uvarint("generation")
	e.Size = r.varint("bytes")
	e.Digest = hapax.Digest(r.fixed("digest"))
	if r.byte("receipt") != 0 {
		receipt = append(hapax.Receipt{}, r.string("receipt")...)
	}
	return e, gen, receipt
}
