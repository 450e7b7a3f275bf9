package producer

import (
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/hapaxmq/hapax/broker/code"
)

func TestAdvance(t *testing.T) {
	for _, test := range []struct{ s, n, want int32 }{
		{0, 0, 0},
		{0, 1, 1},
		{math.MaxInt32 - 1, 1, math.MaxInt32},
		{math.MaxInt32, 0, math.MaxInt32},
		{math.MaxInt32, 1, 0},
		{math.MaxInt32, 2, 1},
		{math.MaxInt32, math.MaxInt32, math.MaxInt32 - 1},
	} {
		if got := Advance(test.s, test.n); got != test.want {
			t.Errorf("Advance(%d, %d) = %d, want %d", test.s, test.n, got, test.want)
		}
	}
}

// partition appends what its table lets in, at positions 1, 2, …
type partition struct {
	table    *Table
	offset   int64
	position int64
	now      int64
}

func newPartition(rules Rules) *partition { return &partition{table: New(rules), now: 1000} }

func (p *partition) place(records int32) Place {
	p.position++
	at := Place{p.offset, p.now, p.position}
	p.offset += int64(records)
	return at
}

func (p *partition) produce(b Batch) string {
	switch v := p.table.Check(b, p.now); {
	case v.Code != code.None:
		return v.Code.String()
	case v.Duplicate:
		return fmt.Sprintf("duplicate of %d from %d at position %d", v.First.Offset, v.First.Time, v.First.Position)
	}
	at := p.place(b.Count)
	p.table.Apply(b, at)
	return fmt.Sprintf("appended at %d", at.Offset)
}

func (p *partition) end(m Marker) string {
	if c := p.table.CheckEnd(m, p.now); c != code.None {
		return c.String()
	}
	first, ok := p.table.End(m, p.place(1), 0)
	if !ok {
		return "ended none"
	}
	return fmt.Sprintf("ended what began at %d", first)
}

// play does what a line says before its colon and returns what should be behind.
func (p *partition) play(line string) string {
	verb, args, _ := strings.Cut(line, " ")
	var a, b, c, d int64
	if _, err := fmt.Sscan(args+" 0 0 0 0", &a, &b, &c, &d); err != nil {
		return err.Error()
	}
	switch verb {
	case "produce", "transact": // producer, epoch, first sequence, records
		return p.produce(Batch{a, int16(b), int32(c), int32(d), verb == "transact"})
	case "end": // producer, epoch, coordinator epoch
		return p.end(Marker{a, int16(b), int32(c)})
	case "wait": // ms
		p.now += a
		return ""
	case "fail": // producer, position
		p.table.Fail(a, b)
		return ""
	case "expire":
		return fmt.Sprint(p.table.Expire(p.now))
	case "unstable": // position that is synced
		if offset, ok := p.table.FirstUnstable(a); ok {
			return fmt.Sprint(offset)
		}
		return "none"
	case "known":
		var ids []int64
		for producer := range p.table.All() {
			ids = append(ids, producer.ID)
		}
		return fmt.Sprint(ids)
	case "stats":
		return fmt.Sprintf("%d unknown, %d evicted", p.table.stats.Unknown, p.table.stats.Evicted)
	case "restart":
		restarted, err := Read(p.table.rules, p.table.AppendTo(nil))
		if err != nil {
			return err.Error()
		}
		p.table = restarted
		return ""
	}
	return "no such verb"
}

// TestSentences plays a few lines for every sentence on idempotent producers.
func TestSentences(t *testing.T) {
	text, err := os.ReadFile("testdata/sentences.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, sentence := range strings.Split(string(text), "\n# ")[1:] {
		name, lines, _ := strings.Cut(sentence, "\n")
		t.Run(name, func(t *testing.T) {
			p := newPartition(Rules{Most: 3, Expiry: 100})
			for line := range strings.Lines(lines) {
				line, want, _ := strings.Cut(strings.TrimSpace(line), ":")
				if line == "" {
					continue
				}
				if got, want := p.play(line), strings.TrimSpace(want); got != want {
					t.Fatalf("%s: got %q, want %q", line, got, want)
				}
			}
		})
	}
}

func TestDescribe(t *testing.T) {
	p := newPartition(Rules{Most: 9, Expiry: 100})
	p.produce(Batch{ProducerID: 7, Epoch: 2, First: 0, Count: 5})
	p.produce(Batch{ProducerID: 8, Epoch: 1, First: math.MaxInt32, Count: 2, Transactional: true})
	p.end(Marker{ProducerID: 9, Epoch: 4, CoordinatorEpoch: 3})
	got := slices.Collect(p.table.All())
	want := []Producer{
		{7, 2, 4, 0, 1000, None, None},
		{9, 4, None, None, 1000, 3, None},
		{8, 1, 0, 5, 1000, None, 5},
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestRules(t *testing.T) {
	for _, r := range []Rules{{0, 1}, {1, 0}, {-1, -1}} {
		if r.Validate() == nil {
			t.Errorf("%+v is taken as valid", r)
		}
	}
	if err := (Rules{1, 1}).Validate(); err != nil {
		t.Error(err)
	}
}
