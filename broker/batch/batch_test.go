package batch

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/hapaxmq/hapax/broker/code"
)

// sent is what an idempotent producer sends.
func sent() Header {
	return Header{
		BaseTimestamp: 1_700_000_000_000,
		ProducerID:    4711,
		ProducerEpoch: 3,
		BaseSequence:  17,
		LeaderEpoch:   None,
	}
}

func records(n int) []Record {
	var list []Record
	for i := range n {
		r := Record{OffsetDelta: int32(i), TimestampDelta: int64(i * 5), Value: fmt.Appendf(nil, "value %d", i)}
		switch i % 4 {
		case 0:
			r.Key = fmt.Appendf(nil, "key %d", i)
		case 1:
			r.Key, r.Value = []byte{}, nil
		case 2:
			r.Headers = MakeHeaders(RecordHeader{[]byte("id"), fmt.Append(nil, i)}, RecordHeader{[]byte("null"), nil}, RecordHeader{[]byte{}, []byte{}})
			r.TimestampDelta = -int64(i)
		case 3:
			r.Value = bytes.Repeat([]byte("much "), 100)
		}
		list = append(list, r)
	}
	return list
}

func build(t testing.TB, h Header, list []Record) []byte {
	t.Helper()
	var e Encoder
	b, err := e.Append(nil, h, list)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func read(t testing.TB, b []byte) []Record {
	t.Helper()
	var list []Record
	var d Decoder
	for r, err := range d.Records(b) {
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, r)
	}
	return list
}

func codecs() []Codec { return []Codec{Plain, Gzip, Snappy, LZ4, Zstd} }

// theirs is a record as franz-go has it.
func theirs(r Record) kmsg.Record {
	k := kmsg.Record{TimestampDelta64: r.TimestampDelta, OffsetDelta: r.OffsetDelta, Key: r.Key, Value: r.Value}
	for h := range r.Headers.All() {
		k.Headers = append(k.Headers, kmsg.Header{Key: string(h.Key), Value: h.Value})
	}
	k.Length = int32(len(k.AppendTo(nil)) - 1) // one byte is the length 0
	return k
}

// equal tells whether two records are the same, null and empty apart.
func equal(a, b kmsg.Record) bool {
	same := func(a, b []byte) bool { return bytes.Equal(a, b) && (a == nil) == (b == nil) }
	if a.TimestampDelta64 != b.TimestampDelta64 || a.OffsetDelta != b.OffsetDelta ||
		!same(a.Key, b.Key) || !same(a.Value, b.Value) || len(a.Headers) != len(b.Headers) {
		return false
	}
	for i := range a.Headers {
		if a.Headers[i].Key != b.Headers[i].Key || !same(a.Headers[i].Value, b.Headers[i].Value) {
			return false
		}
	}
	return true
}

// sameHeader compares a header with franz-go's reading of it.
func sameHeader(t *testing.T, h Header, b []byte) {
	t.Helper()
	var k kmsg.RecordBatch
	if err := k.ReadFrom(b); err != nil {
		t.Fatal(err)
	}
	want := Header{
		k.FirstOffset, k.Length, k.PartitionLeaderEpoch, uint32(k.CRC), Attributes(k.Attributes), k.LastOffsetDelta,
		k.FirstTimestamp, k.MaxTimestamp, k.ProducerID, k.ProducerEpoch, k.FirstSequence, k.NumRecords,
	}
	if h != want {
		t.Errorf("got  %+v\nwant %+v", h, want)
	}
}

