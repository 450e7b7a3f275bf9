package redisdb

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
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
	b := batch{script: l.scripts.claim, each: 4}
	for i, r := range requests {
		claims[i] = named(r)
		if errs[i] = l.refuse(ctx); errs[i] == nil {
			errs[i] = checkLease(r.Lease)
		}
		if errs[i] == nil {
			b.add(i, claimrecord.Key(l.o.Prefix, claims[i].Key),
				micros(r.Lease), millis(r.Lease)+millis(l.o.TokenMemory), eight(uint64(r.Digest)), nonce())
		}
	}
	l.run(ctx, &b, func(i int, answer any, err error) {
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
	b := batch{script: l.scripts.commit, first: []any{millis(l.o.Window)}, each: 3}
	for i, c := range claims {
		var receipt hapax.Receipt
		if receipts != nil {
			receipt = receipts[i]
		}
		if errs[i] = l.refuse(ctx); errs[i] == nil && len(receipt) > l.o.MaxReceipt {
			errs[i] = fmt.Errorf("%w: %d bytes, at most %d", hapax.ErrReceiptSize, len(receipt), l.o.MaxReceipt)
		}
		if errs[i] == nil {
			letter := "d"
			if receipt != nil {
				letter = "D"
			}
			b.add(i, claimrecord.Key(l.o.Prefix, c.Key), token(c), letter, []byte(receipt))
		}
	}
	l.run(ctx, &b, func(i int, answer any, err error) {
		if err != nil {
			// Of the attempts that the client made, one may have passed.
			errs[i] = fmt.Errorf("%w: %w", hapax.ErrUnknown, failure(err))
		} else if answer != int64(1) {
			errs[i] = hapax.ErrLeaseLost
		}
	})
	return errs
}

// named is the claim that a request asks for, without a verdict.
func named(r hapax.Request) hapax.Claim {
	c := hapax.Claim{Key: identity.SharedKey(r.Scope, r.Identity), Digest: r.Digest}
	c.Fingerprint = hapax.Fingerprint(c.Key[:len(c.Fingerprint)])
	return c
}

func (l *Ledger) keys(c hapax.Claim) []string {
	return []string{claimrecord.Key(l.o.Prefix, c.Key)}
}

// nonce tells one call from another.
func nonce() string { return eight(rand.Uint64()) }

// verdict reads an answer of claim.lua.
func verdict(c hapax.Claim, answer string) (hapax.Claim, error) {
	if answer == "x" {
		c.Verdict = hapax.Conflict
		return c, nil
	}
	if len(answer) < 2 {
		return c, fmt.Errorf("%w: the key of the message is not one of this ledger", hapax.ErrCorrupt)
	}
	r, err := claimrecord.Parse([]byte(answer[1:]))
	if err != nil {
		return c, err
	}
	switch answer[0] {
	case 'f':
		c.Verdict, c.Token, c.Deadline = hapax.Fresh, r.Token, time.UnixMicro(r.Deadline)
	case 'i':
		c.Verdict, c.Deadline = hapax.InFlight, time.UnixMicro(r.Deadline)
	default:
		c.Verdict, c.Receipt = hapax.Duplicate, r.Receipt
	}
	return c, nil
}

// held is a claim with the deadline of its record.
func held(c hapax.Claim, record string) (hapax.Claim, error) {
	r, err := claimrecord.Parse([]byte(record))
	if err != nil {
		return c, err
	}
	c.Deadline = time.UnixMicro(r.Deadline)
	return c, nil
}

// chunk is how many keys one script is given at most: others wait while it runs.
const chunk = 100

// batch is one script's arguments for many messages.
type batch struct {
	script *redis.Script
	first  []any // arguments before those of the messages
	each   int   // arguments of one message
	places []int // of the messages in the caller's order
	keys   []string
	args   []any
}

func (b *batch) add(place int, key string, args ...any) {
	b.places, b.keys, b.args = append(b.places, place), append(b.keys, key), append(b.args, args...)
}

// part is the batch's messages from, to.
func (b *batch) part(from, to int) ([]string, []any) {
	args := append(append(make([]any, 0, len(b.first)+(to-from)*b.each), b.first...), b.args[from*b.each:to*b.each]...)
	return b.keys[from:to], args
}

// run sends a batch and gives every message its answer or its error. A script has many
// keys on a single server. In a Redis Cluster it has one, as keys have slots of their
// own, and there they go in one pipeline.
func (l *Ledger) run(ctx context.Context, b *batch, answered func(place int, answer any, err error)) {
	size := 1
	if _, single := l.client.(*redis.Client); single {
		size = chunk
	}
	tell := func(from int, cmd *redis.Cmd) {
		answers, err := cmd.Slice()
		for i := from; i < min(from+size, len(b.keys)); i++ {
			if err == nil && i-from >= len(answers) {
				err = errors.New("a script answered for fewer messages than it was asked")
			}
			if err != nil {
				answered(b.places[i], nil, err)
				continue
			}
			answered(b.places[i], answers[i-from], nil)
		}
	}
	if len(b.keys) <= size {
		if len(b.keys) > 0 {
			keys, args := b.part(0, len(b.keys))
			tell(0, b.script.Run(ctx, l.client, keys, args...))
		}
		return
	}
	pipe := l.client.Pipeline()
	for from := 0; from < len(b.keys); from += size {
		keys, args := b.part(from, min(from+size, len(b.keys)))
		b.script.EvalSha(ctx, pipe, keys, args...)
	}
	cmds, _ := pipe.Exec(ctx) // each command has its own error
	for n, cmd := range cmds {
		answer := cmd.(*redis.Cmd)
		if redis.HasErrorPrefix(answer.Err(), "NOSCRIPT") { // on a server that was restarted, or came later
			keys, args := b.part(n*size, min(n*size+size, len(b.keys)))
			answer = b.script.Run(ctx, l.client, keys, args...)
		}
		tell(n*size, answer)
	}
}
