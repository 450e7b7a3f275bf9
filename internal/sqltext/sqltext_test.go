package sqltext

import (
	"strings"
	"testing"
)

func TestCheckTable(t *testing.T) {
	for table, good := range map[string]bool{
		"hapax_inbox": true, "app.Inbox2": true, "_x": true,
		"": false, "a.b.c": false, "1a": false, "a b": false, "a;drop": false, `"a"`: false, "a.": false, ".a": false,
		"a-b": false, "é": false, strings.Repeat("a", 49): false, "a\n": false,
	} {
		if err := CheckTable(table); (err == nil) != good {
			t.Errorf("%q: error %v", table, err)
		}
	}
}

// TestSchema: each kind of each dialect is statements that speak of the table asked for
// alone, and of its index without the table's schema.
func TestSchema(t *testing.T) {
	for _, d := range []Dialect{Postgres, MySQL, MariaDB, SQLite} {
		for _, k := range []Kind{Inbox, Numbers, Partitions, Claims, Outbox} {
			statements, err := Schema(d, k, "app.hapax_inbox_of_mine")
			if k == Partitions && d != Postgres {
				if err == nil {
					t.Errorf("%v has partitions", d)
				}
				continue
			}
			if err != nil || len(statements) == 0 {
				t.Fatalf("%v %v: %d statements, error %v", d, k, len(statements), err)
			}
			for _, s := range statements {
				if strings.Contains(s, "--") || !strings.Contains(s, "app.hapax_inbox_of_mine") || strings.Contains(s, "app.hapax_inbox_of_mine_marked") || strings.Contains(s, "app.hapax_inbox_of_mine_ends") || strings.Contains(s, "app.hapax_inbox_of_mine_ids_marked") {
					t.Errorf("%v %v: %s", d, k, s)
				}
			}
		}
	}
	if _, err := Schema(0, Inbox, "t"); err == nil {
		t.Error("no dialect has a schema")
	}
}

func TestFaults(t *testing.T) {
	for state, want := range map[string]Fault{
		"40001": Again, "40P01": Again, "55P03": Locked, "23514": Unplaced, "23505": Refused, "42P01": Refused, "25P02": Refused,
		"40003": Unclear, "57P01": Unclear, "08006": Unclear, "58030": Unclear, "XX000": Unclear, "": Unclear,
	} {
		if got := PostgresFault(state); got != want {
			t.Errorf("SQLSTATE %q: %v, want %v", state, got, want)
		}
	}
	for number, want := range map[uint16]Fault{1213: Again, 1205: Locked, 1062: Refused, 1053: Unclear, 1927: Unclear} {
		if got := MySQLFault(number); got != want {
			t.Errorf("error %d: %v, want %v", number, got, want)
		}
	}
	for code, want := range map[int]Fault{5: Busy, 6: Busy, 5 | 1<<8: Busy, 5 | 2<<8: Again, 19: Refused, 0: Unclear, 10 | 3<<8: Unclear} {
		if got := SQLiteFault(code); got != want {
			t.Errorf("code %d: %v, want %v", code, got, want)
		}
	}
}

func FuzzPartitionStart(f *testing.F) {
	f.Add("app.inbox", "inbox_p1234")
	f.Fuzz(func(t *testing.T, table, name string) {
		if _, ok := PartitionStart(table, name); ok && !strings.HasPrefix(name, Bare(table)+"_p") {
			t.Errorf("%q is no partition of %q", name, table)
		}
	})
}
