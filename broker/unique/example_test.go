package unique_test

import (
	"context"
	"fmt"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/broker/batch"
	"github.com/hapaxmq/hapax/broker/unique"
	"github.com/hapaxmq/hapax/ledger"
)

// A topic that keeps each order once, for a day: of a batch of three records with
// two ids, two are left, at the offsets that they had.
func Example() {
	rules, err := unique.Parse("orders", false, map[string]string{
		"hapax.identity":  "header:id",
		"hapax.window.ms": "86400000",
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	ids, err := ledger.Open("", ledger.Options{Window: rules.Window, Digests: rules.Digests()})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = ids.Close() }()
	namer := rules.Namer(ids.Hasher(""))

	var r unique.Reader
	if err := r.Read(namer, 0, orders("o-1", "o-2", "o-1"), batch.MaxInflated); err != nil {
		fmt.Println(err)
		return
	}
	if err := ids.Admit(context.Background(), &ledger.Batch{Entries: r.Entries}); err != nil {
		fmt.Println(err)
		return
	}
	var copies []unique.Copy
	for _, e := range r.Entries {
		fmt.Printf("record %d is %v\n", e.Offset, e.Verdict)
		if e.Verdict == hapax.Duplicate {
			copies = append(copies, unique.Copy{Delta: int32(e.Offset), Fate: rules.Duplicates.Fate, Verdict: e.Verdict})
		}
	}
	left, err := r.Rewrite(copies)
	if err != nil {
		fmt.Println(err)
		return
	}
	h, err := batch.ReadHeader(left)
	fmt.Printf("%d records, the last offset is %d: %v\n", h.Count, h.LastOffset(), err)
	// Output:
	// record 0 is fresh
	// record 1 is fresh
	// record 2 is duplicate
	// 2 records, the last offset is 2: <nil>
}

func ExampleParse() {
	_, err := unique.Parse("orders", false, map[string]string{"hapax.identity": "header:id"})
	fmt.Println(err)
	_, err = unique.Parse("orders", false, map[string]string{"hapax.identity": "key", "hapax.window.count": "1000", "hapax.duplicates": "ignore"})
	fmt.Println(err)
	// Output:
	// setting hapax.identity=header:id: for how long ids are to be remembered is not said: set hapax.window.ms, hapax.window.count or hapax.window.bytes
	// setting hapax.duplicates=ignore: want drop, mark, topic:NAME or reject
}

// orders is a batch of records with ids.
func orders(ids ...string) []byte {
	var records []batch.Record
	for i, id := range ids {
		header := batch.RecordHeader{Key: []byte("id"), Value: []byte(id)}
		records = append(records, batch.Record{OffsetDelta: int32(i), Headers: batch.MakeHeaders(header), Value: []byte("paid")})
	}
	h := batch.Header{LeaderEpoch: batch.None, ProducerID: batch.None, ProducerEpoch: batch.None, BaseSequence: batch.None}
	b, err := new(batch.Encoder).Append(nil, h, records)
	if err != nil {
		fmt.Println(err)
	}
	return b
}
