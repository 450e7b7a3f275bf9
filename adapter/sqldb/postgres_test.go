package sqldb_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/adapter/sqldb"
)

// postgres makes a room in PostgreSQL, without tables.
func postgres(t *testing.T) (room, *sql.DB) {
	t.Helper()
	r := databases()[0].create(t)
	return r, r.open(t, "")
}

func marksByID(t *testing.T, r room, db *sql.DB, o sqldb.Options) *sqldb.Marks {
	t.Helper()
	o.Table = r.table("inbox")
	m, err := sqldb.ByID(db, r.dialect, o)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return m
}

// markOne marks a message in a transaction of its own.
func markOne(t *testing.T, m *sqldb.Marks, mark hapax.Mark) (hapax.Verdict, error) {
	t.Helper()
	marks := []hapax.Mark{mark}
	err := m.Transact(t.Context(), func(ctx context.Context, tx *sql.Tx) error { return m.Mark(ctx, tx, marks) })
	return marks[0].Verdict, err
}

func at(id string, when time.Time) hapax.Mark {
	return hapax.Mark{Scope: "test", Identity: hapax.Identity(id), Time: when}
}

// TestPartitions: a partition is dropped whole, its messages are Late from then on,
// and nothing else is forgotten, on either side of an edge (statements 37, 39).
func TestPartitions(t *testing.T) {
	r, db := postgres(t)
	m := marksByID(t, r, db, sqldb.Options{Span: time.Hour, Ahead: time.Hour})
	swept, err := m.Sweep(t.Context(), 5*time.Hour)
	if err != nil || swept.Made < 6 || swept.Dropped != 0 {
		t.Fatalf("first sweep: %+v, error %v", swept, err)
	}
	edge := time.Now().Truncate(time.Hour).Add(-time.Hour)
	cases := []struct {
		mark         hapax.Mark
		first, after hapax.Verdict
	}{
		{at("old", edge.Add(-time.Millisecond)), hapax.Fresh, hapax.Late},
		{at("young", edge), hapax.Fresh, hapax.Duplicate},
		{at("now", time.Now()), hapax.Fresh, hapax.Duplicate},
		{at("never", edge.Add(-1000*time.Hour)), hapax.Late, hapax.Late},
		{at(uuidAt(edge), time.Time{}), hapax.Fresh, hapax.Duplicate},
	}
	for _, c := range cases {
		second := c.first
		if c.first == hapax.Fresh {
			second = hapax.Duplicate
		}
		for _, want := range []hapax.Verdict{c.first, second} {
			if got, err := markOne(t, m, c.mark); got != want || err != nil {
				t.Errorf("%s: %v, error %v, want %v", c.mark.Identity, got, err, want)
			}
		}
	}
	var sweepers sync.WaitGroup
	for range 3 {
		sweepers.Go(func() {
			if _, err := m.Sweep(t.Context(), time.Since(edge)); err != nil {
				t.Error(err)
			}
		})
	}
	sweepers.Wait()
	for _, c := range cases {
		if got, err := markOne(t, m, c.mark); got != c.after || err != nil {
			t.Errorf("%s, after the sweep: %v, error %v, want %v", c.mark.Identity, got, err, c.after)
		}
	}
	if swept, err := m.Sweep(t.Context(), time.Since(edge)); err != nil || swept != (sqldb.Swept{}) {
		t.Errorf("a sweep with nothing to do: %+v, error %v", swept, err)
	}
	if _, err := markOne(t, m, at("far", time.Now().Add(100*time.Hour))); err == nil {
		t.Error("a message far ahead was marked where there is no partition")
	}
	if _, err := markOne(t, m, at("timeless", time.Time{})); !errors.Is(err, hapax.ErrMalformed) {
		t.Errorf("a message without a time: error %v, want ErrMalformed", err)
	}
}

func uuidAt(when time.Time) string {
	ms := when.UnixMilli()
	return fmt.Sprintf("%08x-%04x-7000-8000-000000000000", ms>>16, ms&0xffff)
}

// TestInterruptedSweep: what a sweep left behind that was killed between its steps is
// dropped by the next one.
func TestInterruptedSweep(t *testing.T) {
	r, db := postgres(t)
	m := marksByID(t, r, db, sqldb.Options{Span: time.Hour})
	if _, err := m.Sweep(t.Context(), 3*time.Hour); err != nil {
		t.Fatal(err)
	}
	old := time.Now().Truncate(time.Hour).Add(-2 * time.Hour)
	partition := fmt.Sprintf("%s_p%d", r.table("inbox"), old.Unix())
	execute(t, db, "ALTER TABLE "+r.table("inbox")+" DETACH PARTITION "+partition+" CONCURRENTLY")
	if _, err := m.Sweep(t.Context(), time.Minute); err != nil {
		t.Fatal(err)
	}
	var there bool
	if err := db.QueryRow("SELECT to_regclass($1) IS NOT NULL", partition).Scan(&there); err != nil || there {
		t.Errorf("the partition is there: %t, error %v", there, err)
	}
}

