package batch

import (
	"bytes"
	"testing"

	"github.com/hapaxmq/hapax/broker/code"
)

// Recoding changes how records are compressed, and nothing of them.
func TestRecoder(t *testing.T) {
	var r Recoder
	h := sent()
	h.Attributes, h.BaseOffset, h.LeaderEpoch = Transactional, 99, 7
	list := records(9)
	for _, from := range codecs() {
		h.Attributes = h.Attributes.With(from)
		b := build(t, h, list)
		for _, to := range codecs() {
			before := []byte("before")
			got, err := r.Append(before, b, to)
			if err != nil || !bytes.HasPrefix(got, before) {
				t.Fatalf("%v to %v: %v", from, to, err)
			}
			got = got[len(before):]
			if _, err := Validate(got); err != nil {
				t.Errorf("%v to %v: %v", from, to, err)
			}
			want := h
			want.Attributes = h.Attributes.With(to)
			if !bytes.Equal(build(t, want, read(t, got)), build(t, want, list)) {
				t.Errorf("%v to %v: other records", from, to)
			}
			a, _ := ReadHeader(got)
			was, _ := ReadHeader(b)
			was.Attributes, was.Length, was.CRC = want.Attributes, a.Length, a.CRC
			if a != was {
				t.Errorf("%v to %v: header %+v, want %+v", from, to, a, was)
			}
		}
	}
}

func TestRecoderRefuses(t *testing.T) {
	h := sent()
	h.Attributes = h.Attributes.With(Zstd)
	whole := build(t, h, records(4))
	for _, test := range []struct {
		name string
		b    []byte
		most int
	}{
		{"nothing compressed", wrap(Attributes(Gzip), 0, 1, []byte("no gzip")), 0},
		{"fewer records", wrap(0, 1, 2, build(t, sent(), records(1))[HeaderSize:]), 0},
		{"more records", wrap(0, 0, 1, build(t, sent(), records(2))[HeaderSize:]), 0},
		{"too large", whole, 100},
		{"cut off", whole[:len(whole)-1], 0},
	} {
		r := Recoder{Decoder: Decoder{Most: test.most}}
		got, err := r.Append([]byte("kept"), test.b, LZ4)
		if code.Of(err) != code.InvalidRecord || string(got) != "kept" {
			t.Errorf("%s: %q, %v", test.name, got, err)
		}
	}
}

// FuzzRecoder: what is recoded is what was there, and anything else is refused.
func FuzzRecoder(f *testing.F) {
	for _, c := range codecs() {
		h := sent()
		h.Attributes = h.Attributes.With(c)
		f.Add(uint8(c), uint8(Zstd-c), int32(3), build(f, h, records(4))[HeaderSize:])
	}
	f.Fuzz(func(t *testing.T, from, to uint8, count int32, payload []byte) {
		b := wrap(Attributes(0).With(Codec(from)), count, count+1, payload)
		d := Decoder{Most: 1 << 20}
		var list []Record
		var wrong error
		for r, err := range d.Records(b) {
			list, wrong = append(list, r), err
		}
		r := Recoder{Decoder: Decoder{Most: 1 << 20}}
		got, err := r.Append(nil, b, Codec(to%5))
		if (err == nil) != (wrong == nil) {
			t.Fatalf("recoded: %v, read: %v", err, wrong)
		}
		if err == nil && len(read(t, got)) != len(list) {
			t.Fatalf("%d records of %d", len(read(t, got)), len(list))
		}
	})
}

// Editing keeps what it does not touch, byte by byte.
func TestEdit(t *testing.T) {
	var r Recoder
	for _, c := range codecs() {
		h := sent()
		h.Attributes = h.Attributes.With(c)
		b := build(t, h, records(4))
		body, err := r.Open(b)
		if err != nil {
			t.Fatal(err)
		}
		same, err := r.Edit(nil, &body, func(int32) Edit { return Keep }, nil)
		if err != nil || !bytes.Equal(body.records, opened(t, same)) {
			t.Errorf("%v: nothing edited: %v", c, err)
		}
		none, err := r.Edit(nil, &body, func(int32) Edit { return Drop }, nil)
		if err != nil || !bytes.Equal(none, AppendEmpty(nil, body.Header)) {
			t.Errorf("%v: all dropped: %v", c, err)
		}
		edited, err := r.Edit(nil, &body, func(delta int32) Edit {
			switch delta {
			case 1:
				return Drop
			case 2:
				return Replace
			}
			return Keep
		}, func(r *Record) {
			r.Headers = r.Headers.With(RecordHeader{Key: []byte("mark"), Value: []byte("2")})
		})
		if err != nil {
			t.Fatal(err)
		}
		got := read(t, edited)
		if len(got) != 3 || got[1].OffsetDelta != 2 || got[2].OffsetDelta != 3 {
			t.Fatalf("%v: %v", c, got)
		}
		if value, ok := got[1].Headers.First("mark"); !ok || string(value) != "2" {
			t.Errorf("%v: mark %q, %v", c, value, ok)
		}
		if _, ok := got[2].Headers.First("mark"); ok {
			t.Errorf("%v: another record has the mark", c)
		}
		if now, _ := ReadHeader(edited); now.LastOffsetDelta != 3 || now.BaseSequence != body.BaseSequence || now.Count != 3 || !Intact(edited) {
			t.Errorf("%v: %+v", c, now)
		}
	}
}

// opened are the bytes of a batch's records.
func opened(t *testing.T, b []byte) []byte {
	t.Helper()
	body, err := new(Decoder).Open(b)
	if err != nil {
		t.Fatal(err)
	}
	return body.records
}
