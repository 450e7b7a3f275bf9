package batch

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/hapaxmq/hapax/broker/code"
)

// FuzzValidate: what is valid is one batch to franz-go too, with the same header,
// and stays valid at another offset.
func FuzzValidate(f *testing.F) {
	f.Add(build(f, sent(), records(3)))
	f.Add(AppendEmpty(nil, sent()))
	f.Add(AppendMarker(nil, Marker{}))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) >= HeaderSize {
			sum(b) // chance finds no checksum
		}
		h, err := Validate(b)
		if err != nil {
			if c := code.Of(err); c != code.InvalidRecord && c != code.CorruptMessage && c != code.InvalidTimestamp {
				t.Fatalf("code %v", c)
			}
			return
		}
		sameHeader(t, h, b)
		SetBase(b, 1<<50, 7)
		if moved, err := Validate(b); err != nil || moved.CRC != h.CRC {
			t.Fatalf("moved: %v", err)
		}
		first, rest, err := Next(append(b, b...))
		if err != nil || !bytes.Equal(first, b) || !bytes.Equal(rest, b) {
			t.Fatalf("twice: %v", err)
		}
	})
}

// FuzzNext: batches cut off are what they were cut from, and the cutting ends.
func FuzzNext(f *testing.F) {
	one := build(f, sent(), records(2))
	f.Add(append(bytes.Clone(one), one...))
	f.Fuzz(func(t *testing.T, b []byte) {
		var joined []byte
		rest := b
		for len(rest) > 0 {
			first, after, err := Next(rest)
			if err != nil {
				break
			}
			if len(first) < HeaderSize {
				t.Fatalf("%d bytes", len(first))
			}
			joined, rest = append(joined, first...), after
		}
		if !bytes.Equal(append(joined, rest...), b) {
			t.Fatal("bytes are lost")
		}
	})
}

// FuzzRecords: records are what franz-go reads, and written anew they are the
// same.
func FuzzRecords(f *testing.F) {
	for _, n := range []int{1, 4} {
		b := build(f, sent(), records(n))
		f.Add(int32(n-1), int32(n), b[HeaderSize:])
	}
	f.Fuzz(func(t *testing.T, last, count int32, payload []byte) {
		b := wrap(0, last, count, payload)
		var list []Record
		var d Decoder
		for r, err := range d.Records(b) {
			if err != nil {
				if code.Of(err) != code.InvalidRecord {
					t.Fatal(err)
				}
				return
			}
			list = append(list, r)
		}
		for i, r := range list {
			length, n := binary.Varint(payload)
			var k kmsg.Record
			if err := k.ReadFrom(payload[:n+int(length)]); err != nil {
				t.Fatalf("record %d: %v", i, err)
			}
			payload = payload[n+int(length):]
			if k.OffsetDelta != r.OffsetDelta || !bytes.Equal(k.Key, r.Key) || !bytes.Equal(k.Value, r.Value) || len(k.Headers) != r.Headers.Len() {
				t.Fatalf("record %d: %+v, want %+v", i, r, k)
			}
		}
		h, _ := ReadHeader(b)
		again := read(t, build(t, h, list))
		for i := range list {
			if !equal(theirs(list[i]), theirs(again[i])) {
				t.Fatalf("record %d: %+v, want %+v", i, again[i], list[i])
			}
		}
	})
}

// FuzzReadShort: what the quick way of reading a record takes, the other one reads as the
// same.
func FuzzReadShort(f *testing.F) {
	usual := Record{Value: make([]byte, 100), Headers: MakeHeaders(
		RecordHeader{Key: []byte("a")}, RecordHeader{Key: []byte("id"), Value: []byte("7")}, RecordHeader{Key: []byte("id"), Value: []byte{}},
	)}
	b := build(f, sent(), append([]Record{usual}, records(3)[1:]...))[HeaderSize:]
	if _, header, ok := new(Record).readShort(b, "id"); !ok || string(header) != "7" {
		f.Errorf("header %q, ok: %t", header, ok)
	}
	for rest := b; len(rest) > 0; {
		f.Add(rest, "id")
		size, _, err := new(Record).read(rest, "")
		if err != nil {
			f.Fatal(err)
		}
		rest = rest[size:]
	}
	f.Add([]byte{0x80, 0x80, 0x00}, "")
	f.Fuzz(func(t *testing.T, b []byte, wanted string) {
		var quick, slow Record
		size, header, ok := quick.readShort(b, wanted)
		if !ok {
			return
		}
		wantSize, wantHeader, err := slow.read(b, wanted)
		if err != nil || size != wantSize || !alike(header, wantHeader) {
			t.Fatalf("%d bytes, header %q, want %d, %q, %v", size, header, wantSize, wantHeader, err)
		}
		if quick.OffsetDelta != slow.OffsetDelta || quick.TimestampDelta != slow.TimestampDelta || quick.Headers.count != slow.Headers.count ||
			!alike(quick.Key, slow.Key) || !alike(quick.Value, slow.Value) || !alike(quick.Headers.raw, slow.Headers.raw) {
			t.Fatalf("%+v, want %+v", quick, slow)
		}
	})
}

// alike tells whether two fields are the same, null or not.
func alike(a, b []byte) bool { return (a == nil) == (b == nil) && bytes.Equal(a, b) }

// FuzzInflate: nothing that is compressed, or says so, takes more than it may.
func FuzzInflate(f *testing.F) {
	for _, c := range codecs() {
		h := sent()
		h.Attributes = h.Attributes.With(c)
		b := build(f, h, records(4))
		f.Add(uint8(c), b[HeaderSize:])
	}
	f.Add(uint8(Snappy), []byte(xerialMark+"\x00\x00\x00\x01\x00\x00\x00\x01\x00\x00\x00\x03\x01\x00\x41"))
	const most = 1 << 16
	var i inflater
	f.Fuzz(func(t *testing.T, c uint8, b []byte) {
		out, err := i.inflate(nil, b, Codec(c), most)
		if err == nil && len(out) > most || cap(out) > 8*most {
			t.Fatalf("%d bytes, room for %d", len(out), cap(out))
		}
		fresh, again := new(inflater).inflate(nil, b, Codec(c), most)
		if (err == nil) != (again == nil) || err == nil && !bytes.Equal(out, fresh) {
			t.Fatalf("used: %v, new: %v", err, again)
		}
	})
}

// FuzzReadMarker: a marker read and written is the same marker.
func FuzzReadMarker(f *testing.F) {
	f.Add(AppendMarker(nil, Marker{Offset: 9, Time: 8, ProducerID: 7, ProducerEpoch: 6, Commit: true}))
	f.Add(AppendMarker(nil, Marker{CoordinatorEpoch: 5}))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := ReadMarker(b)
		if err != nil {
			return
		}
		if again, err := ReadMarker(AppendMarker(nil, m)); err != nil || again != m {
			t.Fatalf("got %+v, %v, want %+v", again, err, m)
		}
	})
}
