package memcached

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/bradfitz/gomemcache/memcache"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/identity"
	"github.com/hapaxmq/hapax/internal/claimrecord"
)

// Options are what a [Ledger] is opened with. All programs that share its keys should
// have the same ones, but need not.
type Options struct {
	// Window is how long a message is remembered at most, from its commit: up to two
	// seconds longer, and until it is evicted. Required; a second at least, and ten
	// years at most.
	Window time.Duration

	// BestEffort accepts that Memcached may forget a message inside its window, so that
	// it runs again. Required: there is no Memcached that does not.
	BestEffort bool

	// Prefix stands before each key: up to 200 bytes without blanks and control
	// characters (default "hapax:").
	Prefix string

	// MaxReceipt is how many bytes a receipt may have (default 64 KiB, at most
	// 1,000,000, as Memcached itself takes a mebibyte).
	MaxReceipt int

	// TokenMemory is how long the token of a claim that was released or ran out is
	// remembered, so that the next one is higher (default 1 h).
	TokenMemory time.Duration

	// Clock is what leases are judged by (default time.Now).
	Clock func() time.Time
}

const (
	longest       = 10 * 365 * 24 * time.Hour // expirations are seconds since 1970 in 31 bits
	maxReceipt    = 1_000_000
	maxPrefix     = 200
	maxRelative   = 30 * 24 * time.Hour // above it Memcached reads an expiration as a Unix time
	maxContention = 100                 // steps that others may take between one call's two
)

func (o Options) withDefaults() (Options, error) {
	if o.Prefix == "" {
		o.Prefix = "hapax:"
	}
	if o.MaxReceipt == 0 {
		o.MaxReceipt = 64 << 10
	}
	if o.TokenMemory == 0 {
		o.TokenMemory = time.Hour
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	switch {
	case !o.BestEffort:
		return o, errors.New("a Memcached may evict messages inside their window: accept that by BestEffort, or take another ledger")
	case o.Window < time.Second || o.Window > longest:
		return o, fmt.Errorf("option Window %v: want 1s to %v", o.Window, longest)
	case o.MaxReceipt < 0 || o.MaxReceipt > maxReceipt:
		return o, fmt.Errorf("option MaxReceipt %d: want 0 to %d", o.MaxReceipt, maxReceipt)
	case o.TokenMemory < 0 || o.TokenMemory > longest:
		return o, fmt.Errorf("option TokenMemory %v: want 0 to %v", o.TokenMemory, longest)
	case len(o.Prefix) > maxPrefix:
		return o, fmt.Errorf("option Prefix of %d bytes: want %d at most", len(o.Prefix), maxPrefix)
	}
	for _, c := range []byte(o.Prefix) {
		if c <= ' ' || c == 0x7f {
			return o, fmt.Errorf("option Prefix %q: want no blanks and control characters", o.Prefix)
		}
	}
	return o, nil
}

// Ledger keeps claims in Memcached. All methods may be called from several goroutines at
// once. A context is asked before each call; how long one takes is up to the client's
// Timeout.
type Ledger struct {
	client *memcache.Client
	o      Options
	closed atomic.Bool
}

var _ hapax.Ledger = (*Ledger)(nil)

// Open checks the options. The client stays the caller's: Close does not close it.
func Open(client *memcache.Client, o Options) (*Ledger, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("open memcached ledger: %w", err)
	}
	return &Ledger{client: client, o: o}, nil
}

// Close makes all calls that come later return [hapax.ErrClosed]. Those in flight end as
// they would.
func (l *Ledger) Close() error {
	l.closed.Store(true)
	return nil
}

// Claim is one round trip for a message that is new, two for a copy, and three for one
// that was released. An error of the network leaves it open whether the message is
// reserved: if so, copies are InFlight until the lease ends.
func (l *Ledger) Claim(ctx context.Context, r hapax.Request) (hapax.Claim, error) {
	c := hapax.Claim{Key: identity.SharedKey(r.Scope, r.Identity), Digest: r.Digest}
	c.Fingerprint = hapax.Fingerprint(c.Key[:len(c.Fingerprint)])
	if err := checkLease(r.Lease); err != nil {
		return c, err
	}
	for range maxContention {
		if err := l.refuse(ctx); err != nil {
			return c, err
		}
		claimed, err := l.claim(c, r.Lease)
		if !contended(err) {
			return claimed, err
		}
	}
	return c, errors.New("claim in memcached: others claimed and released the message all the time")
}

// claim tries once. An error that is contended says that somebody came between.
func (l *Ledger) claim(c hapax.Claim, lease time.Duration) (hapax.Claim, error) {
	now := l.o.Clock()
	item := &memcache.Item{Key: claimrecord.Key(l.o.Prefix, c.Key), Expiration: l.expiration(lease + l.o.TokenMemory)}
	fresh := claimrecord.Record{State: claimrecord.Claimed, Digest: c.Digest,
		Token: uint64(now.UnixMicro()), Deadline: now.Add(lease).UnixMicro()}

	item.Value = fresh.Append(nil)
	err := l.client.Add(item)
	if errors.Is(err, memcache.ErrNotStored) {
		var old *memcache.Item
		var r claimrecord.Record
		if old, r, err = l.get(item.Key); err != nil {
			return c, err
		}
		if c, taken := verdict(c, r, now); taken {
			return c, nil
		}
		fresh.Token = max(fresh.Token, r.Token+1)
		old.Value, old.Expiration = fresh.Append(nil), item.Expiration
		err = l.client.CompareAndSwap(old)
	}
	if err != nil {
		return c, failure(err)
	}
	c.Verdict, c.Token, c.Deadline = hapax.Fresh, fresh.Token, time.UnixMicro(fresh.Deadline)
	return c, nil
}

