package claiming

import (
	"context"
	"fmt"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/internal/marking"
	"github.com/hapaxmq/hapax/internal/sqltext"
)

// maxCommit bounds the receipts of one statement in bytes: a server refuses longer ones.
const maxCommit = 1 << 20

// Commit commits a claim.
func (l *Ledger) Commit(ctx context.Context, c hapax.Claim, receipt hapax.Receipt) error {
	return l.CommitBatch(ctx, []hapax.Claim{c}, []hapax.Receipt{receipt})[0]
}

// CommitBatch commits claims, each with its receipt; nil receipts is none for all.
func (l *Ledger) CommitBatch(ctx context.Context, claims []hapax.Claim, receipts []hapax.Receipt) []error {
	errs := make([]error, len(claims))
	var commits []sqltext.Commit
	var places []int // of the commits, in the caller's order
	size, named := 0, map[[32]byte]bool{}
	flush := func() {
		l.commit(ctx, commits, func(i int, err error) { errs[places[i]] = err })
		commits, places, size = nil, nil, 0
		clear(named)
	}
	for i := range claims {
		c := &claims[i]
		var receipt hapax.Receipt
		if receipts != nil {
			receipt = receipts[i]
		}
		if errs[i] = l.refuse(ctx); errs[i] == nil && len(receipt) > l.o.MaxReceipt {
			errs[i] = fmt.Errorf("%w: %d bytes, at most %d", hapax.ErrReceiptSize, len(receipt), l.o.MaxReceipt)
		}
		if errs[i] != nil {
			continue
		}
		if len(commits) == chunk || size > 0 && size+len(receipt) > maxCommit || named[c.Key] {
			flush()
		}
		named[c.Key] = true
		commits, places = append(commits, sqltext.Commit{ID: c.Key[:], Token: int64(c.Token), Receipt: receipt}), append(places, i)
		size += len(receipt)
	}
	if len(commits) > 0 {
		flush()
	}
	return errs
}

// commit commits claims by one statement. If that changes fewer rows, some are lost, or
// were committed before, of which the client did not hear.
func (l *Ledger) commit(ctx context.Context, commits []sqltext.Commit, tell func(i int, err error)) {
	statement, args := sqltext.CommitAll(l.db.Dialect, l.o.Table, micros(l.o.Window), commits)
	var had map[string]int64 // the tokens that committed, by id; nil: all of them
	err := l.insist(ctx, func() error {
		had = nil
		var done marking.Done
		err := l.write(ctx, func() (err error) {
			done, err = l.db.Any.Exec(ctx, statement, args...)
			return err
		})
		if err != nil || done.Rows == int64(len(commits)) {
			return err
		}
		had = make(map[string]int64)
		look, args := sqltext.LookAtCommits(l.db.Dialect, l.o.Table, commits)
		return l.db.Any.Query(ctx, func(scan func(...any) error) error {
			var id []byte
			var token int64
			err := scan(&id, &token)
			had[string(id)] = token
			return err
		}, look, args...)
	})
	if err != nil && l.db.Fault(err) == sqltext.Unclear {
		err = fmt.Errorf("%w: %w", hapax.ErrUnknown, err)
	}
	for i, c := range commits {
		switch token, ok := had[string(c.ID)]; {
		case err != nil:
			tell(i, failure(err))
		case had != nil && (!ok || token != c.Token):
			tell(i, hapax.ErrLeaseLost)
		default:
			tell(i, nil)
		}
	}
}
