package producer

import (
	"bytes"
	"cmp"
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/hapaxmq/hapax/broker/code"
)

// model keeps every batch and looks at them all.
type model struct {
	rules   Rules
	known   map[int64]*history
	writes  int
	unknown uint64
	evicted uint64
}

type history struct {
	epoch   int16
	begin   int32 // the epoch's first sequence number
	batches []written
	gone    int  // of batches, that are not remembered any more
	lost    bool // more failed than are remembered
	open    int64
	time    int64
	order   int // of its last write among all
}

type written struct {
	Batch
	at Place
}

func (m *model) find(id, now int64) *history {
	h := m.known[id]
	if h == nil || h.open == None && now-h.time >= m.rules.Expiry {
		return nil
	}
	return h
}

// silent is the id of the one that may be forgotten first.
func (m *model) silent() (id int64, ok bool) {
	for i, h := range m.known {
		if h.open == None && (!ok || h.order < m.known[id].order) {
			id, ok = i, true
		}
	}
	return id, ok
}

func (m *model) check(b Batch, now int64) Verdict {
	h := m.find(b.ProducerID, now)
	if h == nil {
		return m.accept(true)
	}
	if b.Epoch < h.epoch {
		return Verdict{Code: code.InvalidProducerEpoch}
	}
	next := int64(0)
	if b.Epoch == h.epoch {
		for _, w := range h.batches[h.gone:] {
			if w.First == b.First && w.Count == b.Count {
				return Verdict{Duplicate: true, First: w.at}
			}
		}
		next = int64(h.begin)
		for _, w := range h.batches {
			next += int64(w.Count)
		}
		next %= 1 << 31
	}
	if int64(b.First) != next || h.lost && b.Epoch == h.epoch {
		return Verdict{Code: code.OutOfOrderSequenceNumber}
	}
	return m.accept(b.Transactional && h.open == None)
}

// accept lets a batch in, unless it is one more among too many transactions.
func (m *model) accept(more bool) Verdict {
	open := 0
	for _, h := range m.known {
		if h.open != None {
			open++
		}
	}
	if more && open >= m.rules.Most {
		return Verdict{Code: code.NotEnoughReplicas}
	}
	return Verdict{}
}

// write finds the producer of a write, or makes it, at its epoch.
func (m *model) write(id int64, epoch int16, begin int32, now int64) *history {
	h := m.find(id, now)
	if h == nil {
		delete(m.known, id)
		for len(m.known) >= m.rules.Most {
			silent, ok := m.silent()
			if !ok {
				break
			}
			if m.find(silent, now) != nil {
				m.evicted++
			}
			delete(m.known, silent)
		}
		h = &history{epoch: epoch, begin: begin, open: None}
		m.known[id] = h
		if begin != 0 {
			m.unknown++
		}
	}
	if epoch > h.epoch {
		h.epoch, h.begin, h.batches, h.gone, h.lost = epoch, 0, nil, 0, false
	}
	m.writes++
	h.time, h.order = now, m.writes
	return h
}

func (m *model) apply(b Batch, at Place) {
	h := m.write(b.ProducerID, b.Epoch, b.First, at.Time)
	h.batches = append(h.batches, written{b, at})
	h.gone = max(h.gone, len(h.batches)-5)
	if b.Transactional && h.open == None {
		h.open = at.Offset
	}
}

func (m *model) end(k Marker, at Place) int64 {
	h := m.write(k.ProducerID, k.Epoch, 0, at.Time)
	first := h.open
	h.open = None
	return first
}

func (m *model) fail(id, position int64) {
	h := m.known[id]
	if h == nil {
		return
	}
	// Only what is remembered can be undone.
	n := slices.IndexFunc(h.batches[h.gone:], func(w written) bool { return w.at.Position >= position })
	if n < 0 {
		return
	}
	undone := h.batches[h.gone+n]
	h.batches = h.batches[:h.gone+n]
	if n == 0 && h.gone > 0 {
		h.batches, h.gone, h.lost = nil, 0, true // a higher epoch or nothing
	}
	if h.open != None && h.open >= undone.at.Offset {
		h.open = None
		m.writes++
		h.order = m.writes
	}
}

