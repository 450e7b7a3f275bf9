package claiming

import (
	"bytes"
	"context"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/identity"
	"github.com/hapaxmq/hapax/internal/sqltext"
)

// chunk bounds the messages of one statement.
const chunk = 200

// question is a request on its way.
type question struct {
	claim *hapax.Claim
	err   *error
	asks  sqltext.Claim
	first *question // of several copies in one call, if it is not the first itself
	known row       // what the table has of it, once that is known
}

// row is what a table has of a message.
type row struct {
	id      []byte
	state   int64 // 0: nothing is known
	token   int64
	nonce   int64
	digest  int64
	ends    int64
	receipt []byte
}

// Claim claims a message.
func (l *Ledger) Claim(ctx context.Context, r hapax.Request) (hapax.Claim, error) {
	claims, errs := l.ClaimBatch(ctx, []hapax.Request{r})
	return claims[0], errs[0]
}

// ClaimBatch claims messages. Of two copies the second meets the first one's claim.
func (l *Ledger) ClaimBatch(ctx context.Context, requests []hapax.Request) ([]hapax.Claim, []error) {
	claims, errs := make([]hapax.Claim, len(requests)), make([]error, len(requests))
	all := make([]question, 0, len(requests))
	for i, r := range requests {
		claims[i] = named(r)
		c := &claims[i]
		if errs[i] = l.refuse(ctx); errs[i] == nil {
			errs[i] = checkLease(r.Lease)
		}
		if errs[i] == nil {
			asks := sqltext.Claim{ID: c.Key[:], Digest: int64(r.Digest), Nonce: rand.Int64(), Lease: micros(r.Lease)}
			all = append(all, question{claim: c, err: &errs[i], asks: asks})
		}
	}
	for part := range slices.Chunk(firsts(all), chunk) {
		if err := l.settle(ctx, part); err != nil {
			for _, q := range part {
				*q.err = failure(err)
			}
		}
	}
	for i := range all {
		if q := &all[i]; q.first != nil {
			if *q.err = *q.first.err; *q.err == nil {
				q.answer(q.first.known)
			}
		}
	}
	return claims, errs
}

// named is the claim that a request asks for, without a verdict.
func named(r hapax.Request) hapax.Claim {
	c := hapax.Claim{Key: identity.SharedKey(r.Scope, r.Identity), Digest: r.Digest}
	c.Fingerprint = hapax.Fingerprint(c.Key[:len(c.Fingerprint)])
	return c
}

// firsts are the questions but for copies, in the order of their ids, in which all
// statements take their locks.
func firsts(all []question) []*question {
	slices.SortStableFunc(all, func(a, b question) int { return bytes.Compare(a.asks.ID, b.asks.ID) })
	firsts := make([]*question, 0, len(all))
	for i := range all {
		q := &all[i]
		if n := len(firsts); n > 0 && bytes.Equal(firsts[n-1].asks.ID, q.asks.ID) {
			q.first = firsts[n-1]
		} else {
			firsts = append(firsts, q)
		}
	}
	return firsts
}

// settle gives different questions their answers.
func (l *Ledger) settle(ctx context.Context, part []*question) error {
	left := part
	return l.insist(ctx, func() error {
		if err := l.ask(ctx, left); err != nil {
			return err
		}
		if left = open(left); len(left) > 0 {
			return errAgain
		}
		return nil
	})
}

// open are the questions without an answer.
func open(all []*question) (left []*question) {
	for _, q := range all {
		if q.known.state == 0 {
			left = append(left, q)
		}
	}
	return left
}

// ask makes the statements of one try.
func (l *Ledger) ask(ctx context.Context, left []*question) error {
	switch l.db.Dialect {
	case sqltext.SQLite: // a look needs no lock, and copies are many
		if err := l.look(ctx, left); err != nil {
			return err
		}
		if left = open(left); len(left) == 0 {
			return nil
		}
	case sqltext.MySQL: // which returns no rows
		if err := l.claim(ctx, left); err != nil {
			return err
		}
		if left = open(left); len(left) == 0 {
			return nil
		}
		return l.look(ctx, left)
	}
	statement, args := sqltext.ClaimAll(l.db.Dialect, l.o.Table, asked(left))
	return l.write(ctx, func() error { return l.query(ctx, left, statement, args) })
}

// claim makes the claims of MySQL. Of a single one it knows whether it was had.
func (l *Ledger) claim(ctx context.Context, left []*question) error {
	if len(left) > 1 {
		statement, args := sqltext.ClaimAll(l.db.Dialect, l.o.Table, asked(left))
		_, err := l.db.Any.Exec(ctx, statement, args...)
		return err
	}
	q := left[0]
	done, err := l.db.Any.Exec(ctx, sqltext.ClaimOne(l.o.Table, q.asks))
	if err == nil && done.Last > 0 {
		q.answer(row{state: sqltext.Claimed, token: done.Last, nonce: q.asks.Nonce, digest: q.asks.Digest, ends: done.Last + q.asks.Lease})
	}
	return err
}

func (l *Ledger) look(ctx context.Context, left []*question) error {
	statement, args := sqltext.LookAtClaims(l.db.Dialect, l.o.Table, asked(left))
	return l.query(ctx, left, statement, args)
}

func asked(left []*question) []sqltext.Claim {
	asks := make([]sqltext.Claim, len(left))
	for i, q := range left {
		asks[i] = q.asks
	}
	return asks
}

// query answers questions by the rows of a statement.
func (l *Ledger) query(ctx context.Context, left []*question, statement string, args []any) error {
	return l.db.Any.Query(ctx, func(scan func(...any) error) error {
		var r row
		var kept bool // a receipt, be it empty
		if err := scan(&r.id, &r.state, &r.token, &r.nonce, &r.digest, &r.ends, &r.receipt, &kept); err != nil {
			return err
		}
		if kept && r.receipt == nil {
			r.receipt = []byte{}
		}
		at, ok := slices.BinarySearchFunc(left, r.id, func(q *question, id []byte) int { return bytes.Compare(q.asks.ID, id) })
		if ok {
			left[at].answer(r)
		}
		return nil
	}, statement, args...)
}

// answer gives the verdict that a row means: it is the question's own claim, or it holds.
func (q *question) answer(r row) {
	q.known = r
	c := q.claim
	switch {
	case r.state == sqltext.Claimed && r.nonce == q.asks.Nonce:
		c.Verdict, c.Token, c.Deadline = hapax.Fresh, uint64(r.token), time.UnixMicro(r.ends)
	case q.asks.Digest != 0 && r.digest != 0 && q.asks.Digest != r.digest:
		c.Verdict = hapax.Conflict
	case r.state == sqltext.Committed:
		c.Verdict, c.Receipt = hapax.Duplicate, r.receipt
	default:
		c.Verdict, c.Deadline = hapax.InFlight, time.UnixMicro(r.ends)
	}
}
