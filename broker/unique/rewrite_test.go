package unique

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/broker/batch"
	"github.com/hapaxmq/hapax/broker/code"
)

// list reads records, of which every part is a copy.
func list(tb testing.TB, b []byte) (all []batch.Record) {
	tb.Helper()
	var d batch.Decoder
	for r, err := range d.Records(b) {
		if err != nil {
			tb.Fatal(err)
		}
		r.Key, r.Value, r.Headers = bytes.Clone(r.Key), bytes.Clone(r.Value), batch.Headers{}.With(slices.Collect(r.Headers.All())...)
		all = append(all, r)
	}
	return all
}

func text(r batch.Record) string {
	s := fmt.Sprintf("%d at %d: %q=%q", r.OffsetDelta, r.TimestampDelta, r.Key, r.Value)
	for h := range r.Headers.All() {
		s += fmt.Sprintf(" %s=%q", h.Key, h.Value)
	}
	return s
}

func texts(all []batch.Record) (s []string) {
	for _, r := range all {
		s = append(s, text(r))
	}
	return s
}

// TestRewrite: whatever becomes of records, the others are what and where they were.
func TestRewrite(t *testing.T) {
	var r Reader
	n := rules(t, "identity", "key").Namer(secret())
	rapid.Check(t, func(rt *rapid.T) {
		var records []batch.Record
		for i := range rapid.IntRange(1, 6).Draw(rt, "records") {
			records = append(records, batch.Record{
				Key: []byte{byte(i)}, Value: rapid.SliceOfN(rapid.Byte(), 0, 200).Draw(rt, "value"), Headers: headers("a", "b"),
				TimestampDelta: int64(rapid.IntRange(-5, 5).Draw(rt, "time")),
			})
		}
		codec := rapid.SampledFrom(codecs()).Draw(rt, "codec")
		b := build(t, codec, records...)
		batch.SetBase(b, 1000, 4)
		if err := r.Read(n, 0, b, 0); err != nil {
			rt.Fatal(err)
		}
		before, _ := batch.ReadHeader(b)
		want := before
		want.Count, want.MaxTimestamp = 0, batch.None
		var copies, routed []Copy
		var left, gone []string
		for i, record := range records {
			c := Copy{Delta: int32(i), First: Place{3, int64(40 + i)}, Verdict: hapax.Duplicate}
			switch c.Fate = Fate(rapid.IntRange(0, 5).Draw(rt, "fate")); c.Fate {
			case Drop, Route:
				moved := record
				moved.OffsetDelta = int32(len(routed))
				gone = append(gone, text(moved)+fmt.Sprintf(` hapax-origin="orders:9:%d" hapax-reason="duplicate" hapax-duplicate-of="3:%d"`, 1000+i, 40+i))
				copies, routed = append(copies, c), append(routed, c)
				continue
			case Mark:
				left = append(left, text(record)+fmt.Sprintf(` hapax-duplicate-of="3:%d"`, 40+i))
				copies = append(copies, c)
			case Accept, Reject:
				copies = append(copies, c)
				fallthrough
			default:
				left = append(left, text(record))
			}
			want.Count++
			want.MaxTimestamp = max(want.MaxTimestamp, want.BaseTimestamp+record.TimestampDelta)
		}
		if want.Count == 0 {
			want.MaxTimestamp, want.Attributes = before.MaxTimestamp, 0
		}
		out, err := r.Rewrite(copies)
		if err != nil {
			rt.Fatal(err)
		}
		h, err := batch.ReadHeader(out)
		want.Length, want.CRC = h.Length, h.CRC
		if err != nil || h != want || !batch.Intact(out) || h.Count == 0 && len(out) != batch.HeaderSize {
			rt.Fatalf("header %+v, want %+v: %v", h, want, err)
		}
		if got := texts(list(t, out)); !slices.Equal(got, left) {
			rt.Fatalf("records %q, want %q", got, left)
		}
		if len(routed) > 0 {
			checkCopies(t, &r, routed, codec, gone)
		}
	})
}

// checkCopies looks at the batch of what went to another topic.
func checkCopies(t *testing.T, r *Reader, routed []Copy, codec batch.Codec, want []string) {
	t.Helper()
	out, err := r.Copies(nil, routed, Origin{"orders", Place{9, 1000}}, Producer{batch.None, batch.None})
	if err != nil {
		t.Fatal(err)
	}
	if h, err := batch.Validate(out); err != nil || h.Idempotent() || h.Attributes != batch.Attributes(codec) {
		t.Fatalf("%+v: %v", h, err)
	}
	if got := texts(list(t, out)); !slices.Equal(got, want) {
		t.Fatalf("copies %q, want %q", got, want)
	}
}