// TestModel plays anything and compares every answer with the model's, and at
// last what a replay of the log knows.
func TestModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rules := Rules{Most: rapid.IntRange(1, 5).Draw(t, "most"), Expiry: 50}
		w := world{T: t, rules: rules, table: New(rules), model: model{rules: rules, known: map[int64]*history{}}, now: 1000}
		t.Repeat(map[string]func(*rapid.T){
			"produce": w.produce,
			"again":   w.again,
			"next":    w.next,
			"end":     w.end,
			"fail":    w.fail,
			"wait":    func(t *rapid.T) { w.now += rapid.Int64Range(0, 60).Draw(t, "ms") },
			"expire":  func(*rapid.T) { w.table.Expire(w.now) },
			"sync":    func(t *rapid.T) { w.synced = rapid.Int64Range(w.synced, w.position).Draw(t, "synced") },
			"":        w.compare,
		})
		w.replay()
	})
}

type world struct {
	*rapid.T
	rules  Rules
	table  *Table
	model  model
	log    []func(*Table)
	all    []Batch
	ends   []ended // of all transactions
	failed bool

	now, offset, position, synced int64
}

func (w *world) place(records int32) Place {
	w.position++
	at := Place{w.offset, w.now, w.position}
	w.offset += int64(records)
	return at
}

// durable is where the log has what a replay reads.
func durable(at Place) Place {
	at.Position = 0
	return at
}

func (w *world) check(b Batch) {
	got, want := w.table.Check(b, w.now), w.model.check(b, w.now)
	if got != want {
		w.Fatalf("%+v: got %+v, want %+v", b, got, want)
	}
	w.all = append(w.all, b)
	if got != (Verdict{}) {
		return
	}
	at := w.place(b.Count)
	w.table.Apply(b, at)
	w.model.apply(b, at)
	w.log = append(w.log, func(t *Table) { t.Apply(b, durable(at)) })
}

func (w *world) produce(t *rapid.T) {
	w.check(Batch{
		ProducerID:    rapid.Int64Range(1, 6).Draw(t, "producer"),
		Epoch:         rapid.Int16Range(0, 3).Draw(t, "epoch"),
		First:         rapid.SampledFrom([]int32{0, 0, 1, 3, math.MaxInt32 - 1, math.MaxInt32}).Draw(t, "first"),
		Count:         rapid.Int32Range(1, 3).Draw(t, "count"),
		Transactional: rapid.Bool().Draw(t, "transactional"),
	})
}

// again sends a batch that was sent before.
func (w *world) again(t *rapid.T) {
	if len(w.all) == 0 {
		t.Skip("nothing was sent")
	}
	recent := w.all[max(0, len(w.all)-20):]
	w.check(rapid.SampledFrom(recent).Draw(t, "batch"))
}

// next sends what follows a batch that was sent.
func (w *world) next(t *rapid.T) {
	if len(w.all) == 0 {
		t.Skip("nothing was sent")
	}
	b := rapid.SampledFrom(w.all[max(0, len(w.all)-6):]).Draw(t, "before")
	b.First = Advance(b.last(), 1)
	w.check(b)
}

func (w *world) end(t *rapid.T) {
	m := Marker{ProducerID: rapid.Int64Range(1, 6).Draw(t, "producer"), Epoch: rapid.Int16Range(0, 4).Draw(t, "epoch")}
	h := w.model.find(m.ProducerID, w.now)
	if got, want := w.table.CheckEnd(m, w.now), h != nil && m.Epoch < h.epoch; (got == code.InvalidProducerEpoch) != want {
		t.Fatalf("end %+v: got %v", m, got)
	} else if want {
		return
	}
	at := w.place(1)
	want := w.model.end(m, at)
	got, ok := w.table.End(m, at, w.synced)
	if got != want || ok != (want != None) {
		t.Fatalf("ended %d, want %d", got, want)
	}
	if ok {
		w.ends = append(w.ends, ended{got, at.Position})
	}
	w.log = append(w.log, func(t *Table) { t.End(m, durable(at), 0) })
}

