package batch

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/klauspost/compress/snappy/xerial"

	"github.com/hapaxmq/hapax/broker/code"
)

// wrap makes a batch with a valid checksum of any payload.
func wrap(a Attributes, last, count int32, payload []byte) []byte {
	h := sent()
	h.Attributes, h.LastOffsetDelta, h.Count = a, last, count
	b := append(h.appendTo(nil), payload...)
	finish(b)
	return b
}

// lastError reads all records and returns how many there were before the error.
func lastError(d *Decoder, b []byte) (n int, last error) {
	for _, err := range d.Records(b) {
		if err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

func TestDecoderRefuses(t *testing.T) {
	one := "\x0c\x00\x00\x00\x01\x01\x00" // null key and value, no headers
	for _, test := range []struct {
		name    string
		b       []byte
		records int
		want    string
	}{
		{"fewer records than counted", wrap(0, 1, 2, []byte(one)), 1, "cut off"},
		{"more bytes than records", wrap(0, 0, 1, []byte(one+one)), 1, "7 bytes follow"},
		{"offset delta twice", wrap(0, 1, 2, []byte(one+one)), 1, "offset delta 0, want more than 0"},
		{"offset delta too large", wrap(0, 3, 1, []byte("\x0c\x00\x00\x08\x01\x01\x00")), 0, "at most 3"},
		{"negative offset delta", wrap(0, 3, 1, []byte("\x0c\x00\x00\x01\x01\x01\x00")), 0, "offset delta -1"},
		{"negative length", wrap(0, 0, 1, []byte("\x01")), 0, "cut off"},
		{"length without end", wrap(0, 0, 1, bytes.Repeat([]byte{0xff}, 12)), 0, "out of range"},
		{"length above 2³¹", wrap(0, 0, 1, binary.AppendVarint(nil, 1<<31)), 0, "out of range"},
		{"longer than its fields", wrap(0, 0, 1, []byte("\x0e\x00\x00\x00\x01\x01\x00\x00")), 0, "longer than its fields"},
		{"key beyond its end", wrap(0, 0, 1, []byte("\x0c\x00\x00\x00\x20\x01\x00")), 0, "cut off"},
		{"negative headers", wrap(0, 0, 1, []byte("\x0c\x00\x00\x00\x01\x01\x01")), 0, "negative number of headers"},
		{"many headers, none there", wrap(0, 0, 1, []byte("\x14\x00\x00\x00\x01\x01\xfe\xff\xff\xff\x0f")), 0, "cut off"},
		{"header without a name", wrap(0, 0, 1, []byte("\x10\x00\x00\x00\x01\x01\x02\x01\x01")), 0, "no name"},
		{"nothing to inflate", wrap(2, 0, 1, nil), 0, "inflate 0 bytes of snappy"},
		{"codec 6", wrap(6, 0, 1, []byte(one)), 0, "want none, gzip, snappy, lz4 or zstd"},
		{"half a xerial header", wrap(2, 0, 1, []byte(xerialMark+"\x00\x00")), 0, "a block is cut off"},
		{"half a xerial length", wrap(2, 0, 1, []byte(xerialMark+"\x00\x00\x00\x01\x00\x00\x00\x01\x00\x00")), 0, "a block is cut off"},
		{"xerial block cut off", wrap(2, 0, 1, []byte(xerialMark+"\x00\x00\x00\x01\x00\x00\x00\x01\xff\xff\xff\xff\x00")), 0, "a block is cut off"},
	} {
		t.Run(test.name, func(t *testing.T) {
			n, err := lastError(new(Decoder), test.b)
			if err == nil || !strings.Contains(err.Error(), test.want) || code.Of(err) != code.InvalidRecord {
				t.Errorf("got %v, want %q", err, test.want)
			}
			if n != test.records {
				t.Errorf("%d records", n)
			}
		})
	}
}

// TestDecoderBounds: what inflates beyond the bound is refused, one byte less is
// not.
func TestDecoderBounds(t *testing.T) {
	zeros := []Record{{Value: make([]byte, 1<<20)}}
	inflated := len(build(t, sent(), zeros)) - HeaderSize
	for _, c := range codecs()[1:] {
		t.Run(c.String(), func(t *testing.T) {
			h := sent()
			h.Attributes = h.Attributes.With(c)
			b := build(t, h, zeros)
			for _, least := range []int{inflated, inflated + 1} {
				if _, err := lastError(&Decoder{Most: least}, b); err != nil {
					t.Errorf("at most %d: %v", least, err)
				}
			}
			for _, less := range []int{inflated - 1, 100} {
				if _, err := lastError(&Decoder{Most: less}, b); !errors.Is(err, errTooLarge) || code.Of(err) != code.InvalidRecord {
					t.Errorf("at most %d: %v", less, err)
				}
			}
		})
	}
}

// TestDecoderForgets: one large batch does not stay in memory.
func TestDecoderForgets(t *testing.T) {
	h := sent()
	h.Attributes = h.Attributes.With(Zstd)
	large, small := build(t, h, []Record{{Value: make([]byte, spare+1)}}), build(t, h, records(3))
	var d Decoder
	for _, b := range [][]byte{large, small} {
		if _, err := lastError(&d, b); err != nil {
			t.Fatal(err)
		}
	}
	if cap(d.buffer) > spare {
		t.Errorf("keeps %d bytes", cap(d.buffer))
	}
}

// TestDecoderReadsXerial: Java's snappy comes in blocks with a header.
func TestDecoderReadsXerial(t *testing.T) {
	plain := build(t, sent(), records(400))
	b := wrap(Attributes(Snappy), 399, 400, xerial.Encode(nil, plain[HeaderSize:]))
	if got := read(t, b); len(got) != 400 || string(got[396].Key) != "key 396" {
		t.Errorf("%d records", len(got))
	}
}

func TestDecoderStops(t *testing.T) {
	var d Decoder
	for r, err := range d.Records(build(t, sent(), records(9))) {
		if err != nil || r.OffsetDelta > 3 {
			t.Fatal(r, err)
		}
		if r.OffsetDelta == 3 {
			break
		}
	}
}

// TestEncoderKeepsGaps: a batch of which records are dropped keeps its offsets.
func TestEncoderKeepsGaps(t *testing.T) {
	list := records(10)
	kept := []Record{list[2], list[5]}
	h := sent()
	h.LastOffsetDelta = 9
	b := build(t, h, kept)
	got, err := ReadHeader(b)
	if err != nil || got.LastOffsetDelta != 9 || got.Count != 2 {
		t.Errorf("header %+v, %v", got, err)
	}
	after := read(t, b)
	if len(after) != 2 || after[0].OffsetDelta != 2 || after[1].OffsetDelta != 5 {
		t.Errorf("records %+v", after)
	}
}

func TestEncoderKeepsAppendTime(t *testing.T) {
	h := sent()
	h.Attributes, h.MaxTimestamp = AppendTime, 99
	got, err := ReadHeader(build(t, h, records(3)))
	if err != nil || got.MaxTimestamp != 99 {
		t.Errorf("header %+v, %v", got, err)
	}
}

func TestEncoderRefuses(t *testing.T) {
	var e Encoder
	for _, list := range [][]Record{
		{{OffsetDelta: -1}},
		{{OffsetDelta: 3}, {OffsetDelta: 3}},
	} {
		if b, err := e.Append([]byte("before"), sent(), list); !errors.Is(err, ErrRecords) || string(b) != "before" {
			t.Errorf("%+v: %q, %v", list, b, err)
		}
	}
	h := sent()
	h.Attributes = 5
	if _, err := e.Append(nil, h, records(1)); !errors.Is(err, errNoCodec) {
		t.Errorf("codec 5: %v", err)
	}
}

func TestHeadersLast(t *testing.T) {
	h := MakeHeaders(RecordHeader{[]byte("id"), []byte("1")}, RecordHeader{[]byte("id"), []byte("2")}, RecordHeader{[]byte("null"), nil})
	for _, test := range []struct {
		name, want string
		ok         bool
	}{
		{"id", "2", true}, {"null", "", true}, {"other", "", false},
	} {
		if got, ok := h.Last(test.name); string(got) != test.want || ok != test.ok {
			t.Errorf("%s: %q, %v", test.name, got, ok)
		}
	}
}

// TestAllocations: what every batch passes through takes nothing from the heap.
func TestAllocations(t *testing.T) {
	if raced {
		t.Skip("the race detector allocates")
	}
	b := build(t, sent(), records(100))
	h := sent()
	h.Attributes = h.Attributes.With(Zstd)
	zipped := build(t, h, records(100))
	var d Decoder
	for name, f := range map[string]func(){
		"Validate": func() {
			if _, err := Validate(b); err != nil {
				t.Error(err)
			}
		},
		"SetBase": func() { SetBase(b, 1, 2) },
		"Records, plain": func() {
			for r, err := range d.Records(b) {
				if _, ok := r.Headers.Last("id"); err != nil || ok != (r.Headers.Len() > 0) {
					t.Error(err)
				}
			}
		},
		"Records, zstd": func() {
			if _, err := lastError(&d, zipped); err != nil {
				t.Error(err)
			}
		},
	} {
		if n := testing.AllocsPerRun(100, f); n > 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func BenchmarkValidate(b *testing.B) {
	for _, test := range []struct {
		name string
		list []Record
	}{
		{"one of 100 B", []Record{{Value: make([]byte, 100)}}},
		{"1 MB of 100 B", hundreds(9400)},
	} {
		batch := build(b, sent(), test.list)
		b.Run(test.name, func(b *testing.B) {
			b.SetBytes(int64(len(batch)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Validate(batch); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkRecords(b *testing.B) {
	for _, c := range codecs() {
		h := sent()
		h.Attributes = h.Attributes.With(c)
		batch := build(b, h, hundreds(9400))
		b.Run(fmt.Sprintf("1 MB of 100 B %v", c), func(b *testing.B) {
			var d Decoder
			b.ReportAllocs()
			for b.Loop() {
				if n, err := lastError(&d, batch); err != nil || n != 9400 {
					b.Fatal(n, err)
				}
			}
		})
	}
}

func hundreds(n int) []Record {
	var list []Record
	for i := range n {
		list = append(list, Record{OffsetDelta: int32(i), Value: fmt.Appendf(nil, "%0100d", i)})
	}
	return list
}
