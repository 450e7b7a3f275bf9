package clients

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
)

// TestCodecs: what each client writes with each codec, idempotently, is read by it
// and by franz-go where it was acknowledged, in the order in which it was written;
// and that codec is used.
func TestCodecs(t *testing.T) {
	t.Parallel()
	n := start(t)
	each(t, "produce", func(t *testing.T, c client) {
		const each = 1000
		n := &node{T: t, address: n.address}
		topic := "codecs-" + c.name
		n.topic(topic, 3)
		acked := map[int]record{}
		codecs := strings.Fields(c.codecs)
		lines := c.run(t, n, append([]string{"produce", topic, strconv.Itoa(each)}, codecs...)...).finish()
		for _, r := range parse(t, "wrote", lines) {
			if _, twice := acked[r.number]; twice {
				t.Errorf("%d was acknowledged twice", r.number)
			}
			r.key, r.codec = fmt.Sprint("k", r.number%10), codecs[r.number/each]
			acked[r.number] = r
		}
		count := len(codecs) * each
		if len(acked) != count {
			t.Fatalf("%d acknowledged, of %d written", len(acked), count)
		}
		read := parse(t, "read", c.run(t, n, "consume", topic, strconv.Itoa(count)).finish())
		checkRead(t, c.name, read, acked)
		checkRead(t, "franz-go", stored(n, topic, codecs, count), acked)
	})
}

// stored is the records of a topic, in which each codec must have been used. A
// client may leave a batch as it is if it would not get smaller.
func stored(n *node, topic string, codecs []string, count int) (all []record) {
	n.Helper()
	batches := map[string]bool{} // codecs that batches have
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	reader := n.client(kgo.ConsumeTopics(topic))
	for len(all) < count {
		fetches := reader.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			n.Fatalf("read %s: %v", topic, err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			number, err := strconv.Atoi(string(r.Value))
			if err != nil {
				n.Errorf("offset %d of %s holds %q", r.Offset, topic, r.Value)
			}
			codec := string(r.Headers[0].Value)
			used := []string{"none", "gzip", "snappy", "lz4", "zstd"}[r.Attrs.CompressionType()]
			if used != codec && used != "none" {
				n.Errorf("offset %d of %s has codec %s, not %s", r.Offset, topic, used, codec)
			}
			batches[used] = true
			all = append(all, record{int(r.Partition), r.Offset, number, string(r.Key), codec})
		})
	}
	for _, codec := range codecs {
		if !batches[codec] {
			n.Errorf("no batch of %s has codec %s", topic, codec)
		}
	}
	return all
}

// checkRead demands of what was read: all that was acknowledged, where it was, in
// order.
func checkRead(t *testing.T, reader string, read []record, acked map[int]record) {
	t.Helper()
	if len(read) != len(acked) {
		t.Errorf("%s read %d records, want %d", reader, len(read), len(acked))
	}
	next := map[int]record{}
	for _, r := range read {
		if want := acked[r.number]; r != want {
			t.Fatalf("%s read %+v, which was acknowledged as %+v", reader, r, want)
		}
		if last, ok := next[r.partition]; ok && (r.offset <= last.offset || r.number <= last.number) {
			t.Fatalf("%s read %+v after %+v", reader, r, last)
		}
		next[r.partition] = r
	}
}

// TestAdmin: each client makes, describes, changes and deletes a topic and a group.
// A client may lack a line, but not tell another.
func TestAdmin(t *testing.T) {
	t.Parallel()
	want := []string{
		"create ok",
		"create again 36", // TOPIC_ALREADY_EXISTS
		"topic 2",         // partitions
		"partitions 4",    // after it was given two more
		"config retention.ms=1000000",
		"config retention.ms=2000000", // after it was altered
		"group Empty",
		"groups listed",
		"offset 0=7",      // of the group in partition 0, as it was set
		"offset 0=3",      // after it was altered
		"offset 0=none",   // after it was deleted
		"records 5",       // the first offset of partition 0 after those before were deleted, of 10
		"group deleted",   // and then
		"group Dead",      // it is described as such
		"delete ok",       // the topic, which then
		"topic 3 unknown", // is UNKNOWN_TOPIC_OR_PARTITION
	}
	if *apache {
		t.Skip("Kafka shows some changes a moment after it acknowledged them, which clients do not wait for")
	}
	n := start(t)
	each(t, "admin", func(t *testing.T, c client) {
		n := &node{T: t, address: n.address}
		told := c.run(t, n, "admin", "admin-"+c.name, "group-"+c.name).finish()
		var mine []string
		for _, line := range want {
			if !c.cannot(line) {
				mine = append(mine, line)
			}
		}
		if got, want := strings.Join(told, "\n"), strings.Join(mine, "\n"); got != want {
			t.Errorf("told\n%s\nwant\n%s", got, want)
		}
	})
}