// TestEncoder: what is written is valid, and franz-go and the decoder read the
// same in it.
func TestEncoder(t *testing.T) {
	for _, c := range codecs() {
		t.Run(c.String(), func(t *testing.T) {
			want := records(50)
			header := sent()
			header.Attributes = Transactional.With(c)
			b := build(t, header, want)
			h, err := Validate(b)
			if err != nil {
				t.Fatal(err)
			}
			sameHeader(t, h, b)
			if h.Count != 50 || h.MaxTimestamp != header.BaseTimestamp+49*5 || h.Size() != len(b) || h.Attributes.Codec() != c {
				t.Errorf("header %+v", h)
			}
			raw, err := kgo.DefaultDecompressor().Decompress(b[HeaderSize:], kgo.CompressionCodecType(c))
			if err != nil {
				t.Fatal(err)
			}
			got := read(t, b)
			if len(got) != len(want) {
				t.Fatalf("%d records", len(got))
			}
			for i, r := range got {
				var k kmsg.Record
				length, n := binary.Varint(raw)
				if err := k.ReadFrom(raw[:n+int(length)]); err != nil {
					t.Fatal(err)
				}
				raw = raw[n+int(length):]
				if !equal(theirs(r), theirs(want[i])) || r.OffsetDelta != k.OffsetDelta || !bytes.Equal(r.Value, k.Value) || !bytes.Equal(r.Key, k.Key) || r.Headers.Len() != len(k.Headers) {
					t.Errorf("record %d: %+v, want %+v", i, r, want[i])
				}
			}
		})
	}
}

// TestDecoderReadsClients: what franz-go sends is read.
func TestDecoderReadsClients(t *testing.T) {
	for c, make := range map[Codec]func() kgo.CompressionCodec{
		Plain: kgo.NoCompression, Gzip: kgo.GzipCompression, Snappy: kgo.SnappyCompression, LZ4: kgo.Lz4Compression, Zstd: kgo.ZstdCompression,
	} {
		t.Run(c.String(), func(t *testing.T) {
			want := records(20)
			var raw []byte
			for _, r := range want {
				k := theirs(r)
				raw = k.AppendTo(raw)
			}
			compressor, err := kgo.DefaultCompressor(make())
			if err != nil {
				t.Fatal(err)
			}
			payload := raw
			if compressor != nil {
				payload, _ = compressor.Compress(new(bytes.Buffer), raw)
			}
			k := kmsg.RecordBatch{
				Magic: 2, Attributes: int16(c), LastOffsetDelta: 19, NumRecords: 20, ProducerID: -1, ProducerEpoch: -1, FirstSequence: -1,
				FirstTimestamp: 1, MaxTimestamp: 2, Length: int32(49 + len(payload)), Records: payload,
			}
			b := k.AppendTo(nil)
			sum(b)
			if _, err := Validate(b); err != nil {
				t.Fatal(err)
			}
			for i, r := range read(t, b) {
				if !equal(theirs(r), theirs(want[i])) {
					t.Errorf("record %d: %+v, want %+v", i, r, want[i])
				}
			}
		})
	}
}

