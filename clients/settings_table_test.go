package clients

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// kind is what a record is to those before it.
type kind string

const (
	fresh     kind = "fresh"
	again     kind = "again"     // the same content, which may be in other words
	conflict  kind = "conflict"  // the same id, and another value
	unnamed   kind = "missing"   // it has no id
	elsewhere kind = "elsewhere" // a known id, in another scope
)

// fate is what becomes of a record.
type fate int

const (
	gone fate = iota
	kept
	marked  // kept, with a header that names the first
	aside   // in the topic of copies
	refused // the producer is told
)

// setting is a topic with settings.
type setting struct {
	name   string
	set    string                                 // separated by semicolons, without "hapax."; what is not said is header:id, and an hour
	record func(event int, kind kind) *kgo.Record // default byHeader; nil: there is none of the kind

	again, conflict fate
	strict          bool // what has no id is refused
	narrow          bool // the scope is a partition
	span            int  // how many ids are remembered; 0: all
	renewed         bool

	window []sight // the next to leave first
	away   map[int]bool
	events int
	count  int // of records

	plain  *kgo.Client    // not idempotent: one refused record does not hold it up
	others [2]*kgo.Client // by turns, as producers that know nothing of each other
	done   []planned
}

// sight is an event that a window remembers.
type sight struct {
	event     int
	partition int32
}

// planned is a record that is to be written, and what becomes of it.
type planned struct {
	*kgo.Record
	label string
	fate  fate
}

func settings() []*setting {
	return []*setting{
		{name: "header"},
		{name: "key", set: "identity=key", record: byKey},
		{name: "value", set: "identity=value", record: byValue},
		{name: "json", set: "identity=json:order.id,line", record: byJSON},
		{name: "cloudevents", set: "identity=cloudevents", record: byAttributes},
		{name: "cloudevents-structured", set: "identity=cloudevents", record: byEvent},
		{name: "composite", set: "identity=key+header:id", record: byBoth},
		{name: "fallback", set: "identity=header:id|key", record: byEither},
		{name: "count", set: "window.count=20", span: 20},
		{name: "bytes", set: "window.bytes=100000000"},
		{name: "bounds", set: "window.ms=3600000;window.count=100000;window.bytes=100000000"},
		{name: "renewed", set: "window.kind=renewed;window.count=20", record: without(conflict), span: 20, renewed: true},
		{name: "tumbling", set: "window.kind=tumbling;window.count=100000"},
		{name: "partition", set: "scope=partition", record: byPartition, narrow: true},
		{name: "tenant", set: "scope=header:tenant", record: byTenant},
		{name: "tenant-json", set: "scope=json:tenant", record: byTenantInside},
		{name: "mark", set: "duplicates=mark", again: marked},
		{name: "aside", set: "duplicates=topic:aside-aside", again: aside},
		{name: "reject", set: "duplicates=reject", again: refused},
		{name: "conflicts-accept", set: "conflicts=accept", conflict: kept},
		{name: "conflicts-aside", set: "conflicts=topic:conflicts-aside-aside", conflict: aside},
		{name: "conflicts-reject", set: "conflicts=reject", conflict: refused},
		{name: "missing-reject", set: "missing=reject", strict: true},
		{name: "shadow", set: "mode=shadow", again: kept, conflict: kept},
		{name: "evict", set: "window.full=evict;window.disk.bytes=100000000"},
		{name: "disk", set: "window.memory.bytes=67108864;window.disk.bytes=100000000"},
	}
}

// settings are the topic's.
func (x *setting) settings() map[string]string {
	all := map[string]string{"hapax.identity": "header:id"}
	if !strings.Contains(x.set, "window.count") && !strings.Contains(x.set, "window.bytes") {
		all["hapax.window.ms"] = "3600000"
	}
	for one := range strings.SplitSeq(x.set, ";") {
		if name, value, ok := strings.Cut(one, "="); ok {
			all["hapax."+name] = value
		}
	}
	return all
}

func (x *setting) aside() string { return x.name + "-aside" }

// plan is what is written in a round: all kinds of records, to one partition.
func (x *setting) plan(round int) (all []planned) {
	p := int32(round % 2)
	for range 3 {
		all = x.add(all, p, x.events, fresh)
		x.events++
		if old := x.old(p); old >= 0 {
			all = x.add(all, p, old, again)
			all = x.add(all, p, x.old(p), elsewhere)
			all = x.add(all, p, x.old(p), conflict)
		}
		all = x.add(all, p, x.events, unnamed)
	}
	return all
}

// old is an event that was written: in the partition, if that is the scope.
func (x *setting) old(partition int32) int {
	var known []int
	for _, s := range x.window {
		if !x.narrow || s.partition == partition {
			known = append(known, s.event)
		}
	}
	if x.span > 0 && x.count%3 == 0 {
		return x.count % x.events // which may have left
	}
	if len(known) == 0 {
		return -1
	}
	return known[x.count%len(known)]
}