// TestLockTimeoutIsRestored: what comes behind marks waits as long as the user says.
func TestLockTimeoutIsRestored(t *testing.T) {
	t.Parallel()
	for _, d := range databases() {
		if d.name == "pq" || d.dialect == sqldb.SQLite { // as pgx, and waits for nobody
			continue
		}
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			d.restoresLockTimeout(t)
		})
	}
}

func (d database) restoresLockTimeout(t *testing.T) {
	set, show, want := "SET SESSION innodb_lock_wait_timeout = 77", "SELECT @@SESSION.innodb_lock_wait_timeout", "77"
	if d.dialect == sqldb.Postgres {
		set, show, want = "SET LOCAL lock_timeout = '77s'", "SHOW lock_timeout", "77s"
	}
	r := d.create(t)
	db := r.open(t, "")
	m := marksByID(t, r, db, sqldb.Options{})
	positions, err := sqldb.ByPosition(db, r.dialect, sqldb.Options{Table: r.table("numbers")})
	if err != nil {
		t.Fatal(err)
	}
	if err := positions.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	own, err := sqldb.ByOwn(db, r.dialect, func(_ context.Context, _ *sql.Tx, m *hapax.Mark) (bool, error) {
		return true, map[string]error{"0": hapax.ErrInFlight}[string(m.Identity)]
	}, sqldb.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, marks := range []*sqldb.Marks{m, positions, own} {
		for range 2 { // fresh, then duplicates
			for _, n := range []int{1, 3} {
				batch := make([]hapax.Mark, n)
				for i := range batch {
					batch[i] = hapax.Mark{Scope: "t", Identity: hapax.Identity(fmt.Sprint(n*i + i)), Position: hapax.Position{Source: fmt.Sprint(n), Offset: int64(i)}}
				}
				tx, err := db.Begin()
				if err != nil {
					t.Fatal(err)
				}
				execute(t, tx, set)
				if err := marks.Mark(t.Context(), tx, batch); err != nil && (marks != own || !errors.Is(err, hapax.ErrInFlight)) {
					t.Fatal(err)
				}
				var timeout string
				if err := tx.QueryRow(show).Scan(&timeout); err != nil || timeout != want {
					t.Errorf("limit %q behind %d marks, %v first (error: %v)", timeout, n, batch[0].Verdict, err)
				}
				if err := tx.Commit(); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
}

// TestDMLOnly: who may only read and write rows can migrate where the table is there,
// mark, and sweep.
func TestDMLOnly(t *testing.T) {
	r, db := postgres(t)
	marksByID(t, r, db, sqldb.Options{})
	role := r.name + "_role"
	execute(t, db, "CREATE ROLE "+role)
	execute(t, db, "GRANT SELECT, INSERT, UPDATE, DELETE ON "+r.table("inbox")+" TO "+role)
	t.Cleanup(func() {
		_, _ = db.Exec("RESET ROLE")
		execute(t, db, "DROP OWNED BY "+role)
		execute(t, db, "DROP ROLE "+role)
	})
	db.SetMaxOpenConns(1)
	execute(t, db, "SET ROLE "+role)
	m := marksByID(t, r, db, sqldb.Options{})
	if v, err := markOne(t, m, mark("a", 0)); v != hapax.Fresh || err != nil {
		t.Errorf("%v, error %v", v, err)
	}
	if _, err := m.Sweep(t.Context(), time.Hour); err != nil {
		t.Error(err)
	}
}

// TestMigrateAtOnce: several processes make the tables at their start.
func TestMigrateAtOnce(t *testing.T) {
	for _, d := range databases() {
		t.Run(d.name, func(t *testing.T) {
			r := d.create(t)
			db := r.open(t, "")
			var all sync.WaitGroup
			for range 8 {
				all.Go(func() {
					m, err := sqldb.ByID(db, d.dialect, sqldb.Options{Table: r.table("inbox")})
					if err != nil {
						t.Error(err)
						return
					}
					if err := m.Migrate(t.Context()); err != nil {
						t.Error(err)
					}
				})
			}
			all.Wait()
		})
	}
}

// TestSwallowedError: a transaction that the database has given up is not taken for a
// committed one.
func TestSwallowedError(t *testing.T) {
	for _, d := range databases()[:2] {
		r := d.create(t)
		db := r.open(t, "")
		m := marksByID(t, r, db, sqldb.Options{})
		err := m.Transact(t.Context(), func(ctx context.Context, tx *sql.Tx) error {
			if err := m.Mark(ctx, tx, []hapax.Mark{mark("a", 0)}); err != nil {
				return err
			}
			_, _ = tx.ExecContext(ctx, "SELECT 1/0")
			return nil
		})
		if err == nil {
			t.Errorf("%s: no error", d.name)
		}
		if v, err := markOne(t, m, mark("a", 0)); v != hapax.Fresh || err != nil {
			t.Errorf("%s: %v, error %v", d.name, v, err)
		}
	}
}

func mark(id string, digest hapax.Digest) hapax.Mark {
	return hapax.Mark{Scope: "test", Identity: hapax.Identity(id), Digest: digest}
}
