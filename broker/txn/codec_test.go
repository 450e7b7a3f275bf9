package txn

import (
	"bytes"
	"encoding/hex"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// golden are events in every form, and the bytes that logs have of them. Bytes
// that were written must stay readable: a change needs another format version.
func golden() []struct {
	hex   string
	event *Event
} {
	return []struct {
		hex   string
		event *Event
	}{
		{"0101 d00f 00 02 00", &Event{Kind: Given, Time: 1000, Producer: Producer{1, 0}, Previous: NoProducer()}},
		{"0102 d00f 026964 0206 0101 c0a907 00 01 00 00", &Event{
			Kind: Held, Time: 1000, ID: "id", Producer: Producer{1, 3}, Previous: NoProducer(), TimeoutMs: 60000, Started: -1,
		}},
		{"0102 d00f 026964 0206 0204 c0a907 01 ce0f 02 01ffffffff0f 02 0161 0162", &Event{
			Kind: Held, Time: 1000, ID: "id", Producer: Producer{1, 3}, Previous: Producer{1, 2}, TimeoutMs: 60000,
			State: Ongoing, Started: 999, Partitions: []uint32{0, math.MaxUint32}, Groups: []string{"a", "b"},
		}},
		{"0103 d00f 026964 0206 03 020101 01 0161", &Event{
			Kind: Added, Time: 1000, ID: "id", Producer: Producer{1, 3}, Previous: NoProducer(),
			Partitions: []uint32{1, 2, 3}, Groups: []string{"a"},
		}},
		{"0104 d00f 026964 0208 0206 c0a907 01 00 0208 01 0514 01 0161 03010203", &Event{
			Kind: Ended, Time: 1000, ID: "id", Producer: Producer{1, 4}, Previous: Producer{1, 3}, TimeoutMs: 60000,
			End: &End{
				Commit: true, Marker: Producer{1, 4}, Markers: []Marker{{4, 10}},
				Groups: []GroupOffsets{{"a", []byte{1, 2, 3}}},
			},
		}},
		{"0104 d00f 026964 0400 0101 c0a907 00 02 02feff03 00 01 0161 00", &Event{
			Kind: Ended, Time: 1000, ID: "id", Producer: Producer{2, 0}, Previous: NoProducer(), TimeoutMs: 60000,
			End: &End{Cause: ByTimeout, Marker: Producer{1, math.MaxInt16}, Groups: []GroupOffsets{{"a", nil}}},
		}},
		{"0105 d00f 026964 0206", &Event{Kind: Forgotten, Time: 1000, ID: "id", Producer: Producer{1, 3}, Previous: NoProducer()}},
	}
}

func TestEventBytes(t *testing.T) {
	for _, g := range golden() {
		want, err := hex.DecodeString(strings.ReplaceAll(g.hex, " ", ""))
		if err != nil {
			t.Fatal(err)
		}
		if got := g.event.Append([]byte("x")); !bytes.Equal(got[1:], want) {
			t.Errorf("%+v:\n got %x\nwant %x", g.event, got[1:], want)
		}
		got, err := Read(want)
		if err != nil || !reflect.DeepEqual(got, g.event) {
			t.Errorf("read %x:\n got %+v, %v\nwant %+v", want, got, err, g.event)
		}
		for i := range want {
			if _, err := Read(want[:i]); err == nil {
				t.Errorf("%x is cut short, and was read", want[:i])
			}
		}
		if _, err := Read(append(want, 0)); err == nil {
			t.Errorf("%x is too long, and was read", want)
		}
	}
}

func TestEventMalformed(t *testing.T) {
	for name, text := range map[string]string{
		"another format":         "0201 d00f 00 02 00",
		"kind 0":                 "0100 d00f 026964 02 00",
		"kind 6":                 "0106 d00f 026964 02 00",
		"given to an id":         "0101 d00f 026964 02 00",
		"held without id":        "0102 d00f 00 0206 0101 c0a907 00 01 00 00",
		"nobody holds":           "0105 d00f 026964 0101",
		"epoch for markers only": "0105 d00f 026964 02 feff03",
		"id −1 with an epoch":    "0102 d00f 026964 0206 0102 c0a907 00 01 00 00",
		"long varint":            "0101 d08f00 00 02 00",
		"state 2":                "0102 d00f 026964 0206 0101 c0a907 02 01 00 00",
		"empty with partitions":  "0102 d00f 026964 0206 0101 c0a907 00 01 0101 00",
		"partition twice":        "0103 d00f 026964 0206 020100 00",
		"partition too high":     "0103 d00f 026964 0206 0201ffffffff1f 00",
		"groups not in order":    "0103 d00f 026964 0206 00 0201620161",
		"group without name":     "0103 d00f 026964 0206 00 010000",
		"count without content":  "0103 d00f 026964 0206 ffffffff0f",
		"commit 2":               "0104 d00f 026964 0208 0206 c0a907 02 00 0208 00 00",
		"commit by timeout":      "0104 d00f 026964 0208 0206 c0a907 01 02 0208 00 00",
		"cause 4":                "0104 d00f 026964 0208 0206 c0a907 00 04 0208 00 00",
		"marker of nobody":       "0104 d00f 026964 0208 0206 c0a907 00 00 0101 00 00",
	} {
		b, err := hex.DecodeString(strings.ReplaceAll(text, " ", ""))
		if err != nil {
			t.Fatal(err)
		}
		if e, err := Read(b); err == nil {
			t.Errorf("%s: read as %+v", name, e)
		}
	}
}

// What is read is what was written, in its one form; and nothing that can be
// read breaks a coordinator, alone or twice.
func FuzzRead(f *testing.F) {
	for _, g := range golden() {
		f.Add(g.event.Append(nil))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := Read(b)
		if err != nil {
			return
		}
		if again := e.Append(nil); !bytes.Equal(again, b) {
			t.Fatalf("%x was read as %+v, which is %x", b, e, again)
		}
		c := New(Settings{})
		for range 2 {
			before := stateOf(c)
			if err := c.Apply(e); err != nil && !slices.Equal(before, stateOf(c)) {
				t.Fatalf("refused (%v), and yet %s became %s", err, before, stateOf(c))
			}
			for image := range c.Snapshot() {
				if _, err := Read(image.Append(nil)); err != nil {
					t.Fatalf("snapshot of %+v: %v", image, err)
				}
			}
			for _, id := range c.TimedOut(math.MaxInt64) {
				c.DecideTimeout(id, math.MaxInt64)
			}
		}
	})
}

