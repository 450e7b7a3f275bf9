package sqldb_test

import (
	"context"
	"database/sql"
	"errors"
	"math"
	"slices"
	"testing"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/adapter/sqldb"
)

// TestSequences: a higher epoch begins anew and fences the lower ones; numbers do not
// go back (statement 6); several producers and epochs are marked at once.
func TestSequences(t *testing.T) {
	for _, d := range databases() {
		t.Run(d.name, func(t *testing.T) {
			r := d.create(t)
			db := r.open(t, "")
			m, err := sqldb.BySequence(db, d.dialect, sqldb.Options{Table: r.table("numbers")})
			if err != nil {
				t.Fatal(err)
			}
			if err := m.Migrate(t.Context()); err != nil {
				t.Fatal(err)
			}
			for i, c := range []struct {
				marks []hapax.Sequence
				want  []hapax.Verdict
			}{
				{list(seq("a", 1, 0)), verdicts(hapax.Fresh)},
				{list(seq("a", 1, 0)), verdicts(hapax.Duplicate)},
				{list(seq("a", 1, 5), seq("b", 1, 5), seq("a", 1, 4)), verdicts(hapax.Fresh, hapax.Fresh, hapax.Fresh)},
				{list(seq("a", 1, 6), seq("b", 1, 5), seq("a", 1, 5), seq("a", 1, 6)), verdicts(hapax.Fresh, hapax.Duplicate, hapax.Duplicate, hapax.Duplicate)},
				{list(seq("a", 2, 0)), verdicts(hapax.Fresh)},
				{list(seq("a", 1, 7)), verdicts(hapax.Stale)},
				{list(seq("a", 1, 7), seq("a", 2, 1), seq("b", 1, 6)), verdicts(hapax.Stale, hapax.Fresh, hapax.Fresh)},
				{list(seq("c", 4, 9), seq("c", 3, 9), seq("c", 4, 8)), verdicts(hapax.Fresh, hapax.Fresh, hapax.Fresh)},
				{list(seq("c", math.MaxUint32, math.MaxInt64-1)), verdicts(hapax.Fresh)},
				{list(seq("c", math.MaxUint32, math.MaxInt64-1)), verdicts(hapax.Duplicate)},
			} {
				marks := make([]hapax.Mark, len(c.marks))
				for i, s := range c.marks {
					marks[i] = hapax.Mark{Scope: "t", Sequence: s}
				}
				err := m.Transact(t.Context(), func(ctx context.Context, tx *sql.Tx) error { return m.Mark(ctx, tx, marks) })
				if err != nil {
					t.Fatal(err)
				}
				var got []hapax.Verdict
				for _, m := range marks {
					got = append(got, m.Verdict)
				}
				if !slices.Equal(got, c.want) {
					t.Errorf("%d: %v, want %v", i, got, c.want)
				}
			}
			var rows int
			if err := db.QueryRow("SELECT count(*) FROM " + r.table("numbers")).Scan(&rows); err != nil || rows != 3 {
				t.Errorf("%d rows, %v; want one of each producer", rows, err)
			}
			for s, want := range map[*hapax.Sequence]error{
				{Producer: hapax.Identity("a"), Number: math.MaxUint64}: hapax.ErrMalformed,
				{Number: 1}: hapax.ErrMissing,
			} {
				err := m.Transact(t.Context(), func(ctx context.Context, tx *sql.Tx) error {
					return m.Mark(ctx, tx, []hapax.Mark{{Sequence: *s}})
				})
				if !errors.Is(err, want) {
					t.Errorf("%+v: error %v, want %v", *s, err, want)
				}
			}
		})
	}
}

func seq(producer string, epoch uint32, number uint64) hapax.Sequence {
	return hapax.Sequence{Producer: hapax.Identity(producer), Epoch: epoch, Number: number}
}

func list(s ...hapax.Sequence) []hapax.Sequence   { return s }
func verdicts(v ...hapax.Verdict) []hapax.Verdict { return v }