func TestValidate(t *testing.T) {
	for _, test := range []struct {
		name  string
		spoil func([]byte) []byte
		want  code.Error
	}{
		{"as sent", func(b []byte) []byte { return b }, code.None},
		{"any base offset", func(b []byte) []byte { binary.BigEndian.PutUint64(b, 1<<63|77); return b }, code.None},
		{"any leader epoch", func(b []byte) []byte { binary.BigEndian.PutUint32(b[12:], 9); return b }, code.None},
		{"transactional", set16(21, 0x10), code.None},
		{"no producer", func(b []byte) []byte {
			return set16(51, 0xffff)(set64(43, -1)(set32(53, -1)(b)))
		}, code.None},
		{"no maximal timestamp", set64(35, -1), code.None},
		{"nothing", func([]byte) []byte { return nil }, code.InvalidRecord},
		{"half a header", func(b []byte) []byte { return b[:30] }, code.CorruptMessage},
		{"one byte less", func(b []byte) []byte { return b[:len(b)-1] }, code.CorruptMessage},
		{"one byte more", func(b []byte) []byte { return append(b, 0) }, code.InvalidRecord},
		{"two batches", func(b []byte) []byte { return append(b, b...) }, code.InvalidRecord},
		{"length below a header's", set32(8, 48), code.CorruptMessage},
		{"negative length", set32(8, -1), code.CorruptMessage},
		{"message set 0", func(b []byte) []byte { b[16] = 0; return b }, code.InvalidRecord},
		{"message set 1", func(b []byte) []byte { b[16] = 1; return b[:20] }, code.InvalidRecord},
		{"magic 3", func(b []byte) []byte { b[16] = 3; return b }, code.CorruptMessage},
		{"wrong checksum", func(b []byte) []byte { b[17]++; return b }, code.CorruptMessage},
		{"flipped bit", func(b []byte) []byte { b[len(b)-3] ^= 4; return b }, code.CorruptMessage},
		{"no records", set32(57, 0), code.InvalidRecord},
		{"negative records", set32(57, -1), code.InvalidRecord},
		{"last offset delta too small", set32(23, 1), code.InvalidRecord},
		{"last offset delta too large", set32(23, 3), code.InvalidRecord},
		{"largest last offset delta", func(b []byte) []byte {
			return set32(23, 1<<31-1)(set32(57, -1<<31)(b))
		}, code.InvalidRecord},
		{"more records than bytes", func(b []byte) []byte {
			return set32(23, 99999)(set32(57, 100000)(b))
		}, code.InvalidRecord},
		{"records without bytes", func(b []byte) []byte {
			return set32(8, 49)(b[:HeaderSize])
		}, code.InvalidRecord},
		{"codec 5", set16(21, 5), code.InvalidRecord},
		{"codec 7", set16(21, 7), code.InvalidRecord},
		{"append time", set16(21, 0x08), code.InvalidTimestamp},
		{"control", set16(21, 0x20), code.InvalidRecord},
		{"control in a transaction", set16(21, 0x30), code.InvalidRecord},
		{"delete horizon", set16(21, 0x40), code.InvalidRecord},
		{"base timestamp before 1970", set64(27, -2), code.InvalidTimestamp},
		{"maximal timestamp before 1970", set64(35, -1<<63), code.InvalidTimestamp},
		{"producer -2", set64(43, -2), code.InvalidRecord},
		{"producer without epoch", set16(51, 0xffff), code.InvalidRecord},
		{"producer without sequence", set32(53, -1), code.InvalidRecord},
		{"transaction without a producer", func(b []byte) []byte {
			return set16(21, 0x10)(set64(43, -1)(b))
		}, code.InvalidRecord},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := test.spoil(build(t, sent(), records(3)))
			h, err := Validate(b)
			if code.Of(err) != test.want {
				t.Fatalf("got %v, want %v", err, test.want)
			}
			if err != nil && h != (Header{}) {
				t.Errorf("header %+v with an error", h)
			}
		})
	}
}

// set16 and its like change a field and make the checksum right again.
func set16(at int, v uint16) func([]byte) []byte {
	return func(b []byte) []byte { binary.BigEndian.PutUint16(b[at:], v); sum(b); return b }
}

func set32(at int, v int32) func([]byte) []byte {
	return func(b []byte) []byte { binary.BigEndian.PutUint32(b[at:], uint32(v)); sum(b); return b }
}

func set64(at int, v int64) func([]byte) []byte {
	return func(b []byte) []byte { binary.BigEndian.PutUint64(b[at:], uint64(v)); sum(b); return b }
}

func TestSetBase(t *testing.T) {
	b := build(t, sent(), records(5))
	SetBase(b, 1<<40, 12)
	h, err := Validate(b)
	if err != nil {
		t.Fatal(err)
	}
	if h.BaseOffset != 1<<40 || h.LastOffset() != 1<<40+4 || h.LeaderEpoch != 12 {
		t.Errorf("header %+v", h)
	}
}

func TestSetAppendTime(t *testing.T) {
	b := build(t, sent(), records(5))
	before, _ := ReadHeader(b)
	SetAppendTime(b, 1234)
	h, err := ReadHeader(b)
	if err != nil || h.CRC != checksum(b) {
		t.Fatalf("error %v, checksum %08x, want %08x", err, h.CRC, checksum(b))
	}
	before.Attributes |= AppendTime
	before.MaxTimestamp, before.CRC = 1234, h.CRC
	if h != before || h.Newest() != 1234 {
		t.Errorf("got  %+v\nwant %+v", h, before)
	}
}

