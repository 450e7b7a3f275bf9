package unique

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/broker/batch"
	"github.com/hapaxmq/hapax/broker/code"
	"github.com/hapaxmq/hapax/identity"
	"github.com/hapaxmq/hapax/ledger"
)

// secret stands for that of a ledger.
func secret() identity.Hasher { return identity.NewHasher([16]byte{1, 2, 3}).Scoped("") }

// rules are those of a window of a second with some settings more.
func rules(tb testing.TB, pairs ...string) *Rules {
	tb.Helper()
	return parse(tb, append(pairs, "window.ms", "1000")...)
}

// build makes the batch of a producer.
func build(tb testing.TB, c batch.Codec, records ...batch.Record) []byte {
	tb.Helper()
	for i := range records {
		records[i].OffsetDelta = int32(i)
	}
	h := batch.Header{LeaderEpoch: batch.None, Attributes: batch.Attributes(c), BaseTimestamp: 1000, ProducerID: 7, ProducerEpoch: 1, BaseSequence: 40}
	b, err := new(batch.Encoder).Append(nil, h, records)
	if err != nil {
		tb.Fatal(err)
	}
	if _, err := batch.Validate(b); err != nil && len(records) > 0 {
		tb.Fatal(err)
	}
	return b
}

func headers(pairs ...string) batch.Headers {
	var list []batch.RecordHeader
	for i := 0; i < len(pairs); i += 2 {
		list = append(list, batch.RecordHeader{Key: []byte(pairs[i]), Value: []byte(pairs[i+1])})
	}
	return batch.MakeHeaders(list...)
}

func codecs() []batch.Codec {
	return []batch.Codec{batch.Plain, batch.Gzip, batch.Snappy, batch.LZ4, batch.Zstd}
}

// message is the whole of a record, made the slow way.
func message(r batch.Record) *hapax.Message {
	m := &hapax.Message{Key: r.Key, Value: r.Value}
	for h := range r.Headers.All() {
		m.Headers = append(m.Headers, hapax.Header{Name: string(h.Key), Value: h.Value})
	}
	return m
}

// naive is what a reader must find, by way of whole messages.
func naive(tb testing.TB, rs *Rules, partition int32, records []batch.Record) (entries []ledger.Entry, missing []int32) {
	tb.Helper()
	for _, r := range records {
		hasher, m := secret(), message(r)
		var err error
		switch {
		case rs.Scope.partition:
			hasher = hasher.Scoped(hapax.Scope([]byte{byte(partition >> 24), byte(partition >> 16), byte(partition >> 8), byte(partition)}))
		case rs.Scope.by != nil:
			var scope []byte
			scope, err = rs.Scope.by.Append(nil, m)
			hasher = hasher.Scoped(hapax.Scope(scope))
		}
		var id []byte
		if err == nil {
			id, err = rs.Identity.Append(nil, m)
		}
		if err != nil {
			missing = append(missing, r.OffsetDelta)
			continue
		}
		e := ledger.Entry{Fingerprint: hasher.Fingerprint(id), Offset: int64(r.OffsetDelta)}
		if rs.Digests() {
			e.Digest = secret().Bytes().Digest(r.Value)
		}
		entries = append(entries, e)
	}
	return entries, missing
}