func (w *world) fail(t *rapid.T) {
	if rapid.IntRange(0, 4).Draw(t, "luck") > 0 {
		t.Skip("no failure")
	}
	id := rapid.Int64Range(1, 6).Draw(t, "producer")
	position := rapid.Int64Range(w.synced+1, w.position+1).Draw(t, "position")
	w.table.Fail(id, position)
	w.model.fail(id, position)
	w.failed = true
}

// compare looks at what can be seen between two steps.
func (w *world) compare(t *rapid.T) {
	want := int64(None)
	lowest := func(offset int64) {
		if want == None || offset < want {
			want = offset
		}
	}
	for _, h := range w.model.known {
		if h.open != None {
			lowest(h.open)
		}
	}
	for _, e := range w.ends {
		if e.position > w.synced {
			lowest(e.first)
		}
	}
	if got, ok := w.table.FirstUnstable(w.synced); got != want || ok != (want != None) {
		t.Fatalf("first unstable %d, want %d", got, want)
	}
	if got, want := w.table.Stats(), (Stats{w.model.unknown, w.model.evicted}); got != want {
		t.Fatalf("%+v, want %+v", got, want)
	}
	if len(w.table.known) > w.rules.Most+1 || len(w.table.open) > w.rules.Most {
		t.Fatalf("%d producers, %d with transactions: at most %d", len(w.table.known), len(w.table.open), w.rules.Most)
	}
	restarted, err := Read(Rules{Most: w.rules.Most + 1, Expiry: w.rules.Expiry}, w.table.AppendTo(nil))
	if err != nil {
		t.Fatal(err)
	}
	if again := restarted.AppendTo(nil); !bytes.Equal(again, w.table.AppendTo(nil)) {
		t.Fatal("a snapshot of what was read is another one")
	}
}

// replay compares the table with one made from the log, and both with a model of
// who is known. What failed is not in the log; then the two may differ.
func (w *world) replay() {
	w.table.Expire(w.now)
	var want []int64
	for id := range w.model.known {
		if w.model.find(id, w.now) != nil {
			want = append(want, id)
		}
	}
	slices.Sort(want)
	var got []int64
	for p := range w.table.All() {
		got = append(got, p.ID)
	}
	slices.SortFunc(got, cmp.Compare)
	if !slices.Equal(got, want) && !w.failed {
		w.Fatalf("knows %v, want %v", got, want)
	}
	if w.failed {
		return
	}
	replayed := New(w.rules)
	for _, step := range w.log {
		step(replayed)
	}
	replayed.Expire(w.now)
	if !bytes.Equal(replayed.AppendTo(nil), w.table.AppendTo(nil)) {
		w.Fatal("a replay of the log knows something else")
	}
}

// FuzzRead: a snapshot that can be read is written as one that says the same.
func FuzzRead(f *testing.F) {
	p := newPartition(Rules{Most: 9, Expiry: 100})
	f.Add(p.table.AppendTo(nil))
	for _, s := range []string{"produce 1 0 5 2", "produce 1 0 7 1", "transact 2 1 0 3", "end 2 2 1", "transact 3 0 0 1", "transact 1 0 8 2"} {
		p.play(s)
		f.Add(p.table.AppendTo(nil))
	}
	rules := Rules{Most: 100, Expiry: 1000}
	f.Fuzz(func(t *testing.T, b []byte) {
		table, err := Read(rules, b)
		if err != nil {
			return
		}
		table.Check(Batch{ProducerID: 1, Count: 1}, 0)
		written := table.AppendTo(nil)
		again, err := Read(rules, written)
		if err != nil || !bytes.Equal(again.AppendTo(nil), written) {
			t.Fatalf("read again: %v", err)
		}
		for p := range again.All() {
			again.Fail(p.ID, 0)
			again.Apply(Batch{ProducerID: p.ID, Epoch: p.Epoch, Count: 1}, Place{Offset: 1, Time: p.LastTime, Position: 9})
			break
		}
	})
}
