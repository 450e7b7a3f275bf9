package group

import (
	"reflect"
	"strings"
	"testing"
)

func samples() []Event {
	topic := [16]byte{1, 2, 15: 3}
	return []Event{
		Generated{Group: "g", Generation: 1, ProtocolType: "consumer", EmptySince: -1},
		Generated{Generation: -1 << 31, EmptySince: 1 << 62},
		Committed{Group: "g", Producer: NoProducer, Offsets: []Offset{
			{Partition: Partition{topic, 7}, Offset: 1 << 40, LeaderEpoch: -1, Metadata: "héllo", At: 1_700_000_000_000},
			{Partition: Partition{topic, 8}, At: 1_700_000_000_000, Expires: 1_700_000_060_000},
		}},
		Committed{Group: "g", Producer: 12},
		Ended{Producer: 12, Commit: true},
		Ended{Producer: 13},
		OffsetsDeleted{Group: "g", Partitions: []Partition{{topic, 0}, {topic, -1}}},
		OffsetsDeleted{},
		Deleted{Group: strings.Repeat("long", 100)},
		TopicDeleted{Topic: topic},
		Floor{Generation: 9},
		Changed{
			Group: "g", Epoch: 4, TargetEpoch: 3, Basis: 1 << 60, At: 1_700_000_000_000, Left: []string{"a", ""},
			Profiles: []Profile{
				{Member: "b", Instance: "i", Rack: "r", ClientID: "c", ClientHost: "/h", RebalanceTimeout: 60_000, Topics: []string{"t", "u"}, Assignor: Uniform},
				{Member: "c", Pattern: "x.*"},
			},
			Targets: []Target{{"b", []Partition{{topic, 0}, {topic, 7}, {[16]byte{9}, 1}}}, {"c", nil}},
			Holdings: []Moved{
				{"b", Holding{Epoch: 3, Previous: 2, Stage: Revoking, Assigned: []Held{{Partition{topic, 0}, 2}}, Revoking: []Held{{Partition{topic, 1}, 1}, {Partition{Index: 4}, 1}}}},
				{"c", Holding{Epoch: -2}},
			},
		},
		Changed{},
		Configured{Group: "g", Own: Own{ConsumerSession: 60_000, ConsumerInterval: 15_000}},
		Configured{},
	}
}

func TestEventsReadBack(t *testing.T) {
	for _, want := range samples() {
		b := want.Append([]byte("before"))[len("before"):]
		got, err := Read(b)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%+v reads as %+v, %v", want, got, err)
		}
		for n := range b {
			if e, err := Read(b[:n]); err == nil {
				t.Errorf("%d of %d bytes read as %+v", n, len(b), e)
			}
		}
		if e, err := Read(append(b, 0)); err == nil {
			t.Errorf("a byte too many reads as %+v", e)
		}
	}
}

func FuzzRead(f *testing.F) {
	for _, e := range samples() {
		f.Add(e.Append(nil))
	}
	f.Add([]byte{kindCommitted, 0, 1, 255, 255, 255, 255, 15})
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := Read(b)
		if err != nil {
			return
		}
		again, err := Read(e.Append(nil))
		if err != nil || !reflect.DeepEqual(again, e) {
			t.Fatalf("%+v reads back as %+v, %v", e, again, err)
		}
		s := New(Defaults())
		s.Apply(e) // whatever it says
		for snap := range s.Snapshot() {
			if _, err := Read(snap.Append(nil)); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func FuzzSubscribed(f *testing.F) {
	f.Add([]byte("\x00\x01\x00\x00\x00\x02\x00\x01a\x00\x02bc\xff"))
	f.Add([]byte("\x00\x01\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, b []byte) {
		names, ok := subscribed(b)
		total := 6
		for _, name := range names {
			total += 2 + len(name)
		}
		if ok && total > len(b) {
			t.Fatalf("%d bytes have names of %d", len(b), total)
		}
	})
}
