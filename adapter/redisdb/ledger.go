package redisdb

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/internal/claimrecord"
)

// Ledger keeps claims in Redis. All methods may be called from several goroutines at
// once.
//
// A call whose answer is lost may be sent again by the client: each is made so that the
// second one finds what the first one did, and answers as it would have.
type Ledger struct {
	client   redis.UniversalClient
	o        Options
	promises Promises
	scripts  scripts
	closed   atomic.Bool

	single  bool // one server, and not a Redis Cluster: calls can go together
	claims  gather[hapax.Request, answer]
	commits gather[ending, error]
}

var _ hapax.BatchLedger = (*Ledger)(nil)

// Open asks the servers behind a client what they can keep, and refuses them if that is
// less than o asks for. The client stays the caller's: Close does not close it.
func Open(ctx context.Context, client redis.UniversalClient, o Options) (*Ledger, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("open redis ledger: %w", err)
	}
	l := &Ledger{client: client, o: o, scripts: newScripts()}
	_, l.single = client.(*redis.Client)
	l.claims.call, l.claims.left = l.claimTogether, leftClaim
	l.commits.call, l.commits.left = l.commitTogether, leftCommit
	if l.promises, err = Examine(ctx, client); err != nil {
		return nil, fmt.Errorf("open redis ledger: %w", err)
	}
	if err := l.promises.accept(o); err != nil {
		return nil, fmt.Errorf("open redis ledger: %w", err)
	}
	for _, s := range l.scripts.all() {
		if err := s.Load(ctx, client).Err(); err != nil {
			return nil, fmt.Errorf("open redis ledger: load a script (is it Redis 7 or newer?): %w", err)
		}
	}
	return l, nil
}

// Promises tells what the servers said when the ledger was opened.
func (l *Ledger) Promises() Promises { return l.promises }

// Close makes all calls that come later return [hapax.ErrClosed]. Those in flight end as
// they would.
func (l *Ledger) Close() error {
	l.closed.Store(true)
	return nil
}

// Claim is one round trip, which on a single server it shares with calls that come at the
// same moment. An error of the network leaves it open whether the message
// is reserved: if so, copies are InFlight until the lease ends. [hapax.ErrFull]: the
// server has no memory for another message; those it knows are still answered.
func (l *Ledger) Claim(ctx context.Context, r hapax.Request) (hapax.Claim, error) {
	if err := l.refuse(ctx); err != nil {
		return hapax.Claim{}, err
	}
	if !l.single {
		claims, errs := l.ClaimBatch(ctx, []hapax.Request{r})
		return claims[0], errs[0]
	}
	a := l.claims.ask(ctx, r)
	return a.claim, a.err
}

// Commit is one round trip, shared as that of Claim. It returns once the server has answered, which is as durable
// as [Promises] says. It may be repeated. The errors of a network are
// [hapax.ErrUnknown].
func (l *Ledger) Commit(ctx context.Context, c hapax.Claim, receipt hapax.Receipt) error {
	if err := l.refuse(ctx); err != nil {
		return err
	}
	if !l.single {
		return l.CommitBatch(ctx, []hapax.Claim{c}, []hapax.Receipt{receipt})[0]
	}
	return l.commits.ask(ctx, ending{c, receipt})
}

// Extend is one round trip.
func (l *Ledger) Extend(ctx context.Context, c hapax.Claim, d time.Duration) (hapax.Claim, error) {
	if err := l.refuse(ctx); err != nil {
		return c, err
	}
	if err := checkLease(d); err != nil {
		return c, err
	}
	answer, err := l.scripts.extend.Run(ctx, l.client, []string{l.key(c)}, eight(c.Token), micros(d), millis(l.o.TokenMemory)).Text()
	if errors.Is(err, redis.Nil) {
		return c, hapax.ErrLeaseLost
	}
	if err != nil {
		return c, failure(err)
	}
	r, err := claimrecord.Parse([]byte(answer))
	if err != nil {
		return c, err
	}
	c.Deadline = time.UnixMicro(r.Deadline)
	return c, nil
}

// Release is one round trip. The token is remembered, so that the next one is higher.
func (l *Ledger) Release(ctx context.Context, c hapax.Claim) error {
	if err := l.refuse(ctx); err != nil {
		return err
	}
	released, err := l.scripts.release.Run(ctx, l.client, []string{l.key(c)}, eight(c.Token), eight(rand.Uint64()), millis(l.o.TokenMemory)).Bool()
	switch {
	case err != nil:
		return failure(err)
	case !released:
		return hapax.ErrLeaseLost
	}
	return nil
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

// failure is the error of a call that Redis did not answer, or not as asked.
func failure(err error) error { return fmt.Errorf("ask redis: %w", err) }

// isReply reports whether an error is what a server answered.
func isReply(err error) bool {
	var reply redis.Error
	return errors.As(err, &reply)
}

// millis and micros round up, so that nothing ends early.
func millis(d time.Duration) int64 { return int64((d + time.Millisecond - 1) / time.Millisecond) }
func micros(d time.Duration) int64 { return int64((d + time.Microsecond - 1) / time.Microsecond) }

// eight is a number as scripts compare it.
func eight(n uint64) string {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], n)
	return string(b[:])
}
