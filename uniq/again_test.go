package uniq_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/internal/lines"
	"github.com/hapaxmq/hapax/internal/vfs"
	"github.com/hapaxmq/hapax/ledger"
	"github.com/hapaxmq/hapax/uniq"
)

// unconfirmed is a ledger that no checkpoint beyond an offset reaches: as if the
// process had been killed before.
type unconfirmed struct {
	uniq.Ledger
	after int64
}

func (u unconfirmed) Confirm(ctx context.Context, c ledger.Checkpoint) error {
	if c.Offset > u.after {
		return nil
	}
	return u.Ledger.Confirm(ctx, c)
}

// story is lines with an identity each and the time of an event, and where they end.
type story struct {
	naming uniq.Naming
	text   []byte
	ends   []int64
}

func newStory(t *testing.T, n int) *story {
	s := &story{naming: uniq.Naming{Identity: parse(t, "json:id")}, ends: make([]int64, 1, n+1)}
	r := rand.New(rand.NewPCG(3, 4))
	for i := range n {
		id := i
		if i%3 == 0 {
			id = max(0, i-r.IntN(100))
		}
		at := time.Unix(1_600_000_000+60*int64(i), 0).UTC().Format(time.RFC3339)
		s.text = fmt.Appendf(s.text, "{\"id\":%d,\"at\":%q}\n", id, at)
		s.ends = append(s.ends, int64(len(s.text)))
	}
	return s
}

// tell lets the lines from one up to another through, of which those up to the first
// are confirmed.
func (s *story) tell(t *testing.T, l uniq.Ledger, from, to int64) (string, uniq.Stats) {
	t.Helper()
	var out bytes.Buffer
	var progress uniq.Progress
	note := uniq.Note{Line: from, Byte: s.ends[from]}
	in := &lines.Input{
		Name: "in", Reader: bytes.NewReader(s.text[s.ends[from]:s.ends[to]]),
		Line: note.Line, Byte: note.Byte, Origin: uniq.NewSource("in", from, note),
	}
	err := uniq.Run(t.Context(), func(yield func(*lines.Input, error) bool) { yield(in, nil) },
		uniq.Options{Ledger: l, Naming: s.naming, Unique: output(&out), Progress: &progress})
	if err != nil {
		t.Fatal(err)
	}
	return out.String(), progress.Stats()
}

// TestAgain: what two killed runs and a third one wrote is what a single one writes,
// though the window has moved on beyond what is read again.
func TestAgain(t *testing.T) {
	const n = 5000
	events, err := uniq.ParseEventTime("at")
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range []hapax.Window{{Time: time.Hour, EventTime: true}, {Count: 50}, {Count: 50, Kind: hapax.Renewed}} {
		for _, confirmed := range []int64{0, 2400} {
			t.Run(fmt.Sprint(w, confirmed), func(t *testing.T) {
				s := newStory(t, n)
				if w.EventTime {
					s.naming.EventTime = events
				}
				open := func(disk *vfs.Mem) *ledger.Ledger {
					l, err := ledger.Open("d", ledger.Options{Window: w, FS: disk})
					if err != nil {
						t.Fatal(err)
					}
					t.Cleanup(func() { _ = l.Close() })
					return l
				}
				want, counts := s.tell(t, open(vfs.NewMem()), 0, n)
				if counts.Unique == n || counts.Late != 0 {
					t.Fatalf("%+v", counts)
				}
				disk := vfs.NewMem()
				l := open(disk)
				before, first := s.tell(t, l, 0, confirmed)
				for _, end := range []int64{2600, n} {
					s.tell(t, unconfirmed{l, confirmed}, confirmed, end)
					disk = disk.KillCopy()
					l = open(disk)
				}
				behind, stats := s.tell(t, l, confirmed, n)
				if before+behind != want || stats.Unique+first.Unique != counts.Unique || stats.Late != 0 {
					t.Errorf("%+v and %+v, want %+v", first, stats, counts)
				}
			})
		}
	}
}
