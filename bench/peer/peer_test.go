package peer

import (
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/hapaxmq/hapax/bench/stream"
)

const messages = 20_000

// takeAll gives take the stream by portions and compares what was new.
func takeAll(t *testing.T, s stream.Stream, portion int, take func([]stream.ID) (int, error)) {
	t.Helper()
	ids := make([]stream.ID, portion)
	for first := int64(0); first < messages; first += int64(portion) {
		s.Fill(ids, first)
		got, err := take(ids)
		if err != nil {
			t.Fatal(err)
		}
		if want := s.Fresh(first+int64(portion)) - s.Fresh(first); int64(got) != want {
			t.Fatalf("messages from %d: %d new, want %d", first, got, want)
		}
	}
}

// each takes ids one by one.
func each(take func(*stream.ID) (bool, error)) func([]stream.ID) (int, error) {
	return func(ids []stream.ID) (fresh int, err error) {
		for i := range ids {
			isNew, err := take(&ids[i])
			if err != nil {
				return fresh, err
			}
			if isNew {
				fresh++
			}
		}
		return fresh, nil
	}
}

func TestInMemory(t *testing.T) {
	for _, s := range []stream.Stream{stream.Tenth(), {Seed: 4, Every: 2}} {
		for name, take := range map[string]func(*Bare, []stream.ID) (int, error){
			"one by one": (*Bare).Take, "batches": (*Bare).TakeBatches,
		} {
			bare, err := NewBare(messages)
			if err != nil {
				t.Fatal(err)
			}
			t.Run("bare "+name, func(t *testing.T) {
				takeAll(t, s, 1000, func(ids []stream.ID) (int, error) { return take(bare, ids) })
			})
			if err := bare.Close(); err != nil {
				t.Error(err)
			}
		}
		t.Run("map", func(t *testing.T) { takeAll(t, s, 1000, NewMap(messages).Take) })
	}
}

func TestRedis(t *testing.T) {
	if _, err := exec.LookPath("redis-server"); err != nil {
		t.Skip(err)
	}
	r, err := OpenRedis(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	takeAll(t, stream.Tenth(), 1000, r.Take)
}

func TestDurableBatches(t *testing.T) {
	t.Run("pebble", func(t *testing.T) {
		p, err := OpenPebble(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		takeAll(t, stream.Stream{Seed: 4, Every: 2}, 1000, p.TakeBatch)
	})
	t.Run("rocksdb", func(t *testing.T) {
		r, err := OpenRocksDB(t.Context(), t.TempDir())
		if err != nil {
			t.Skip(err)
		}
		defer r.Close()
		takeAll(t, stream.Stream{Seed: 4, Every: 2}, 1000, func(ids []stream.ID) (int, error) {
			fresh, spent, err := r.TakeBatch(ids)
			if spent <= 0 || spent > time.Minute {
				t.Errorf("spent %v", spent)
			}
			return fresh, err
		})
	})
}

func TestDurableOneByOne(t *testing.T) {
	dir := t.TempDir()
	short := stream.Stream{Seed: 9, Every: 2}
	check := func(take func(*stream.ID) (bool, error)) {
		t.Helper()
		ids := make([]stream.ID, 100)
		short.Fill(ids, 0)
		fresh, err := each(take)(ids)
		if err != nil {
			t.Fatal(err)
		}
		if fresh != 50 {
			t.Errorf("%d new, want 50", fresh)
		}
	}
	s, err := OpenSQLite(filepath.Join(dir, "sqlite"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	check(s.TakeOne)
	for _, callers := range []int{1, 8} {
		b, err := OpenBolt(filepath.Join(dir, "bolt"+string(rune('0'+callers))), callers)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { b.Close() })
		check(b.TakeOne)
	}
	p, err := OpenPebble(filepath.Join(dir, "pebble"))
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	check(p.TakeOne)
}
