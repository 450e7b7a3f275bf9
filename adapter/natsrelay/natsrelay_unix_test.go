//go:build unix

package natsrelay_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	client "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/adapter/natsrelay"
	"github.com/hapaxmq/hapax/internal/relaytest"
	"github.com/hapaxmq/hapax/internal/servertest"
	"github.com/hapaxmq/hapax/outbox"
	"github.com/hapaxmq/hapax/outbox/relay"
)

// options are those of all these tests: the audit wants the keys.
var options = natsrelay.Options{KeyHeader: "key"}

func TestMain(m *testing.M) {
	os.Exit(relaytest.Main(m, func(server string, m *relaytest.Mortal) (relay.Destination, error) {
		return natsrelay.New(server, options, client.SetCustomDialer(m))
	}))
}

// stream is one of a test's own, whose subjects begin with its name.
type stream struct {
	*testing.T

	url, name string
	js        jetstream.JetStream
}

// declare makes a stream.
func declare(t *testing.T, url string, c jetstream.StreamConfig) *stream {
	t.Helper()
	s := &stream{T: t, url: url, name: fmt.Sprintf("%s-%d", t.Name(), os.Getpid())}
	conn, err := client.Connect(url, client.MaxReconnects(-1), client.ReconnectWait(20*time.Millisecond))
	s.must(err)
	t.Cleanup(conn.Close)
	s.js, err = jetstream.New(conn, jetstream.WithDefaultTimeout(relaytest.Patience))
	s.must(err)
	c.Name, c.Subjects = s.name, []string{s.name, s.name + ".>"}
	_, err = s.js.CreateStream(t.Context(), c)
	s.must(err)
	t.Cleanup(func() { s.must(s.js.DeleteStream(context.Background(), s.name)) })
	return s
}

func (s *stream) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

func (s *stream) to(url string, o natsrelay.Options, opts ...client.Option) relay.Destination {
	s.Helper()
	d, err := natsrelay.New(url, o, opts...)
	s.must(err)
	return d
}

// messages reads all that the stream has.
func (s *stream) messages() (all []*jetstream.RawStreamMsg) {
	s.Helper()
	from, err := s.js.Stream(s.Context(), s.name)
	s.must(err)
	last := from.CachedInfo().State.LastSeq
	for n := uint64(1); n <= last; n++ {
		m, err := from.GetMsg(s.Context(), n)
		s.must(err)
		all = append(all, m)
	}
	return all
}

// audit reads what the stream has, once the outbox is empty.
func (s *stream) audit(keys, each int) {
	s.Helper()
	a := &relaytest.Audit{T: s.T, Keys: keys, Each: each}
	for _, m := range s.messages() {
		a.Take(m.Header.Get("key"), m.Header.Get(jetstream.MsgIDHeader), string(m.Data))
	}
	a.Missing()
}

// TestS42Record: a record is published as it was put, its id as the message's.
func TestS42Record(t *testing.T) {
	t.Parallel()
	s := declare(t, servertest.NATS(t), jetstream.StreamConfig{})
	b := relaytest.NewBox(t, relaytest.SQLite(t))
	headers := []hapax.Header{{Name: "h", Value: []byte("v")}, {Name: "h", Value: []byte("w")}, {Name: "nil"}, {Name: jetstream.MsgIDHeader, Value: []byte("another")}}
	b.Put(t, outbox.Record{Topic: s.name + ".trades", ID: "trade 7", OrderKey: "k", Payload: []byte("p"), Headers: headers}, outbox.Record{Topic: s.name})
	stop := b.Run(t, s.to(s.url, options), relay.Options{})
	b.Drained(t)
	stop()
	all := s.messages()
	slices.SortFunc(all, func(a, b *jetstream.RawStreamMsg) int { return strings.Compare(b.Subject, a.Subject) })
	if len(all) != 2 {
		t.Fatalf("%d messages came", len(all))
	}
	want := client.Header{"h": {"v", "w"}, "nil": {""}, "key": {"k"}, jetstream.MsgIDHeader: {"trade 7"}}
	if m := all[0]; m.Subject != s.name+".trades" || string(m.Data) != "p" || !maps.EqualFunc(m.Header, want, slices.Equal) {
		t.Errorf("got %q by %s with %q, want %q", m.Data, m.Subject, m.Header, want)
	}
	if m := all[1]; m.Subject != s.name || len(m.Data) != 0 || len(m.Header) != 1 || m.Header.Get(jetstream.MsgIDHeader) == "" {
		t.Errorf("got %q by %s with %q, want no more than an id", m.Data, m.Subject, m.Header)
	}
}