// verdict answers a claim by what is known, if that is anything.
func verdict(c hapax.Claim, r claimrecord.Record, now time.Time) (_ hapax.Claim, taken bool) {
	live := r.State == claimrecord.Claimed && now.UnixMicro() < r.Deadline
	switch {
	case !live && r.State != claimrecord.Done:
		return c, false
	case c.Digest != 0 && r.Digest != 0 && c.Digest != r.Digest:
		c.Verdict = hapax.Conflict
	case live:
		c.Verdict, c.Deadline = hapax.InFlight, time.UnixMicro(r.Deadline)
	default:
		c.Verdict, c.Receipt = hapax.Duplicate, r.Receipt
	}
	return c, true
}

// Extend is two round trips.
func (l *Ledger) Extend(ctx context.Context, c hapax.Claim, d time.Duration) (hapax.Claim, error) {
	if err := checkLease(d); err != nil {
		return c, err
	}
	err := l.change(ctx, c, func(r *claimrecord.Record) (time.Duration, error) {
		if r.State != claimrecord.Claimed {
			return 0, hapax.ErrLeaseLost
		}
		now := l.o.Clock()
		r.Deadline = max(r.Deadline, now.Add(d).UnixMicro())
		c.Deadline = time.UnixMicro(r.Deadline)
		return c.Deadline.Sub(now) + l.o.TokenMemory, nil
	})
	return c, err
}

// Commit is two round trips. It may be repeated. If the key was evicted it returns
// [hapax.ErrLeaseLost], though nobody else may have claimed the message. The errors of a
// network are [hapax.ErrUnknown].
func (l *Ledger) Commit(ctx context.Context, c hapax.Claim, receipt hapax.Receipt) error {
	if len(receipt) > l.o.MaxReceipt {
		return fmt.Errorf("%w: %d bytes, at most %d", hapax.ErrReceiptSize, len(receipt), l.o.MaxReceipt)
	}
	sent := false
	err := l.change(ctx, c, func(r *claimrecord.Record) (time.Duration, error) {
		switch r.State {
		case claimrecord.Done:
			return 0, nil
		case claimrecord.Released:
			return 0, hapax.ErrLeaseLost
		}
		sent = true
		*r = claimrecord.Record{State: claimrecord.Done, Token: r.Token, Digest: r.Digest, Receipt: receipt}
		return l.o.Window, nil
	})
	if err != nil && sent && !errors.Is(err, hapax.ErrLeaseLost) {
		return fmt.Errorf("%w: %w", hapax.ErrUnknown, err)
	}
	return err
}

// Release is two round trips. The token is remembered, so that the next one is higher.
func (l *Ledger) Release(ctx context.Context, c hapax.Claim) error {
	return l.change(ctx, c, func(r *claimrecord.Record) (time.Duration, error) {
		if r.State != claimrecord.Claimed {
			return 0, hapax.ErrLeaseLost
		}
		*r = claimrecord.Record{State: claimrecord.Released, Token: r.Token}
		return l.o.TokenMemory, nil
	})
}

// change lets f change the record of a claim that is still c's, as rewrite does.
func (l *Ledger) change(ctx context.Context, c hapax.Claim, f func(*claimrecord.Record) (time.Duration, error)) error {
	return l.rewrite(ctx, c.Key, func(r *claimrecord.Record) (time.Duration, error) {
		if r.Token != c.Token {
			return 0, hapax.ErrLeaseLost
		}
		return f(r)
	})
}

// rewrite reads a record, lets f change it, and writes it if nobody wrote meanwhile; else
// it begins again. f says for how long the new record is kept; zero writes nothing. Without
// a record it is an [hapax.ErrLeaseLost].
func (l *Ledger) rewrite(ctx context.Context, key [32]byte, f func(*claimrecord.Record) (time.Duration, error)) error {
	for range maxContention {
		if err := l.refuse(ctx); err != nil {
			return err
		}
		item, r, err := l.get(claimrecord.Key(l.o.Prefix, key))
		if contended(err) {
			return hapax.ErrLeaseLost
		}
		if err != nil {
			return err
		}
		keep, err := f(&r)
		if err != nil || keep == 0 {
			return err
		}
		item.Value, item.Expiration = r.Append(nil), l.expiration(keep)
		if err := l.client.CompareAndSwap(item); !contended(err) {
			return failure(err)
		}
	}
	return errors.New("write to memcached: others wrote all the time")
}

func (l *Ledger) get(key string) (*memcache.Item, claimrecord.Record, error) {
	item, err := l.client.Get(key)
	if err != nil {
		return nil, claimrecord.Record{}, failure(err)
	}
	r, err := claimrecord.Parse(item.Value)
	return item, r, err
}

// contended reports whether an error says that the key came, changed or went meanwhile.
func contended(err error) bool {
	return errors.Is(err, memcache.ErrNotStored) || errors.Is(err, memcache.ErrCASConflict) || errors.Is(err, memcache.ErrCacheMiss)
}

// expiration is when Memcached may let go of a key, not earlier than d from now: its own
// clock goes by seconds.
func (l *Ledger) expiration(d time.Duration) int32 {
	seconds := int32((d+time.Second-1)/time.Second) + 1
	if d+2*time.Second > maxRelative {
		return int32(l.o.Clock().Unix()) + seconds
	}
	return seconds
}

// refuse tells why a call is not made at all.
func (l *Ledger) refuse(ctx context.Context) error {
	if l.closed.Load() {
		return hapax.ErrClosed
	}
	return ctx.Err()
}

func checkLease(d time.Duration) error {
	if d <= 0 || d > longest {
		return fmt.Errorf("lease %v: want one above zero, of %v at most", d, longest)
	}
	return nil
}

func failure(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("ask memcached: %w", err)
}
