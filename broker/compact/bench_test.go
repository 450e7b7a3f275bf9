package compact

import (
	"fmt"
	"testing"

	"github.com/hapaxmq/hapax/broker/batch"
)

// BenchmarkPass compacts batches of a hundred records of 100 bytes, of which two
// thirds are replaced.
func BenchmarkPass(b *testing.B) {
	const keys, count, per = 30_000, 900, 100
	var all [][]byte
	var e batch.Encoder
	value, bytes := make([]byte, 100), 0
	for i := range count {
		records := make([]batch.Record, per)
		for j := range records {
			records[j] = batch.Record{OffsetDelta: int32(j), Key: fmt.Append(nil, "key", (i*per+j)%keys), Value: value}
		}
		h := batch.Header{BaseOffset: int64(i * per), ProducerID: batch.None, ProducerEpoch: batch.None, BaseSequence: batch.None}
		one, err := e.Append(nil, h, records)
		if err != nil {
			b.Fatal(err)
		}
		all = append(all, one)
		bytes += len(one)
	}
	b.SetBytes(int64(bytes))
	for b.Loop() {
		latest := NewLatest(64<<20, nil)
		for _, one := range all {
			latest.Add(one)
		}
		f := Filter{Latest: latest}
		var left []byte
		for _, one := range all {
			var err error
			if left, _, err = f.Append(left[:0], one); err != nil {
				b.Fatal(err)
			}
		}
		if f.Counts.Dropped != (count*per)-keys {
			b.Fatalf("%d records were dropped", f.Counts.Dropped)
		}
	}
}
