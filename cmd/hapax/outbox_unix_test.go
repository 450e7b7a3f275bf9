//go:build unix

package main

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/hapaxmq/hapax/adapter/sqldb"
	"github.com/hapaxmq/hapax/internal/servertest"
	"github.com/hapaxmq/hapax/outbox"
)

// outgoing is an outbox of a test's own, and the flags that name it.
type outgoing struct {
	*testing.T
	db    *sql.DB
	out   *sqldb.Outbox
	flags []string
}

// outboxes are in each of the databases.
func outboxes() map[string]func(t *testing.T) *outgoing {
	return map[string]func(t *testing.T) *outgoing{
		"postgres": func(t *testing.T) *outgoing {
			url := servertest.Postgres(t)
			return newOutgoing(t, "pgx", url, sqldb.Postgres, url)
		},
		"mariadb": func(t *testing.T) *outgoing {
			source := servertest.MariaDB(t)
			url := regexp.MustCompile(`^(.*@)tcp\((.*)\)`).ReplaceAllString(source, "mysql://$1$2")
			return newOutgoing(t, "mysql", source, sqldb.MariaDB, url)
		},
		"sqlite": func(t *testing.T) *outgoing {
			file := filepath.Join(t.TempDir(), "a shop.db")
			return newOutgoing(t, "sqlite", "file:"+file+"?_pragma=journal_mode(wal)&_pragma=busy_timeout(10000)&_txlock=immediate", sqldb.SQLite, "sqlite:"+file)
		},
	}
}

func newOutgoing(t *testing.T, driver, source string, d sqldb.Dialect, url string) *outgoing {
	t.Helper()
	db, err := sql.Open(driver, source)
	if err != nil {
		t.Fatal(err)
	}
	table := fmt.Sprintf("t%08x", rand.Uint32())
	o := &outgoing{T: t, db: db, flags: []string{"--database", url, "--table", table}}
	if o.out, err = sqldb.NewOutbox(db, d, sqldb.OutboxOptions{Table: table}); err == nil {
		err = o.out.Migrate(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, more := range []string{"", "_ids", "_relays"} {
			if _, err := db.Exec("DROP TABLE IF EXISTS " + table + more); err != nil {
				t.Error(err)
			}
		}
		_ = db.Close()
	})
	return o
}

func (o *outgoing) put(records ...outbox.Record) {
	o.Helper()
	tx, err := o.db.BeginTx(o.Context(), nil)
	if err == nil {
		err = o.out.Put(o.Context(), tx, records...)
	}
	if err == nil {
		err = tx.Commit()
	}
	if err != nil {
		o.Fatal(err)
	}
}

// relay is a process of hapax outbox relay.
func (o *outgoing) relay(s *served, said *bytes.Buffer) *exec.Cmd {
	o.Helper()
	flags := append([]string{"outbox", "relay", "--kafka", s.address, "--lease", "1s", "--batch", "7"}, o.flags...)
	c := exec.Command("hapax", flags...)
	c.Env = append(os.Environ(), "GORACE="+noLinger)
	c.Stderr = said
	if err := c.Start(); err != nil {
		o.Fatal(err)
	}
	return c
}

// command runs a command on the outbox in this process.
func (o *outgoing) command(words ...string) (code int, out string) {
	o.Helper()
	var stdout, stderr bytes.Buffer
	code = run(o.Context(), append(append([]string{"outbox"}, words...), o.flags...), strings.NewReader(""), &stdout, &stderr)
	if stderr.Len() > 0 {
		o.Logf("hapax outbox %q: %s", words, stderr.String())
	}
	return code, stdout.String()
}

// until runs hapax outbox list until it tells what is wanted.
func (o *outgoing) until(want func(outboxView) bool) (view outboxView) {
	o.Helper()
	for began := time.Now(); ; <-time.After(20 * time.Millisecond) {
		code, out := o.command("list", "--json")
		if err := json.Unmarshal([]byte(out), &view); err != nil || code != exitOK {
			o.Fatalf("exit code %d, %v: %s", code, err, out)
		}
		if want(view) {
			return view
		}
		if time.Since(began) > 3*time.Minute {
			o.Fatalf("the outbox has %s", out)
		}
	}
}

func (o *outgoing) topic(s *served, configs map[string]*string) string {
	o.Helper()
	name := strings.NewReplacer("/", "-").Replace(o.Name())
	if _, err := kadm.NewClient(s.client()).CreateTopic(o.Context(), 3, 1, configs, name); err != nil {
		o.Fatal(err)
	}
	return name
}

