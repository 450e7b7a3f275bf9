package pgxdb_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/hapaxmq/hapax/internal/sqltext"
	"github.com/hapaxmq/hapax/outbox"
	"github.com/hapaxmq/hapax/outbox/relay"
)

// TestDeadRows: a relay's steps do not read what was published before, though the plan of its
// statement was made when the table was empty, and nothing has been vacuumed since.
func TestDeadRows(t *testing.T) {
	t.Parallel()
	schema := create(t)
	pool, _ := single(t) // whose statistics are told at once
	out := migrated(t, pool, schema+".outbox")
	source, last := out.Records(), map[int]relay.Batch{}
	shards, err := source.Shards(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	round := func() {
		t.Helper()
		records := make([]outbox.Record, 20)
		for i := range records {
			records[i] = outbox.Record{Topic: "t", OrderKey: fmt.Sprint(i), Payload: make([]byte, 1000)}
		}
		err := pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error { return out.Put(t.Context(), tx, records...) })
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range shards {
			h := relay.Hold{Relay: 1, Shard: s.Number, Lease: time.Hour}
			if last[s.Number].Number == 0 {
				if had, err := source.Take(t.Context(), h); err != nil || !had {
					t.Fatal(had, err)
				}
			}
			b, err := source.Next(t.Context(), h, last[s.Number], relay.Size{Records: 100, Bytes: 1 << 20})
			if err != nil || len(b.Records) == 0 {
				t.Fatal(len(b.Records), err)
			}
			last[s.Number] = b
		}
	}
	for range 250 {
		round()
	}
	before := blocks(t, pool, schema)
	const rounds = 20
	for range rounds {
		round()
	}
	if n := (blocks(t, pool, schema) - before) / (rounds * len(shards)); n > 150 {
		t.Errorf("a step reads %d blocks", n)
	}
}

// TestPlans: what relays ask all the time walks along indexes, and is not compiled first.
func TestPlans(t *testing.T) {
	t.Parallel()
	pool, table := connect(t, ""), create(t)+".outbox"
	migrated(t, pool, table)
	for name, s := range map[string]sqltext.Statement{
		"step":    sqltext.Step(table, 1, 0, 1, 1, true, []int64{1, 2}, 100, 1000),
		"last":    sqltext.LastShard(table),
		"waiting": sqltext.WaitingShards(sqltext.Postgres, table, 1),
	} {
		b := &pgx.Batch{}
		b.Queue(sqltext.RelaySettings)
		b.Queue("EXPLAIN "+s.Text, s.Args...).Query(func(rows pgx.Rows) error {
			plan, err := pgx.CollectRows(rows, pgx.RowTo[string])
			text := strings.Join(plan, "\n")
			for _, no := range []string{"Seq Scan on outbox ", "Bitmap", "JIT"} { // the few rows of relays are read as they stand
				if strings.Contains(text, no) {
					t.Errorf("%s: %s in %s", name, no, text)
				}
			}
			if !strings.Contains(text, " on outbox ") {
				t.Errorf("%s: %s", name, text)
			}
			return err
		})
		if err := pool.SendBatch(t.Context(), b).Close(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// blocks tells how many blocks of an outbox its connection has read, in memory or not.
func blocks(t *testing.T, db *pgxpool.Pool, schema string) (n int) {
	t.Helper()
	if err := db.QueryRow(t.Context(), "SELECT pg_stat_force_next_flush()::text").Scan(new(string)); err != nil {
		t.Fatal(err)
	}
	err := db.QueryRow(t.Context(), "SELECT heap_blks_read + heap_blks_hit FROM pg_statio_user_tables WHERE schemaname = $1 AND relname = 'outbox'", schema).Scan(&n)
	if err != nil {
		t.Fatal(err)
	}
	return n
}
