package partition

import "testing"

// What is before a run tells when its batches were appended; what else stands there
// tells nothing, and no more than it is long.
func FuzzReadTimes(f *testing.F) {
	f.Add([]byte("head of another"), int64(5), int64(7), int64(6))
	f.Add(appendTimes(nil, 3, []int64{1, 2}), int64(0), int64(0), int64(0))
	f.Fuzz(func(t *testing.T, before []byte, a, b, c int64) {
		for times, n := ReadTimes(before, 3), 0; times.Next() != 0; n++ {
			if n > len(before) {
				t.Fatal("more times than there are bytes")
			}
		}
		want := []int64{a, b, c}
		frame := appendTimes([]byte("front"), 3, want)
		others := TimesLength(frame[len(frame)-TimesHead:], 3)
		times := ReadTimes(frame[len(frame)-TimesHead-int(others):], 3)
		for _, at := range want { // of some nobody knows
			if got := times.Next(); got != at {
				t.Fatalf("%d, want %d of %v", got, at, want)
			}
		}
		if TimesLength(frame[len(frame)-TimesHead:], 4) != 0 {
			t.Error("another partition's")
		}
	})
}