// TestReader: for any rules and any batch a reader finds what whole messages give.
func TestReader(t *testing.T) {
	var r Reader
	identities := []string{
		"header:id", "key", "value", "json:id", "json:id,at", "cloudevents", "header:id+key", "header:id|json:id|key",
		"cloudevents|header:CE_ID", "cloudevents+header:id", "json:id+value", "content:-at", "json:id|value",
	}
	scopes := []string{"topic", "partition", "header:tenant", "json:user.id", "header:ce_source"}
	word := rapid.SampledFrom([]string{"", "a", "b", "1", "null", `{"id":1}`, `{"id":"1","at":2}`, `{"at":2,"id":1.0}`,
		`{"id":7,"source":"x","user":{"id":3}}`, `{"id":"e","source":"x"}`, `{"id":null}`, `{"id":`, `{"id":1,"id":2}`})
	maybe := rapid.Custom(func(t *rapid.T) []byte {
		if rapid.Bool().Draw(t, "null") {
			return nil
		}
		return []byte(word.Draw(t, "word"))
	})
	name := rapid.SampledFrom([]string{"id", "tenant", "ce_id", "CE_ID", "ce-id", "ce_source", "cloudEvents:id", "cloudEvents_source", "x", strings.Repeat("n", 70)})
	rapid.Check(t, func(rt *rapid.T) {
		rs := rules(t, "identity", rapid.SampledFrom(identities).Draw(rt, "identity"), "scope", rapid.SampledFrom(scopes).Draw(rt, "scope"))
		var records []batch.Record
		for range rapid.IntRange(1, 5).Draw(rt, "records") {
			var hs []batch.RecordHeader
			for range rapid.IntRange(0, 4).Draw(rt, "headers") {
				hs = append(hs, batch.RecordHeader{Key: []byte(name.Draw(rt, "name")), Value: maybe.Draw(rt, "header")})
			}
			records = append(records, batch.Record{Key: maybe.Draw(rt, "key"), Value: maybe.Draw(rt, "value"), Headers: batch.MakeHeaders(hs...)})
		}
		b := build(t, rapid.SampledFrom(codecs()).Draw(rt, "codec"), records...)
		if err := r.Read(rs.Namer(secret()), 3, b, 0); err != nil {
			rt.Fatal(err)
		}
		entries, missing := naive(t, rs, 3, records)
		var found []int32
		for _, m := range r.Missing {
			found = append(found, m.Delta)
			if !errors.Is(m.Err, hapax.ErrMissing) && !errors.Is(m.Err, hapax.ErrMalformed) {
				rt.Errorf("record %d: %v", m.Delta, m.Err)
			}
		}
		if !slices.Equal(found, missing) {
			rt.Fatalf("missing %v, want %v", found, missing)
		}
		got := slices.Clone(r.Entries)
		for i := range got {
			if got[i].Size < 7 {
				rt.Errorf("size %d", got[i].Size)
			}
			got[i].Size = 0
		}
		if !slices.Equal(got, entries) {
			rt.Fatalf("entries %v, want %v", got, entries)
		}
	})
}

// Ids are apart in other partitions only if the scope says so, and typed ids are
// those of records.
func TestScopes(t *testing.T) {
	var r Reader
	record := batch.Record{Key: []byte("k"), Headers: headers("id", "7", "tenant", "acme"), Value: []byte(`{"user":{"id":5}}`)}
	fingerprint := func(scope string, partition int32) hapax.Fingerprint {
		n := rules(t, "identity", "header:id", "scope", scope).Namer(secret())
		if err := r.Read(n, partition, build(t, batch.Plain, record), 0); err != nil || len(r.Entries) != 1 {
			t.Fatal(err, len(r.Entries))
		}
		within := map[string]string{"header:tenant": "acme", "json:user.id": "5"}[scope]
		if typed, err := n.Fingerprints(partition, within, "7"); err != nil || !slices.Equal(typed, []Named{{Fingerprint: r.Entries[0].Fingerprint}}) {
			t.Errorf("%s: typed: %v, %v", scope, typed, err)
		}
		return r.Entries[0].Fingerprint
	}
	seen := map[hapax.Fingerprint]string{}
	for _, scope := range []string{"topic", "partition", "header:tenant", "json:user.id"} {
		f := fingerprint(scope, 1)
		if other := seen[f]; other != "" {
			t.Errorf("scopes %s and %s are one", scope, other)
		}
		seen[f] = scope
		if same := f == fingerprint(scope, 2); same != (scope != "partition") {
			t.Errorf("scope %s: the same in two partitions: %v", scope, same)
		}
	}
}

func TestReaderRefuses(t *testing.T) {
	n := rules(t, "identity", "key").Namer(secret())
	big := build(t, batch.Zstd, batch.Record{Key: []byte("k"), Value: make([]byte, 10_000)})
	cut := build(t, batch.Plain, batch.Record{Key: []byte("k")})
	cut[batch.HeaderSize+4] = 0x40 // the key's length
	for _, test := range []struct {
		name string
		b    []byte
		most int
		want string
	}{
		{"large", big, 5000, "more than may be inflated"},
		{"damaged", cut, 0, "record 1 of 1: a record is cut off"},
	} {
		var r Reader
		if err := r.Read(n, 0, test.b, test.most); code.Of(err) != code.InvalidRecord || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %s", test.name, err, test.want)
		}
	}
}