// TestS44Killed: a relay is killed at each step. Inside the window of duplicates each record
// is in the stream once, and each key in order.
func TestS44Killed(t *testing.T) {
	t.Parallel()
	s := declare(t, servertest.NATS(t), jetstream.StreamConfig{Duplicates: time.Hour})
	b := relaytest.NewBox(t, relaytest.SQLite(t))
	const keys, rounds = 8, 6
	for i, step := range relaytest.Steps() {
		b.PutRounds(t, s.name, keys, i*rounds, rounds)
		b.Die(t, step, s.url)
	}
	stop := b.Run(t, s.to(s.url, options), relay.Options{})
	b.Drained(t)
	stop()
	s.audit(keys, len(relaytest.Steps())*rounds)
}

// TestS44TwoRelays: while writers put and the server is killed, two relays share the shards, one
// of which ends in the middle.
func TestS44TwoRelays(t *testing.T) {
	t.Parallel()
	server := servertest.StartNATS(t)
	s := declare(t, "nats://"+server.Addr, jetstream.StreamConfig{Duplicates: time.Hour})
	b := relaytest.NewBox(t, relaytest.Places()["postgres"](t))
	const keys, each = 6, 60
	stop := b.TwoRelays(t, s.name, keys, each, func() relay.Destination { return s.to(s.url, options) }, func() {
		server.Kill()
		server.Start()
	})
	server.Kill()
	server.Start()
	b.Drained(t)
	stop()
	s.audit(keys, each)
}

// TestUnsealed: nothing is sent before the database has the batch for good.
func TestUnsealed(t *testing.T) {
	t.Parallel()
	s := declare(t, servertest.NATS(t), jetstream.StreamConfig{})
	relaytest.NewBox(t, relaytest.SQLite(t)).Unsealed(t, s.name, s.to(s.url, options))
	if all := s.messages(); len(all) > 0 {
		t.Errorf("%d messages came", len(all))
	}
}

// TestS43LateCommit: a record whose transaction commits behind others that are published
// already is published too.
func TestS43LateCommit(t *testing.T) {
	t.Parallel()
	s := declare(t, servertest.NATS(t), jetstream.StreamConfig{})
	b := relaytest.NewBox(t, relaytest.Places()["postgres"](t))
	commit := b.PutLate(t, s.name)
	stop := b.Run(t, s.to(s.url, options), relay.Options{})
	defer stop()
	b.Drained(t)
	commit()
	b.Drained(t)
	if all := s.messages(); len(all) != 2 || string(all[0].Data) != "early" || string(all[1].Data) != "late" {
		t.Errorf("%d messages came, want early and late", len(all))
	}
}

// TestS45Unanswered: records whose acknowledgements are lost are not marked, and published again
// under their ids, of which the stream knows all.
func TestS45Unanswered(t *testing.T) {
	t.Parallel()
	s := declare(t, servertest.NATS(t), jetstream.StreamConfig{})
	b := relaytest.NewBox(t, relaytest.SQLite(t))
	w := relaytest.NewWire(t, strings.TrimPrefix(s.url, "nats://"))
	o := options
	o.Timeout = 200 * time.Millisecond
	const keys, rounds = 4, 5
	b.PutRounds(t, s.name, keys, 0, rounds)
	stop := b.Run(t, s.to("nats://"+w.Address, o), relay.Options{MaxPause: 100 * time.Millisecond})
	b.Drained(t)
	lost := w.Lose()
	b.PutRounds(t, s.name, keys, rounds, rounds)
	select {
	case <-lost:
	case <-time.After(relaytest.Patience):
		t.Fatal("nothing was answered")
	}
	// Of each key the first is stored by and by, and the next is never sent.
	for began := time.Now(); len(s.messages()) < keys*(rounds+1); <-time.After(5 * time.Millisecond) {
		if time.Since(began) > relaytest.Patience {
			t.Fatalf("%d messages came", len(s.messages()))
		}
	}
	if p, err := b.Pending(t.Context()); err != nil || p.Records != keys*rounds || p.Faulty != 0 {
		t.Errorf("%+v is pending, %v: want %d records, for none was acknowledged", p, err, keys*rounds)
	}
	if n := len(s.messages()); n != keys*(rounds+1) {
		t.Errorf("%d messages came, want %d", n, keys*(rounds+1))
	}
	w.Mend()
	b.Drained(t)
	stop()
	s.audit(keys, 2*rounds)
}