func TestCopies(t *testing.T) {
	var r Reader
	b := build(t, batch.LZ4, batch.Record{Key: []byte("a")}, batch.Record{Key: []byte("b")}, batch.Record{Key: []byte("c")})
	if err := r.Read(rules(t, "identity", "key").Namer(secret()), 0, b, 0); err != nil {
		t.Fatal(err)
	}
	from := Origin{"orders", Place{2, 10}}
	out, err := r.Copies(nil, []Copy{{Delta: 1, Fate: Route, Verdict: hapax.Conflict, First: Place{1, -1}}}, from, Producer{77, 5})
	if err != nil {
		t.Fatal(err)
	}
	h, _ := batch.ReadHeader(out)
	if h.ProducerID != 77 || h.ProducerEpoch != 5 || h.BaseSequence != batch.None || !h.Attributes.Has(batch.Transactional) || h.LastOffsetDelta != 0 || h.Count != 1 {
		t.Errorf("of a transaction: %+v", h)
	}
	const want = `0 at 0: "b"="" hapax-origin="orders:2:11" hapax-reason="conflict" hapax-duplicate-of="1:"`
	if got := texts(list(t, out)); !slices.Equal(got, []string{want}) {
		t.Errorf("%q, want %q", got, want)
	}
	for _, copies := range [][]Copy{nil, {{Delta: 3}}, {{Delta: 1}, {Delta: 0}}} {
		if out, err := r.Copies([]byte("kept"), copies, from, Producer{batch.None, batch.None}); !errors.Is(err, batch.ErrRecords) || string(out) != "kept" {
			t.Errorf("%v: %q, %v", copies, out, err)
		}
	}
}

// FuzzReader: whatever the records are, they are read or refused, and what is read
// can be rewritten: each record once, in the batch or among the copies.
func FuzzReader(f *testing.F) {
	specs := []string{"header:id", "key", "value", "json:id", "cloudevents", "header:id|json:a,b|key"}
	for i, c := range codecs() {
		b := build(f, c, batch.Record{Key: []byte("k"), Headers: headers("id", "1")}, batch.Record{Value: []byte(`{"id":1,"source":"s"}`)})
		f.Add(uint8(c), uint8(i), int32(2), b[batch.HeaderSize:])
	}
	var r Reader
	f.Fuzz(func(t *testing.T, codec, spec uint8, count int32, payload []byte) {
		b := append(batch.AppendEmpty(nil, batch.Header{LastOffsetDelta: count - 1}), payload...)
		binary.BigEndian.PutUint32(b[8:], uint32(len(b)-12))
		b[22] = codec & 7
		binary.BigEndian.PutUint32(b[57:], uint32(count))
		n := rules(t, "identity", specs[int(spec)%len(specs)]).Namer(secret())
		if err := r.Read(n, 1, b, 1<<16); err != nil {
			if code.Of(err) != code.InvalidRecord {
				t.Fatal(err)
			}
			return
		}
		if int(max(count, 0)) != len(r.Entries)+len(r.Missing) {
			t.Fatalf("%d records, %d entries, %d without id", count, len(r.Entries), len(r.Missing))
		}
		whole, err := r.Rewrite(nil)
		if err != nil {
			t.Fatal(err)
		}
		before, after := texts(list(t, b)), texts(list(t, whole))
		if !slices.Equal(before, after) {
			t.Fatalf("%q became %q", before, after)
		}
		var copies []Copy
		for _, e := range r.Entries {
			copies = append(copies, Copy{Delta: int32(e.Offset), Fate: Route})
		}
		left, err := r.Rewrite(copies)
		if err != nil || len(list(t, left)) != len(r.Missing) {
			t.Fatalf("%d left, want %d: %v", len(list(t, left)), len(r.Missing), err)
		}
		if len(copies) == 0 {
			return
		}
		other, err := r.Copies(nil, copies, Origin{}, Producer{batch.None, batch.None})
		if err != nil || len(list(t, other)) != len(copies) {
			t.Fatal(err)
		}
	})
}

func BenchmarkRewrite(b *testing.B) {
	for _, c := range []batch.Codec{batch.Plain, batch.LZ4, batch.Zstd} {
		b.Run(fmt.Sprintf("half of 100 B %v", c), func(b *testing.B) {
			const count = 5000
			var records []batch.Record
			var copies []Copy
			for i := range count {
				records = append(records, batch.Record{Key: fmt.Appendf(nil, "%016x", i), Value: bytes.Repeat([]byte("x"), 100)})
				if i%2 == 0 {
					copies = append(copies, Copy{Delta: int32(i)})
				}
			}
			data := build(b, c, records...)
			var r Reader
			if err := r.Read(rules(b, "identity", "key").Namer(secret()), 0, data, 0); err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := r.Rewrite(copies); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*count), "ns/record")
		})
	}
}