// TestOutboxRelayKilled: hapax outbox relay is killed again and again, and each record is
// read once, by who reads what is committed, and each key's in order.
func TestOutboxRelayKilled(t *testing.T) {
	t.Parallel()
	s := serve(t)
	for name, open := range outboxes() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := open(t)
			topic := o.topic(s, nil)
			const kills, each, keys = 4, 40, 5
			next := 0
			for kill := range kills + 1 {
				var said bytes.Buffer
				r := o.relay(s, &said)
				for range each {
					var records []outbox.Record
					for key := range keys {
						records = append(records, outbox.Record{Topic: topic, OrderKey: fmt.Sprint(key), Payload: fmt.Append(nil, next)})
					}
					o.put(records...)
					next++
				}
				o.until(func(v outboxView) bool { return v.Pending < each*keys/2 })
				end := syscall.SIGKILL
				if kill == kills {
					o.until(func(v outboxView) bool { return v.Pending == 0 })
					end = syscall.SIGTERM
				}
				if err := r.Process.Signal(end); err != nil {
					t.Fatal(err)
				}
				if err := r.Wait(); kill == kills && err != nil {
					t.Errorf("the last relay ended with %v\n%s", err, said.String())
				}
			}
			o.audit(s, topic, keys, next)
			if code, out := o.command("list"); code != exitOK || out != "Nothing is pending.\n" {
				t.Errorf("exit code %d: %s", code, out)
			}
		})
	}
}

// audit reads a topic up to where it ends now.
func (o *outgoing) audit(s *served, topic string, keys, each int) {
	o.Helper()
	ctx, cancel := context.WithTimeout(o.Context(), 3*time.Minute)
	defer cancel()
	ends, err := kadm.NewClient(s.client()).ListEndOffsets(ctx, topic)
	if err != nil {
		o.Fatal(err)
	}
	behind := map[int32]int64{} // what is to be read
	ends.Each(func(l kadm.ListedOffset) {
		if l.Offset > 0 {
			behind[l.Partition] = l.Offset
		}
	})
	next := map[string]int{}
	c := s.client(kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords(), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	for len(behind) > 0 {
		fetches := c.PollFetches(ctx)
		if ctx.Err() != nil {
			o.Fatalf("%v is still to be read", behind)
		}
		for r := range fetches.RecordsAll() {
			if r.Offset+1 >= behind[r.Partition] {
				delete(behind, r.Partition)
			}
			if r.Attrs.IsControl() {
				continue
			}
			if want := fmt.Sprint(next[string(r.Key)]); string(r.Value) != want {
				o.Errorf("key %s: %s came, want %s", r.Key, r.Value, want)
			}
			next[string(r.Key)]++
		}
	}
	for key := range keys {
		if n := next[fmt.Sprint(key)]; n != each {
			o.Errorf("key %d: %d records of %d came", key, n, each)
		}
	}
}

// TestOutboxAside: what the broker refuses is listed, published after all, and discarded.
func TestOutboxAside(t *testing.T) {
	t.Parallel()
	s := serve(t)
	for name, open := range outboxes() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := open(t)
			topic := o.topic(s, map[string]*string{"max.message.bytes": kadm.StringPtr("500")})
			large := bytes.Repeat([]byte("0123456789abcdef"), 1000)
			rand.Shuffle(len(large), func(i, j int) { large[i], large[j] = large[j], large[i] })
			o.put(outbox.Record{Topic: topic, ID: "first", OrderKey: "k", Payload: large}, outbox.Record{Topic: topic, ID: "second", OrderKey: "\xff", Payload: large},
				outbox.Record{Topic: topic, ID: "third", OrderKey: "k"})
			if code, out := o.command("list"); code != exitOK || !strings.HasPrefix(out, "3 records are pending, the oldest for ") || !strings.HasSuffix(out, "; 0 of them set aside.\n") {
				t.Errorf("exit code %d: %s", code, out)
			}
			var said bytes.Buffer
			r := o.relay(s, &said)
			defer func() {
				_ = r.Process.Signal(syscall.SIGTERM)
				if err := r.Wait(); err != nil {
					t.Errorf("the relay ended with %v\n%s", err, said.String())
				}
			}()
			view := o.until(func(v outboxView) bool { return v.Faulty == 2 })
			first, second := view.Aside[0], view.Aside[1]
			if first.ID == "second" {
				first, second = second, first
			}
			if view.Pending != 3 || first.OrderKey != "k" || second.Binary != "ff" || !strings.Contains(first.Fault, "MESSAGE_TOO_LARGE") {
				t.Errorf("listed %+v", view)
			}
			_, out := o.command("list", "--most", "1")
			if want := regexp.MustCompile(`(?s)^3 records are pending, .*; 2 of them set aside\.\n\nPOSITION +TOPIC +ID +ORDER KEY +WHY\n\d+ .*MESSAGE_TOO_LARGE.*\nand 1 more: see --most\n$`); !want.MatchString(out) {
				t.Errorf("listed %s", out)
			}
			if code, out := o.command("discard", fmt.Sprint(first.Position), "0"); code != exitAbsent ||
				!strings.Contains(out, fmt.Sprintf(" %d: discarded: topic %s, id first, order key \"k\", ", first.Position, topic)) || !strings.HasSuffix(out, " 0: not set aside\n") {
				t.Errorf("exit code %d: %s", code, out)
			}
			_, err := kadm.NewClient(s.client()).AlterTopicConfigs(t.Context(), []kadm.AlterConfig{{Name: "max.message.bytes", Value: kadm.StringPtr("100000")}}, topic)
			if err != nil {
				t.Fatal(err)
			}
			if code, out := o.command("retry", "--all", "--json"); code != exitOK || !strings.Contains(out, `"done":"tried again","position":`) {
				t.Errorf("exit code %d: %s", code, out)
			}
			o.until(func(v outboxView) bool { return v.Pending == 0 })
		})
	}
}
