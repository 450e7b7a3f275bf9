package group

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/hapaxmq/hapax/broker/code"
)

// past is all events of a log, from which the offsets can be told the long way.
type past []Event

// offset is what a partition has: what was said last, among what was said outside
// of transactions and in those that committed. It is stable if no open
// transaction said something after it.
func (p past) offset(name string, at Partition) (offset int64, stable bool) {
	offset, stable = -1, true
	for i, e := range p {
		switch e := e.(type) {
		case Committed:
			j := slices.IndexFunc(e.Offsets, func(o Offset) bool { return o.Partition == at })
			if e.Group != name || j < 0 {
				continue
			}
			committed, open := p[i+1:].fate(e.Producer)
			again := p[i+1:].again(e, at)
			switch {
			case committed && !again:
				offset, stable = e.Offsets[j].Offset, true
			case open && !again:
				stable = false
			}
		case OffsetsDeleted:
			if e.Group == name && slices.Contains(e.Partitions, at) {
				offset, stable = -1, true
			}
		case Deleted:
			if e.Group == name {
				offset, stable = -1, true
			}
		case TopicDeleted:
			if e.Topic == at.Topic {
				offset, stable = -1, true
			}
		}
	}
	return offset, stable
}

// fate is how a transaction went on.
func (p past) fate(producer int64) (committed, open bool) {
	if producer < 0 {
		return true, false
	}
	for _, e := range p {
		if e, ok := e.(Ended); ok && e.Producer == producer {
			return e.Commit, false
		}
	}
	return false, true
}

// again reports whether the same transaction named the partition once more.
func (p past) again(said Committed, at Partition) bool {
	if said.Producer < 0 {
		return false
	}
	for _, e := range p {
		switch e := e.(type) {
		case Ended:
			if e.Producer == said.Producer {
				return false
			}
		case Committed:
			if e.Producer == said.Producer && e.Group == said.Group &&
				slices.ContainsFunc(e.Offsets, func(o Offset) bool { return o.Partition == at }) {
				return true
			}
		}
	}
	return false
}

// books are groups beside all that ever happened to them.
type books struct {
	groups *Groups
	log    past
}

func (b *books) append(e Event) {
	if e != nil {
		b.log = append(b.log, e)
		b.groups.Apply(e)
	}
}

func drawGroup(t *rapid.T) string { return rapid.SampledFrom([]string{"a", "b"}).Draw(t, "group") }

func drawTopic(t *rapid.T) [16]byte {
	return [16]byte{byte(rapid.IntRange(1, 2).Draw(t, "topic"))}
}

func drawPartition(t *rapid.T) Partition {
	return Partition{drawTopic(t), int32(rapid.IntRange(0, 1).Draw(t, "index"))}
}

func (b *books) commit(t *rapid.T) {
	r := CommitRequest{Group: drawGroup(t), Generation: -1, Producer: rapid.Int64Range(-2, 2).Draw(t, "producer"), Retention: -1}
	for _, p := range rapid.SliceOfNDistinct(rapid.Custom(drawPartition), 1, 3, rapid.ID[Partition]).Draw(t, "partitions") {
		r.Offsets = append(r.Offsets, Offset{Partition: p, Offset: int64(len(b.log))})
	}
	codes, e := b.groups.DecideCommit(r, 0)
	if e == nil {
		t.Fatal(codes)
	}
	b.append(e)
}

func (b *books) remove(t *rapid.T) {
	p := drawPartition(t)
	_, _, e := b.groups.DecideDeleteOffsets(DeleteOffsets{Group: drawGroup(t), Topics: []DeleteTopic{{ID: p.Topic, Partitions: []int32{p.Index}}}})
	b.append(e)
}

func (b *books) check(t *rapid.T) {
	for _, name := range []string{"a", "b"} {
		for n := range 4 {
			p := Partition{[16]byte{byte(1 + n/2)}, int32(n % 2)}
			offset, stable := b.log.offset(name, p)
			got := fetchOne(b.groups, name, p, false).Offset
			settled := fetchOne(b.groups, name, p, true).Code == code.None
			if got != offset || settled != stable {
				t.Fatalf("%s has %d of %v, stable %v; its log says %d, stable %v\n%+v", name, got, p, settled, offset, stable, b.log)
			}
		}
	}
	for producer, spots := range b.groups.open {
		if len(spots) == 0 {
			t.Fatalf("nothing of producer %d is kept", producer)
		}
	}
}