func TestNewest(t *testing.T) {
	for _, test := range []struct {
		h    Header
		want int64
	}{
		{Header{BaseTimestamp: 5, MaxTimestamp: 9}, 9},
		{Header{BaseTimestamp: 5, MaxTimestamp: None}, 5},
		{Header{BaseTimestamp: None, MaxTimestamp: None}, None},
		{Header{BaseTimestamp: 50, MaxTimestamp: 9, Attributes: AppendTime}, 9},
	} {
		if got := test.h.Newest(); got != test.want {
			t.Errorf("%+v: got %d, want %d", test.h, got, test.want)
		}
	}
}

func TestNext(t *testing.T) {
	one, two := build(t, sent(), records(1)), build(t, sent(), records(2))
	both := append(bytes.Clone(one), two...)
	first, rest, err := Next(both)
	if err != nil || !bytes.Equal(first, one) || !bytes.Equal(rest, two) || cap(first) != len(first) {
		t.Errorf("first: %d and %d bytes, %v", len(first), len(rest), err)
	}
	first, rest, err = Next(rest)
	if err != nil || !bytes.Equal(first, two) || len(rest) != 0 {
		t.Errorf("second: %d and %d bytes, %v", len(first), len(rest), err)
	}
	if _, _, err := Next(both[:len(one)-1]); code.Of(err) != code.CorruptMessage {
		t.Errorf("cut off: %v", err)
	}
}

func TestAppendEmpty(t *testing.T) {
	header := sent()
	header.BaseOffset, header.Attributes = 100, Transactional.With(Zstd)
	full := build(t, header, records(5))
	before, err := ReadHeader(full)
	if err != nil {
		t.Fatal(err)
	}
	b := AppendEmpty([]byte("before"), before)[len("before"):]
	h, err := ReadHeader(b)
	if err != nil || len(b) != HeaderSize || h.CRC != checksum(b) {
		t.Fatalf("%d bytes, %v", len(b), err)
	}
	want := before
	want.Length, want.Count, want.Attributes, want.CRC = 49, 0, Transactional, h.CRC
	if h != want || h.LastOffset() != 104 {
		t.Errorf("got  %+v\nwant %+v", h, want)
	}
	if list := read(t, b); len(list) != 0 {
		t.Errorf("%d records", len(list))
	}
}

func TestMarker(t *testing.T) {
	for _, commit := range []bool{true, false} {
		want := Marker{1000, 5, 1_700_000_000_000, 42, 7, 3, commit}
		b := AppendMarker(nil, want)
		if len(b) != 78 {
			t.Errorf("%d bytes", len(b))
		}
		h, err := ReadHeader(b)
		if err != nil {
			t.Fatal(err)
		}
		sameHeader(t, h, b)
		if h.Attributes != 0x30 || h.BaseSequence != -1 || h.LastOffset() != 1000 || h.CRC != checksum(b) {
			t.Errorf("header %+v", h)
		}
		r := read(t, b)[0]
		var key kmsg.ControlRecordKey
		var value kmsg.EndTxnMarker
		if err := key.ReadFrom(r.Key); err != nil || key.Version != 0 || (key.Type == kmsg.ControlRecordKeyTypeCommit) != commit {
			t.Errorf("key %+v, %v", key, err)
		}
		if err := value.ReadFrom(r.Value); err != nil || value.Version != 0 || value.CoordinatorEpoch != 3 {
			t.Errorf("value %+v, %v", value, err)
		}
		if got, err := ReadMarker(b); err != nil || got != want {
			t.Errorf("got %+v, %v, want %+v", got, err, want)
		}
	}
	if _, err := ReadMarker(build(t, sent(), records(1))); err == nil {
		t.Error("took records for a marker")
	}
}
