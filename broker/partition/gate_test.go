package partition

import (
	"bytes"
	"testing"

	"github.com/hapaxmq/hapax/broker/batch"
)

// Whatever a frame of several batches holds is read as it was written, or refused.
func FuzzReadTogether(f *testing.F) {
	empty := batch.AppendEmpty(nil, batch.Header{LastOffsetDelta: 2})
	one, _ := appendTogether(nil, 7, 12, bytes.Repeat([]byte{1}, 32), empty)
	two, _ := appendTogether(one, 8, 12, nil, empty)
	f.Add(one)
	f.Add(two)
	f.Add(two[:len(two)-1])
	f.Fuzz(func(t *testing.T, payload []byte) {
		all, err := ReadTogether(payload)
		if err != nil {
			return
		}
		var again []byte
		for _, one := range all {
			var begins int64
			if again, begins = appendTogether(again, one.Number, one.Time, one.Copies, one.Batch); begins+int64(len(one.Batch)) != int64(len(again)) || begins != one.At {
				t.Errorf("a batch at %d, and it was read at %d", begins, one.At)
			}
		}
		if !bytes.Equal(again, payload) {
			t.Errorf("%x became %x", payload, again)
		}
	})
}