func TestOffsetsAreWhatTheLogSays(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := &books{groups: New(Defaults())}
		t.Repeat(map[string]func(*rapid.T){
			"":         b.check,
			"commit":   b.commit,
			"commit 2": b.commit,
			"commit 3": b.commit,
			"end": func(t *rapid.T) {
				b.append(Ended{Producer: rapid.Int64Range(0, 2).Draw(t, "producer"), Commit: rapid.Bool().Draw(t, "commit")})
			},
			"delete offsets": b.remove,
			"delete group": func(t *rapid.T) {
				_, e := b.groups.DecideDelete(drawGroup(t))
				b.append(e)
			},
			"delete topic": func(t *rapid.T) { b.append(TopicDeleted{drawTopic(t)}) },
			"replay": func(*rapid.T) {
				b.groups = New(Defaults())
				for _, e := range b.log {
					b.groups.Apply(e)
				}
			},
			"snapshot": func(*rapid.T) {
				again := New(Defaults())
				for e := range b.groups.Snapshot() {
					again.Apply(e)
				}
				b.groups = again
			},
		})
	})
}

func TestCommitIsRefused(t *testing.T) {
	set := Defaults()
	set.MaxGroups, set.MaxGroupName, set.MaxOffsetMetadata = 1, 1, 3
	s := New(set)
	offset := func(text string) Offset { return Offset{Offset: 5, LeaderEpoch: 2, Metadata: text} }
	codes, e := s.DecideCommit(CommitRequest{Group: "g", Generation: -1, Producer: NoProducer, Retention: -1,
		Offsets: []Offset{offset("four"), offset("abc")}}, 7)
	if fmt.Sprint(codes) != "[OFFSET_METADATA_TOO_LARGE NONE]" {
		t.Errorf("codes %v", codes)
	}
	s.Apply(e)
	if got := fmt.Sprint(fetch(s, FetchRequest{Group: "g", Partitions: []Partition{{}, {Index: 9}}, Stable: true})); got != "[{{[0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0] 0} NONE 5 2 abc} {{[0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0] 9} NONE -1 -1 }]" {
		t.Errorf("fetched %v", got)
	}
	for _, test := range []struct {
		name string
		r    CommitRequest
		want code.Error
	}{
		{"only text that is too long", CommitRequest{Group: "g", Generation: -1, Producer: NoProducer, Offsets: []Offset{offset("four")}}, code.OffsetMetadataTooLarge},
		{"a group's id too long", CommitRequest{Group: "hh", Generation: -1, Producer: NoProducer}, code.InvalidGroupID},
		{"one group too many", CommitRequest{Group: "h", Generation: -1, Producer: NoProducer}, code.PolicyViolation},
		{"no such group, version 8", CommitRequest{Version: 8, Group: "h", Generation: 1, Producer: NoProducer}, code.IllegalGeneration},
		{"no such group, version 9", CommitRequest{Version: 9, Group: "h", Generation: 1, Producer: NoProducer}, code.GroupIDNotFound},
		{"no such group, in a transaction", CommitRequest{Version: 9, Group: "h", Generation: 1, Producer: 1}, code.IllegalGeneration},
		{"no group, in a transaction", CommitRequest{Generation: -1, Producer: 1}, code.InvalidGroupID},
		{"unknown member", CommitRequest{Group: "g", Generation: 0, Member: "m", Producer: NoProducer}, code.UnknownMemberID},
		{"unknown instance, in a transaction", CommitRequest{Group: "g", Generation: 0, Instance: "i", Producer: 1}, code.UnknownMemberID},
	} {
		t.Run(test.name, func(t *testing.T) {
			if test.r.Offsets == nil {
				test.r.Offsets = []Offset{offset("")}
			}
			if codes, e := s.DecideCommit(test.r, 8); codes[0] != test.want || e != nil {
				t.Errorf("%v, %v; want %v", codes, e, test.want)
			}
		})
	}
}

func TestExpiry(t *testing.T) {
	const day = 24 * 3_600_000
	commit := func(s *Groups, index int32, retention, at int64) {
		_, e := s.DecideCommit(CommitRequest{Group: "g", Generation: -1, Producer: NoProducer, Retention: retention,
			Offsets: []Offset{{Partition: Partition{Index: index}}}}, at)
		s.Apply(e)
	}
	for _, test := range []struct {
		name string
		do   func(s *Groups)
		at   int64
		want string
	}{
		{"without members each counts from its commit", func(s *Groups) { commit(s, 0, -1, 0); commit(s, 1, -1, day) }, 7 * day, "[{g [{[0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0] 0}]}]"},
		{"and the group goes with the last", func(s *Groups) { commit(s, 0, -1, 0); commit(s, 1, -1, day) }, 8 * day, "[{g}]"},
		{"not before", func(s *Groups) { commit(s, 0, -1, 0) }, 7*day - 1, "[]"},
		{"the reader's own time", func(s *Groups) { commit(s, 0, day, 0) }, day, "[{g}]"},
		{"from when the group became empty", func(s *Groups) {
			commit(s, 0, -1, 0)
			s.Apply(Generated{Group: "g", Generation: 1, ProtocolType: "consumer", EmptySince: 3 * day})
		}, 10*day - 1, "[]"},
		{"from the start of a broker that had members", func(s *Groups) {
			commit(s, 0, -1, 0)
			s.Apply(Generated{Group: "g", Generation: 1, ProtocolType: "consumer", EmptySince: -1})
			s.Recovered(2 * day)
		}, 9 * day, "[{g}]"},
		{"not with members", func(s *Groups) {
			commit(s, 0, -1, 0)
			s.Join(1, joinRequest(), day)
		}, 30 * day, "[]"},
		{"not with a transaction", func(s *Groups) {
			commit(s, 0, -1, 0)
			s.Apply(Committed{Group: "g", Producer: 1, Offsets: []Offset{{}}})
		}, 30 * day, "[]"},
		{"with nothing left", func(s *Groups) { commit(s, 0, -1, 0); s.Apply(TopicDeleted{}) }, 1, "[{g}]"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := New(Defaults())
			test.do(s)
			if got := fmt.Sprint(s.DecideExpire(test.at)); got != test.want && !(got == "[]" && test.want == "[]") {
				t.Errorf("expires %s, want %s", got, test.want)
			}
		})
	}
}

