package ledger

import (
	"testing"

	"github.com/hapaxmq/hapax/internal/vfs"
)

// When neither the table nor the filters have room, the oldest cold file goes,
// and what is next oldest moves to another: the others stay.
func TestEvictKeepsColdFiles(t *testing.T) {
	if raced {
		t.Skip("one goroutine, and long")
	}
	const n = 20_000
	l, next := hours(t, "d", Options{FS: vfs.NewMem(), MaxMemory: 4 << 20, Evict: true})
	var most int64
	for i := range 70 {
		admit(t, l, batch(l, i*n, i*n+n))
		next()
		s := l.Stats()
		if most = max(most, s.Live); s.Live < most/2 {
			t.Fatalf("%d identities live, were %d", s.Live, most)
		}
		if i == 69 && (s.EvictedLive == 0 || s.LiveCold == 0 || s.EvictedLive+s.Live != s.Fresh) {
			t.Errorf("%+v", s)
		}
	}
}