// TestApplyRefuses: an event that does not follow is an error, and no change.
func TestApplyRefuses(t *testing.T) {
	at := func(p Producer, e Event) *Event {
		e.ID, e.Producer = "id", p
		return &e
	}
	idle := []*Event{at(Producer{5, 3}, Event{Kind: Held, Previous: NoProducer(), Started: -1})}
	open := append(slices.Clone(idle), at(Producer{5, 3}, Event{Kind: Added, Partitions: []uint32{1}}))
	byClient := func(marker Producer) *End { return &End{Marker: marker, Markers: []Marker{{1, 0}}} }
	for name, c := range map[string]struct {
		before []*Event
		event  *Event
	}{
		"added to nothing":     {nil, at(Producer{5, 3}, Event{Kind: Added})},
		"ended of nothing":     {nil, at(Producer{5, 3}, Event{Kind: Ended, End: byClient(Producer{5, 3})})},
		"forgotten nothing":    {nil, at(Producer{5, 3}, Event{Kind: Forgotten})},
		"no such kind":         {idle, at(Producer{5, 3}, Event{Kind: 9})},
		"held by who had it":   {idle, at(Producer{5, 3}, Event{Kind: Held})},
		"held by an earlier":   {idle, at(Producer{4, 9}, Event{Kind: Held})},
		"held while open":      {open, at(Producer{5, 4}, Event{Kind: Held})},
		"added by a zombie":    {idle, at(Producer{5, 2}, Event{Kind: Added})},
		"ended by a zombie":    {open, at(Producer{5, 3}, Event{Kind: Ended, End: byClient(Producer{5, 2})})},
		"ended by a successor": {open, at(Producer{5, 5}, Event{Kind: Ended, End: byClient(Producer{5, 5})})},
		"end goes back":        {open, at(Producer{5, 2}, Event{Kind: Ended, End: byClient(Producer{5, 3})})},
		"ended twice":          {idle, at(Producer{5, 4}, Event{Kind: Ended, End: byClient(Producer{5, 4})})},
		"timed out unopened":   {idle, at(Producer{5, 4}, Event{Kind: Ended, End: &End{Cause: ByTimeout, Marker: Producer{5, 4}}})},
		"forgotten while open": {open, at(Producer{5, 3}, Event{Kind: Forgotten})},
	} {
		t.Run(name, func(t *testing.T) {
			co := New(Settings{})
			for _, e := range c.before {
				if err := co.Apply(e); err != nil {
					t.Fatal(err)
				}
			}
			before := stateOf(co)
			if err := co.Apply(c.event); err == nil {
				t.Error("it was applied")
			}
			if after := stateOf(co); !slices.Equal(before, after) {
				t.Errorf("%s became %s", before, after)
			}
		})
	}
}