// TestS44Refused: records that NATS refuses hold up those of their keys, and nothing else.
func TestS44Refused(t *testing.T) {
	t.Parallel()
	s := declare(t, servertest.NATS(t), jetstream.StreamConfig{MaxMsgSize: 2000})
	b := relaytest.NewBox(t, relaytest.SQLite(t))
	refused := map[string]string{} // why, by order key
	for _, r := range []struct{ key, topic, payload, header, fault string }{
		{"a", s.name, "a0", "v", ""},
		{"a", s.name, strings.Repeat("large", 1000), "v", "message size exceeds maximum allowed"},
		{"a", s.name, "a2", "v", ""},
		{"b", s.name, strings.Repeat("huge", 1<<19), "v", "maximum payload exceeded: the server takes "},
		{"c", "nobody." + s.name, "c0", "v", "no stream takes the subject nobody."},
		{"c", s.name, "c1", "v", ""},
		{"d", s.name + ".>", "d0", "v", "is no subject that can be published to"},
		{"e", "$JS.API.STREAM.PURGE." + s.name, "e0", "v", "one of the server's own"},
		{"f", s.name, "f0", "a\nb", "none that NATS could carry"},
		{"", s.name, "no", "v", ""},
		{"g", s.name, "g0", "v", ""},
	} {
		b.Put(t, outbox.Record{Topic: r.topic, OrderKey: r.key, Payload: []byte(r.payload), Headers: []hapax.Header{{Name: "h", Value: []byte(r.header)}}})
		if r.fault != "" {
			refused[r.key] = r.fault
		}
	}
	stop := b.Run(t, s.to(s.url, options), relay.Options{MaxPause: 100 * time.Millisecond})
	b.Until(t, func(p relay.Pending) bool { return p.Faulty == 6 && p.Records == 8 })
	stop()
	faulty, err := b.Faulty(t.Context(), 0, 10)
	s.must(err)
	for _, f := range faulty {
		if want := refused[f.OrderKey]; want == "" || !strings.Contains(f.Fault, want) {
			t.Errorf("key %q: %s, want %q", f.OrderKey, f.Fault, want)
		}
	}
	var got []string
	for _, m := range s.messages() {
		got = append(got, string(m.Data))
	}
	if slices.Sort(got); !slices.Equal(got, []string{"a0", "g0", "no"}) {
		t.Errorf("%q came, want those that are right, once each", got)
	}
}

// TestForbidden: a subject where the user may not publish is a fault of its records.
func TestForbidden(t *testing.T) {
	t.Parallel()
	server := servertest.StartNATS(t, `authorization {users: [
		{user: all, password: all}
		{user: some, password: some, permissions: {publish: {deny: ["*.secret"]}}}
	]}`)
	s := declare(t, "nats://all:all@"+server.Addr, jetstream.StreamConfig{})
	b := relaytest.NewBox(t, relaytest.SQLite(t))
	b.Put(t, outbox.Record{Topic: s.name + ".secret"}, outbox.Record{Topic: s.name + ".open"})
	stop := b.Run(t, s.to("nats://"+server.Addr, options, client.UserInfo("some", "some")), relay.Options{})
	b.Until(t, func(p relay.Pending) bool { return p.Faulty == 1 && p.Records == 1 })
	stop()
}

// TestFull: a stream that takes nothing for now makes records wait, in their order.
func TestFull(t *testing.T) {
	t.Parallel()
	s := declare(t, servertest.NATS(t), jetstream.StreamConfig{MaxMsgs: 3, Discard: jetstream.DiscardNew})
	b := relaytest.NewBox(t, relaytest.SQLite(t))
	b.PutRounds(t, s.name, 1, 0, 5)
	stop := b.Run(t, s.to(s.url, options), relay.Options{MaxPause: 100 * time.Millisecond})
	defer stop()
	from, err := s.js.Stream(t.Context(), s.name)
	s.must(err)
	for began := time.Now(); len(s.messages()) < 3; <-time.After(5 * time.Millisecond) {
		if time.Since(began) > relaytest.Patience {
			t.Fatal("the stream was not filled")
		}
	}
	if p, err := b.Pending(t.Context()); err != nil || p.Records != 5 || p.Faulty != 0 {
		t.Errorf("%+v is pending, %v: want 5 records", p, err)
	}
	c := from.CachedInfo().Config
	c.MaxMsgs = 10
	_, err = s.js.UpdateStream(t.Context(), c)
	s.must(err)
	b.Drained(t)
	s.audit(1, 5)
}

// TestUnreachable: a server that is not there is an error of the line.
func TestUnreachable(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
	d, err := natsrelay.New("nats://"+l.Addr().String(), natsrelay.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := d.Open(t.Context(), relay.Shard{}); !errors.Is(err, client.ErrNoServers) {
		t.Errorf("opened with %v", err)
	}
	if _, err := natsrelay.New("", natsrelay.Options{}); err == nil {
		t.Error("a destination without a URL")
	}
}
