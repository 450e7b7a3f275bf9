package redisdb

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/identity"
	"github.com/hapaxmq/hapax/internal/claimrecord"
)

// ClaimBatch claims several messages in one round trip, or one to each node of a Redis
// Cluster. Claims and errors are in the order of the requests, and each stands for
// itself: one that fails takes no other along. Of two copies in one batch the second is
// InFlight.
func (l *Ledger) ClaimBatch(ctx context.Context, requests []hapax.Request) ([]hapax.Claim, []error) {
	claims, errs := make([]hapax.Claim, len(requests)), make([]error, len(requests))
	b := l.batch(l.scripts.claim)
	for i, r := range requests {
		claims[i] = named(r)
		if errs[i] = l.refuse(ctx); errs[i] == nil {
			errs[i] = checkLease(r.Lease)
		}
		if errs[i] == nil {
			b.add(i, l.key(claims[i]), digestAndNonce(r.Digest), micros(r.Lease), millis(r.Lease)+millis(l.o.TokenMemory))
		}
	}
	b.run(ctx, l.client, func(i int, answer any, err error) {
		if err != nil {
			errs[i] = failure(err)
			return
		}
		text, _ := answer.(string)
		claims[i], errs[i] = verdict(claims[i], text)
	})
	return claims, errs
}

// CommitBatch commits several claims in one round trip, or one to each node of a Redis
// Cluster, each with its receipt; nil receipts is none for all. The errors are those of
// [Ledger.Commit], in the order of the claims.
func (l *Ledger) CommitBatch(ctx context.Context, claims []hapax.Claim, receipts []hapax.Receipt) []error {
	errs := make([]error, len(claims))
	b := l.batch(l.scripts.commit)
	for i, c := range claims {
		var receipt hapax.Receipt
		if receipts != nil {
			receipt = receipts[i]
		}
		if errs[i] = l.refuse(ctx); errs[i] == nil && len(receipt) > l.o.MaxReceipt {
			errs[i] = fmt.Errorf("%w: %d bytes, at most %d", hapax.ErrReceiptSize, len(receipt), l.o.MaxReceipt)
		}
		if errs[i] == nil {
			done := claimrecord.Record{State: claimrecord.Done, Token: c.Token, Digest: c.Digest, Receipt: receipt}
			b.add(i, l.key(c), done.Append(nil), millis(l.o.Window))
		}
	}
	b.run(ctx, l.client, func(i int, answer any, err error) {
		if err != nil {
			// Of the attempts that the client made, one may have passed.
			errs[i] = fmt.Errorf("%w: %w", hapax.ErrUnknown, failure(err))
		} else if answer != int64(1) {
			errs[i] = hapax.ErrLeaseLost
		}
	})
	return errs
}

// answer is what a claim is answered.
type answer struct {
	claim hapax.Claim
	err   error
}

// ending is a claim that is to be committed.
type ending struct {
	claim   hapax.Claim
	receipt hapax.Receipt
}

func (l *Ledger) claimTogether(ctx context.Context, requests []hapax.Request) []answer {
	claims, errs := l.ClaimBatch(ctx, requests)
	answers := make([]answer, len(requests))
	for i := range answers {
		answers[i] = answer{claims[i], errs[i]}
	}
	return answers
}

func (l *Ledger) commitTogether(ctx context.Context, endings []ending) []error {
	claims, receipts := make([]hapax.Claim, len(endings)), make([]hapax.Receipt, len(endings))
	for i, e := range endings {
		claims[i], receipts[i] = e.claim, e.receipt
	}
	return l.CommitBatch(ctx, claims, receipts)
}

func leftClaim(_ bool, why error) answer { return answer{err: failure(why)} }

func leftCommit(sent bool, why error) error {
	if sent {
		return fmt.Errorf("%w: %w", hapax.ErrUnknown, failure(why))
	}
	return why
}

// named is the claim that a request asks for, without a verdict.
func named(r hapax.Request) hapax.Claim {
	c := hapax.Claim{Key: identity.SharedKey(r.Scope, r.Identity), Digest: r.Digest}
	c.Fingerprint = hapax.Fingerprint(c.Key[:len(c.Fingerprint)])
	return c
}

