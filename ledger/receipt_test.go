package ledger

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/internal/vfs"
)

// Receipts within the limit are kept, whatever was replaced or dropped, and come
// back oldest first; beyond it the oldest go.
func TestReceipts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		most := rapid.IntRange(1, 100).Draw(t, "most")
		s := receipts{limit: int64(most) * (8 + receiptCost)}
		var want []hapax.Fingerprint // oldest first
		receipt := make(map[hapax.Fingerprint]uint64)
		steps := rapid.SliceOfN(rapid.Byte(), 300, 600).Draw(t, "steps")
		dropEvery := rapid.IntRange(2, 10).Draw(t, "drop every")
		for i, key := range steps {
			f := hapax.Fingerprint{key}
			want = slices.DeleteFunc(want, func(g hapax.Fingerprint) bool { return g == f })
			if i%dropEvery == 0 {
				s.drop(f)
				continue
			}
			s.put(f, binary.BigEndian.AppendUint64(nil, uint64(i)))
			receipt[f] = uint64(i)
			want = append(want, f)
			want = want[max(len(want)-most, 0):]
		}
		var got []hapax.Fingerprint
		for f, r := range s.all() {
			got = append(got, f)
			if binary.BigEndian.Uint64(r) != receipt[f] || string(s.get(f)) != string(r) {
				t.Errorf("%x has receipt %x, want %x", f[0], r, receipt[f])
			}
		}
		if !slices.Equal(got, want) || s.used != int64(len(want))*(8+receiptCost) {
			t.Errorf("%d receipts in %d bytes, want %d:\n%x\n%x", len(got), s.used, len(want), got, want)
		}
	})
}

// A receipt larger than the limit is not kept, and none that is nil.
func TestReceiptTooLarge(t *testing.T) {
	s := receipts{limit: receiptCost + 8}
	f := hapax.Fingerprint{1}
	s.put(f, make(hapax.Receipt, 8))
	s.put(f, make(hapax.Receipt, 9))
	if s.get(f) != nil || s.used != 0 {
		t.Errorf("kept %v, %d bytes", s.get(f), s.used)
	}
	s.put(f, hapax.Receipt{})
	if s.get(f) == nil {
		t.Error("an empty receipt is not kept")
	}
	s.put(f, nil)
	if s.get(f) != nil || s.used != 0 {
		t.Errorf("kept %v, %d bytes", s.get(f), s.used)
	}
}

// A receipt is in every snapshot of the log. It is kept once, and stays.
func TestReceiptsOfManyFiles(t *testing.T) {
	const n = 100
	ctx := context.Background()
	disk := vfs.NewMem()
	o := Options{Window: hapax.Window{Time: time.Hour}, FS: disk, Clock: goldenClock}
	l := open(t, "d", o)
	claim := func(l *Ledger, i int) hapax.Claim {
		c, err := l.Claim(ctx, hapax.Request{Identity: fmt.Append(nil, i), Lease: time.Minute})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	for i := range n {
		if err := l.Commit(ctx, claim(l, i), fmt.Append(nil, "receipt ", i)); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 2 {
		rolled(t, l, (*journal).rollNow)
		admit(t, l, batch(l, n+i, n+i+1))
	}
	o.FS = disk.KillCopy()
	again := open(t, "d", o)
	for i := range n {
		if c := claim(again, i); string(c.Receipt) != fmt.Sprint("receipt ", i) {
			t.Errorf("%d: %v with receipt %q", i, c.Verdict, c.Receipt)
		}
	}
}

// A receipt is of one run: when the identity has left the window and is admitted
// again, a copy of it is given none.
func TestReceiptOfAnEarlierRun(t *testing.T) {
	for _, dir := range []string{"", "d"} {
		for _, one := range []bool{false, true} {
			t.Run(fmt.Sprintf("directory %q, one by one %t", dir, one), func(t *testing.T) { earlierRun(t, dir, one) })
		}
	}
}

func earlierRun(t *testing.T, dir string, one bool) {
	ctx := context.Background()
	var clock atomic.Int64
	clock.Store(goldenClock().UnixNano())
	o := Options{Window: hapax.Window{Time: time.Hour}, Clock: func() time.Time { return time.Unix(0, clock.Load()) }}
	if dir != "" {
		o.FS = vfs.NewMem()
	}
	l := open(t, dir, o)
	order := hapax.Request{Identity: hapax.Identity("order"), Lease: time.Minute}
	claim := func(want hapax.Verdict) hapax.Claim {
		t.Helper()
		c, err := l.Claim(ctx, order)
		if err != nil || c.Verdict != want || c.Receipt != nil {
			t.Fatalf("%v with receipt %q, want %v: %v", c.Verdict, c.Receipt, want, err)
		}
		return c
	}
	if err := l.Commit(ctx, claim(hapax.Fresh), hapax.Receipt("paid")); err != nil {
		t.Fatal(err)
	}
	clock.Add(int64(2 * time.Hour))
	b := &Batch{Entries: []Entry{{Fingerprint: l.Hasher("").Fingerprint(order.Identity)}}}
	var err error
	if one {
		err = l.AdmitOne(ctx, &b.Entries[0])
	} else {
		err = l.Admit(ctx, b)
	}
	if err != nil || b.Entries[0].Verdict != hapax.Fresh {
		t.Fatal(b.Entries[0].Verdict, err)
	}
	claim(hapax.Duplicate)
	if dir == "" {
		return
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l = open(t, dir, o)
	claim(hapax.Duplicate)
}