// No record costs an allocation.
func TestReaderAllocates(t *testing.T) {
	var records []batch.Record
	for i := range 100 {
		id := fmt.Sprint(i)
		records = append(records, batch.Record{
			Key: []byte(id), Headers: headers("trace", "t", "id", id, "ce_id", id, "ce_source", "s"), Value: []byte(`{"a":[1,2],"id":` + id + `}`),
		})
	}
	b := build(t, batch.Plain, records...)
	for _, spec := range []string{"header:id", "key", "json:id", "cloudevents", "value"} {
		for _, scope := range []string{"topic", "partition", "header:trace", "json:id"} {
			var r Reader
			n := rules(t, "identity", spec, "scope", scope).Namer(secret())
			if allocs := testing.AllocsPerRun(20, func() {
				if err := r.Read(n, 1, b, 0); err != nil || len(r.Entries) != 100 {
					t.Fatal(err, len(r.Entries))
				}
			}); allocs > 1 && !raced {
				t.Errorf("%s in %s: %v allocations", spec, scope, allocs)
			}
		}
	}
}

func TestSameContent(t *testing.T) {
	for _, test := range []struct {
		a, b []byte
		want bool
	}{
		{nil, nil, true},
		{nil, []byte{}, false},
		{[]byte("x"), []byte("x"), true},
		{[]byte("x"), []byte("y"), false},
		{[]byte(`{"a":1,"b":2}`), []byte(` {"b":2.0,"a":1}`), true},
		{[]byte(`{"a":1}`), []byte(`{"a":"1"}`), false},
		{[]byte(`{"a":1}`), []byte(`x`), false},
	} {
		if SameContent(test.a, test.b) != test.want || SameContent(test.b, test.a) != test.want {
			t.Errorf("%q and %q: want %v", test.a, test.b, test.want)
		}
	}
}

func BenchmarkReader(b *testing.B) {
	small := func(i int) batch.Record {
		id := fmt.Appendf(nil, "%016x-%016x", i*7919, i)
		return batch.Record{Key: id, Headers: batch.MakeHeaders(batch.RecordHeader{Key: []byte("id"), Value: id}), Value: bytes.Repeat([]byte("x"), 100)}
	}
	large := func(i int) batch.Record {
		return batch.Record{Value: fmt.Appendf(nil, `{"id":"order-%012d","customer":{"name":"Ada Lovelace","tier":3},"lines":[%s{"sku":"Z","n":1}],"note":"%s"}`,
			i, strings.Repeat(`{"sku":"A-1000","n":2,"price":12.50},`, 15), strings.Repeat("thank you ", 30))}
	}
	for _, test := range []struct {
		identity string
		codec    batch.Codec
		record   func(int) batch.Record
		count    int
	}{
		{"header:id", batch.Plain, small, 5000},
		{"key", batch.Plain, small, 5000},
		{"header:id", batch.LZ4, small, 5000},
		{"header:id", batch.Zstd, small, 5000},
		{"json:id", batch.Plain, large, 1000},
		{"json:id", batch.LZ4, large, 1000},
		{"json:id", batch.Zstd, large, 1000},
		{"value", batch.Plain, large, 1000},
	} {
		b.Run(fmt.Sprintf("%s %v", test.identity, test.codec), func(b *testing.B) {
			var records []batch.Record
			for i := range test.count {
				records = append(records, test.record(i))
			}
			data := build(b, test.codec, records...)
			n := rules(b, "identity", test.identity).Namer(secret())
			var r Reader
			b.ReportAllocs()
			b.SetBytes(int64(len(data)))
			for b.Loop() {
				if err := r.Read(n, 1, data, 0); err != nil || len(r.Entries) != test.count {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*test.count), "ns/record")
		})
	}
}
