package compact

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/hapaxmq/hapax/broker/batch"
)

// script is a partition that a test writes by hand.
type script struct {
	*testing.T
	batches   [][]byte
	end       int64
	aborted   Transactions
	producers map[int64]Last
}

func newScript(t *testing.T) *script {
	return &script{T: t, aborted: make(Transactions), producers: make(map[int64]Last)}
}

// batch appends records, key=value or key for a tombstone.
func (s *script) batch(id int64, flags batch.Attributes, records ...string) {
	s.Helper()
	h := batch.Header{BaseOffset: s.end, Attributes: flags, BaseTimestamp: 10, ProducerID: id, ProducerEpoch: batch.None, BaseSequence: batch.None}
	if id != batch.None {
		h.ProducerEpoch, h.BaseSequence = 0, int32(s.end)
	}
	var all []batch.Record
	for i, text := range records {
		key, value, ok := strings.Cut(text, "=")
		r := batch.Record{OffsetDelta: int32(i), Key: []byte(key)}
		if ok {
			r.Value = []byte(value)
		}
		all = append(all, r)
	}
	var e batch.Encoder
	b, err := e.Append(nil, h, all)
	if err != nil {
		s.Fatal(err)
	}
	s.batches = append(s.batches, b)
	s.end += int64(len(records))
}

func (s *script) marker(id int64, commit bool) {
	s.batches = append(s.batches, batch.AppendMarker(nil, batch.Marker{Offset: s.end, Time: 10, ProducerID: id, Commit: commit}))
	s.end++
}

// pass compacts all of it, and says what is left.
func (s *script) pass(now int64) string {
	s.Helper()
	latest := NewLatest(1<<20, s.aborted)
	for _, b := range s.batches {
		latest.Add(b)
	}
	f := Filter{Latest: latest, Aborted: s.aborted, Producers: s.producers, Now: now, Retention: 100}
	var left [][]byte
	for _, b := range s.batches {
		grown, _, err := f.Append(nil, b)
		if err != nil {
			s.Fatal(err)
		}
		if len(grown) > 0 {
			left = append(left, grown)
		}
	}
	s.batches = left
	return s.String()
}

// String has a word for each batch: offsets, and what is in it.
func (s *script) String() string {
	var words []string
	var d batch.Decoder
	for _, b := range s.batches {
		h, _ := batch.ReadHeader(b) // it was written here
		var in []string
		for r, err := range d.Records(b) {
			switch {
			case err != nil:
				s.Fatal(err)
			case h.Attributes.Has(batch.Control):
				m, err := batch.ReadMarker(b)
				if err != nil {
					s.Fatal(err)
				}
				in = append(in, map[bool]string{true: "commit", false: "abort"}[m.Commit])
			case r.Value == nil:
				in = append(in, string(r.Key))
			default:
				in = append(in, fmt.Sprintf("%s=%s", r.Key, r.Value))
			}
		}
		word := fmt.Sprintf("%d-%d(%s)", h.BaseOffset, h.LastOffset(), strings.Join(in, " "))
		if h.Attributes.Has(batch.DeleteHorizon) {
			word += fmt.Sprintf("until %d", h.BaseTimestamp)
		}
		words = append(words, word)
	}
	return strings.Join(words, " ")
}

func (s *script) want(now int64, want string) {
	s.Helper()
	if got := s.pass(now); got != want {
		s.Errorf("at %d:\n%s\nwant\n%s", now, got, want)
	}
}

func TestReplacedRecordsGo(t *testing.T) {
	s := newScript(t)
	s.batch(batch.None, 0, "a=1", "b=1", "c=1")
	s.batch(batch.None, 0, "a=2", "b=2")
	s.batch(batch.None, 0, "b=3")
	s.want(10, "0-2(c=1) 3-4(a=2) 5-5(b=3)")
	s.want(10, "0-2(c=1) 3-4(a=2) 5-5(b=3)")
}