func (l *Ledger) key(c hapax.Claim) string { return claimrecord.Key(l.o.Prefix, c.Key) }

// digestAndNonce is what a claim brings along: the digest, and a nonce that tells one call from
// another.
func digestAndNonce(d hapax.Digest) []byte {
	b := binary.BigEndian.AppendUint64(make([]byte, 0, 16), uint64(d))
	return binary.BigEndian.AppendUint64(b, rand.Uint64())
}

// verdict reads an answer of claim.lua.
func verdict(c hapax.Claim, answer string) (hapax.Claim, error) {
	var letter byte
	if answer != "" {
		letter = answer[0]
	}
	switch letter {
	case 'x':
		c.Verdict = hapax.Conflict
		return c, nil
	case 'o':
		return c, fmt.Errorf("%w: the server's maxmemory is used up", hapax.ErrFull)
	case '?':
		return c, fmt.Errorf("%w: what is at the message's key is no record", hapax.ErrCorrupt)
	case 'i':
		answer = answer[1:]
	}
	r, err := claimrecord.Parse([]byte(answer))
	switch {
	case err != nil:
		return c, err
	case letter == 'i':
		c.Verdict, c.Deadline = hapax.InFlight, time.UnixMicro(r.Deadline)
	case r.State == claimrecord.Done:
		c.Verdict, c.Receipt = hapax.Duplicate, r.Receipt
	default:
		c.Verdict, c.Token, c.Deadline = hapax.Fresh, r.Token, time.UnixMicro(r.Deadline)
	}
	return c, nil
}

// chunk is how many messages one script is given at most: others wait while it runs.
const chunk = 100

// batch is one step for many messages, as few calls of its script.
type batch struct {
	script *redis.Script
	size   int // messages of one call
	calls  []call
}

// call is one call of a script: first what is the same for all of its messages, then one
// argument for each.
type call struct {
	same   []int64
	places []int // of the messages, in the caller's order
	keys   []string
	args   []any
}

// batch begins one. A call has many keys on a single server; in a Redis Cluster it has
// one, as keys have slots of their own.
func (l *Ledger) batch(script *redis.Script) *batch {
	if l.single {
		return &batch{script: script, size: chunk}
	}
	return &batch{script: script, size: 1}
}

func (b *batch) add(place int, key string, arg []byte, same ...int64) {
	last := len(b.calls) - 1
	if last < 0 || len(b.calls[last].keys) == b.size || !slices.Equal(b.calls[last].same, same) {
		c := call{same: same}
		for _, n := range same {
			c.args = append(c.args, n)
		}
		b.calls = append(b.calls, c)
		last++
	}
	c := &b.calls[last]
	c.places, c.keys, c.args = append(c.places, place), append(c.keys, key), append(c.args, arg)
}

// run makes the calls, several in one pipeline, and gives every message its answer or
// its error.
func (b *batch) run(ctx context.Context, client redis.UniversalClient, answered func(place int, answer any, err error)) {
	if len(b.calls) == 1 {
		c := b.calls[0]
		c.tell(b.script.Run(ctx, client, c.keys, c.args...), answered)
	}
	if len(b.calls) < 2 {
		return
	}
	pipe := client.Pipeline()
	for _, c := range b.calls {
		b.script.EvalSha(ctx, pipe, c.keys, c.args...)
	}
	cmds, _ := pipe.Exec(ctx) // each command has its own error
	for n, c := range b.calls {
		cmd := cmds[n].(*redis.Cmd)
		if redis.HasErrorPrefix(cmd.Err(), "NOSCRIPT") { // on a server that was restarted, or came later
			cmd = b.script.Run(ctx, client, c.keys, c.args...)
		}
		c.tell(cmd, answered)
	}
}

// tell gives each message of a call its own.
func (c call) tell(cmd *redis.Cmd, answered func(place int, answer any, err error)) {
	answers, err := cmd.Slice()
	if err == nil && len(answers) != len(c.places) {
		err = fmt.Errorf("a script answered for %d messages, asked for %d", len(answers), len(c.places))
	}
	for i, place := range c.places {
		if err != nil {
			answered(place, nil, err)
			continue
		}
		answered(place, answers[i], nil)
	}
}