func TestDeleteOffsets(t *testing.T) {
	s := New(Defaults())
	s.Apply(Committed{Group: "g", Producer: NoProducer, Offsets: []Offset{{Partition: Partition{Topic: [16]byte{1}}}, {Partition: Partition{Topic: [16]byte{2}}}}})
	r := DeleteOffsets{Group: "g", Topics: []DeleteTopic{{ID: [16]byte{1}, Name: "read", Partitions: []int32{0, 5}}, {ID: [16]byte{2}, Name: "unread", Partitions: []int32{0}}}}
	join := joinRequest()
	join.Protocols[0].Metadata = []byte("\x00\x01\x00\x00\x00\x01\x00\x04read\xff\xff\xff\xff")
	s.Join(1, join, 0)
	s.Tick(3_000)
	c, codes, e := s.DecideDeleteOffsets(r)
	if got := fmt.Sprint(c, codes, e); got != "NONE [GROUP_SUBSCRIBED_TO_TOPIC NONE] {g [{[2 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0] 0}]}" {
		t.Error(got)
	}
	join.Version, join.Member, join.Protocols[0].Metadata = 0, "c-1", []byte("who knows")
	s.Join(2, join, 3_000)
	if _, codes, e = s.DecideDeleteOffsets(r); fmt.Sprint(codes) != "[GROUP_SUBSCRIBED_TO_TOPIC GROUP_SUBSCRIBED_TO_TOPIC]" || e != nil {
		t.Error(codes, e)
	}
	for name, want := range map[string]code.Error{"": code.InvalidGroupID, "h": code.GroupIDNotFound} {
		if c, _, _ := s.DecideDeleteOffsets(DeleteOffsets{Group: name}); c != want {
			t.Errorf("%q: %v", name, c)
		}
	}
	other := joinRequest()
	other.Group, other.ProtocolType = "w", "connect"
	s.Join(3, other, 0)
	if c, _, _ := s.DecideDeleteOffsets(DeleteOffsets{Group: "w"}); c != code.NonEmptyGroup {
		t.Errorf("a group of another kind: %v", c)
	}
}

// TestSnapshotInParts: no event of a snapshot is large, and a reader may stop.
func TestSnapshotInParts(t *testing.T) {
	s := New(Defaults())
	for n := range int32(2*snapshotPart + 1) {
		s.Apply(Committed{Group: "g", Producer: NoProducer, Offsets: []Offset{{Partition: Partition{Index: n}, Offset: int64(n)}}})
	}
	s.Apply(Committed{Group: "g", Producer: 1, Offsets: []Offset{{Offset: 9}}})
	again, events := New(Defaults()), 0
	for e := range s.Snapshot() {
		events++
		if c, ok := e.(Committed); ok && len(c.Offsets) > snapshotPart {
			t.Errorf("%d offsets in one event", len(c.Offsets))
		}
		again.Apply(e)
	}
	if events != 6 || !slices.Equal(fetchAll(again, "g", true), fetchAll(s, "g", true)) || len(fetchAll(again, "g", false)) != 2*snapshotPart+1 {
		t.Errorf("%d events: %v", events, fetchAll(again, "g", true))
	}
	for most := range events {
		seen := 0
		for range s.Snapshot() {
			if seen++; seen > most {
				break
			}
		}
	}
}

// fetch, fetchAll and fetchOne fetch as who is nobody's member.
func fetch(s *Groups, r FetchRequest) []Fetched {
	r.Epoch = -1
	_, all := s.Fetch(r)
	return all
}

func fetchAll(s *Groups, name string, stable bool) []Fetched {
	return fetch(s, FetchRequest{Group: name, All: true, Stable: stable})
}

func fetchOne(s *Groups, name string, p Partition, stable bool) Fetched {
	return fetch(s, FetchRequest{Group: name, Partitions: []Partition{p}, Stable: stable})[0]
}