func (x *setting) add(all []planned, partition int32, event int, k kind) []planned {
	record := x.record
	if record == nil {
		record = byHeader
	}
	if k == elsewhere {
		if x.away[event] {
			return all // it is known there too
		}
		x.away[event] = true
		if x.narrow {
			partition = 1 - partition
		}
	}
	r := record(event, k)
	if r == nil {
		return all
	}
	x.count++
	label := fmt.Sprint(event, "-", k, "-", x.count)
	r.Topic, r.Partition = x.name, partition
	r.Headers = append(r.Headers, kgo.RecordHeader{Key: "label", Value: []byte(label)})
	return append(all, planned{r, label, x.judge(event, partition, k)})
}

// judge tells what becomes of a record, and remembers it.
func (x *setting) judge(event int, partition int32, k kind) fate {
	switch k {
	case unnamed:
		if x.strict {
			return refused
		}
		return kept
	case elsewhere:
		return kept
	}
	at := slices.IndexFunc(x.window, func(s sight) bool { return s.event == event })
	if at < 0 {
		x.window = append(x.window, sight{event, partition})
		if x.span > 0 && len(x.window) > x.span {
			x.window = x.window[1:]
		}
		return kept
	}
	if x.renewed {
		x.window = append(slices.Delete(x.window, at, at+1), sight{event, partition})
	}
	if k == conflict {
		return x.conflict
	}
	return x.again
}

// open makes the producers.
func (x *setting) open(n *node) {
	codecs := []kgo.CompressionCodec{kgo.NoCompression(), kgo.GzipCompression(), kgo.SnappyCompression(), kgo.Lz4Compression(), kgo.ZstdCompression()}
	opts := []kgo.Opt{kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerBatchCompression(codecs[len(x.name)%len(codecs)])}
	x.others = [2]*kgo.Client{n.client(opts...), n.client(opts...)}
	for _, c := range x.others { // franz-go gives up if its connection ends just then
		if _, _, err := c.ProducerID(n.Context()); err != nil {
			n.Fatal(err)
		}
	}
	x.plain = n.client(append(opts, kgo.DisableIdempotentWrite())...)
}

// write writes the topic, and tells of each round. What is to be refused is written alone.
func (x *setting) write(ctx context.Context, stepped chan<- struct{}) error {
	for round := range rounds {
		var batch []*kgo.Record
		var alone []planned
		plan := x.plan(round)
		for _, r := range plan {
			if r.fate == refused {
				alone = append(alone, r)
			} else {
				batch = append(batch, r.Record)
			}
		}
		if err := x.others[round/2%2].ProduceSync(ctx, batch...).FirstErr(); err != nil {
			return fmt.Errorf("write %s: %w", x.name, err)
		}
		for _, r := range alone {
			if err := x.plain.ProduceSync(ctx, r.Record).FirstErr(); !errors.Is(err, kerr.InvalidRecord) {
				return errors.Join(fmt.Errorf("%s does not refuse %s as it is to", x.name, r.label), err)
			}
		}
		x.done = append(x.done, plan...)
		stepped <- struct{}{}
	}
	return nil
}

// writeLast ends all partitions.
func (x *setting) writeLast(ctx context.Context) error {
	for p := range int32(2) {
		r := x.add(nil, p, x.events, fresh)[0]
		x.events++
		r.label, r.Headers[len(r.Headers)-1].Value = last, []byte(last)
		if err := x.plain.ProduceSync(ctx, r.Record).FirstErr(); err != nil {
			return fmt.Errorf("end %s: %w", x.name, err)
		}
		x.done = append(x.done, r)
		if !strings.Contains(x.set, "=topic:") {
			continue
		}
		end := &kgo.Record{Topic: x.aside(), Partition: p, Headers: []kgo.RecordHeader{{Key: "label", Value: []byte(last)}}}
		if err := x.plain.ProduceSync(ctx, end).FirstErr(); err != nil {
			return fmt.Errorf("end %s: %w", x.aside(), err)
		}
	}
	return nil
}

// check compares what the topic holds with what was planned.
func (x *setting) check(t *testing.T, stored []told, isMarked map[string]bool) {
	t.Helper()
	for p := range 2 {
		var want, got []string
		for _, r := range x.done {
			if r.Partition == int32(p) && (r.fate == kept || r.fate == marked) {
				want = append(want, r.label)
			}
			if is := isMarked[r.label+" of "+x.name]; is != (r.fate == marked) {
				t.Errorf("%s: %s is marked: %v", x.name, r.label, is)
			}
		}
		for _, s := range stored {
			if s.topic == x.name && s.partition == p {
				got = append(got, s.label)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s %d holds\n%v\nwant\n%v", x.name, p, got, want)
		}
	}
	var want, got []string
	for _, r := range x.done {
		if r.fate == aside {
			want = append(want, r.label)
		}
	}
	for _, s := range stored {
		if s.topic == x.aside() && s.label != last {
			got = append(got, s.label)
		}
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("%s holds\n%v\nwant\n%v", x.aside(), got, want)
	}
}