// A tombstone stays for its time from the first pass on, and takes what is before it
// away at once.
func TestTombstones(t *testing.T) {
	s := newScript(t)
	s.batch(batch.None, 0, "a=1", "b=1")
	s.batch(batch.None, 0, "a", "c=1")
	s.want(20, "0-1(b=1) 2-3(a c=1)until 120")
	s.want(119, "0-1(b=1) 2-3(a c=1)until 120")
	s.want(120, "0-1(b=1) 2-3(c=1)until 120")
	if h, _ := batch.ReadHeader(s.batches[1]); h.Newest() != 10 {
		t.Errorf("its newest record is of %d", h.Newest())
	}
}

// The marker of a transaction stays while there are batches of it, and then as long
// as a tombstone.
func TestMarkers(t *testing.T) {
	s := newScript(t)
	s.batch(7, batch.Transactional, "a=1")
	s.marker(7, true)
	s.batch(8, batch.Transactional, "a=2", "b=2")
	s.marker(8, false)
	s.aborted.Add(8, Span{2, 4})
	s.want(20, "0-0(a=1) 1-1(commit) 4-4(abort)")
	s.want(30, "0-0(a=1) 1-1(commit) 4-4(abort)until 130")
	s.batch(batch.None, 0, "a=3")
	s.want(40, "1-1(commit) 4-4(abort)until 130 5-5(a=3)")
	s.want(50, "1-1(commit)until 150 4-4(abort)until 130 5-5(a=3)")
	s.want(130, "1-1(commit)until 150 5-5(a=3)")
	s.want(150, "5-5(a=3)")
}

// The last batch of a producer that is known is kept as a header, and so is a marker
// that is the last of its epoch.
func TestLastBatchesStay(t *testing.T) {
	s := newScript(t)
	s.batch(7, 0, "a=1", "a=2")
	s.batch(7, 0, "a=3", "a=4")
	s.batch(8, 0, "a=5")
	s.marker(9, true)
	s.batch(batch.None, 0, "a=6")
	s.producers = map[int64]Last{7: {Offset: 2}, 9: {Offset: batch.None}}
	s.want(20, "2-3() 5-5(commit)until 120 6-6(a=6)")
	h, err := batch.ReadHeader(s.batches[0])
	if err != nil || h.BaseSequence != 2 || h.ProducerID != 7 || !batch.Intact(s.batches[0]) {
		t.Errorf("%+v: %v", h, err)
	}
	s.want(120, "2-3() 5-5() 6-6(a=6)")
	s.producers = nil
	s.want(130, "6-6(a=6)")
}

// Records that cannot be read stay.
func TestUnreadableBatchStays(t *testing.T) {
	s := newScript(t)
	s.batch(batch.None, 0, "a=1")
	broken := batch.AppendEmpty(nil, batch.Header{BaseOffset: 1, ProducerID: batch.None})
	broken[60] = 2 // so many records, none of which is there
	s.batches = append(s.batches, broken)
	f := Filter{Latest: NewLatest(100, nil)}
	f.Latest.Add(broken)
	left, same, err := f.Append(nil, broken)
	if !same || err != nil || !slices.Equal(left, broken) || f.Counts.Unreadable != 1 {
		t.Errorf("%d bytes, same is %v, %+v: %v", len(left), same, f.Counts, err)
	}
}

// No bytes make a panic, and what is left of a batch is one.
func FuzzFilter(f *testing.F) {
	s := newScript(new(testing.T))
	s.batch(7, batch.Transactional, "a=1", "b")
	s.batch(batch.None, batch.Attributes(batch.Zstd), "a=1", "b=2")
	s.marker(7, false)
	for _, b := range s.batches {
		f.Add(b, int64(0))
	}
	f.Fuzz(func(t *testing.T, b []byte, now int64) {
		one, _, err := batch.Next(b)
		if err != nil {
			return
		}
		latest := NewLatest(1000, nil)
		latest.Add(one)
		filter := Filter{Latest: latest, Now: now, Retention: 1000}
		left, _, err := filter.Append(nil, one)
		if err != nil || len(left) == 0 {
			return
		}
		if again, rest, err := batch.Next(left); err != nil || len(rest) > 0 || len(again) != len(left) {
			t.Fatalf("%d bytes are left, and %d of them no batch: %v", len(left), len(rest), err)
		}
	})
}
