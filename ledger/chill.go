package ledger

import (
	"errors"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/ledger/cold"
	"github.com/hapaxmq/hapax/window"
)

// chillAt is the part of what the table may take at which the oldest generations
// begin to move to a cold file.
const chillAt = 0.8

// wantChill asks maintain to move the oldest generations to a cold file, if
// there are any, and the filters' budget and the disk's have room. It must hold mu.
func (l *Ledger) wantChill() {
	if l.cold.wanted || l.failed != nil || len(l.cold.files) >= tooManyCold {
		return
	}
	t := tidying{l}
	gens, keys := l.hot.coldest(l.current)
	if bytes := cold.Length(keys, l.o.Digests); keys == 0 || !t.filtersFit(keys) || !t.holds(bytes, t.freedBy(gens)) {
		return
	}
	l.cold.wanted, l.cold.chilling = true, true
	l.nudge()
}

// filtersFit tells whether the filters' budget has room for so many keys.
func (t tidying) filtersFit(keys int64) bool {
	l := t.l
	return l.cold.memory()+l.sequences.bytes()+cold.Cost(keys) <= l.o.coldMemory()
}

// chill clears garbage away, if the disk has a budget, and moves the oldest
// generations to a cold file, if that is wanted, beside whatever else is going on; and
// merges files when there are many. It runs on maintain only.
func (l *Ledger) chill() {
	l.mu.Lock()
	chilling := l.cold.chilling
	l.mu.Unlock()
	err := tidying{l}.run()
	if err == nil && chilling {
		err = (&move{l: l}).run()
	}
	for more := true; more && err == nil; {
		more, err = (&merge{l: l}).run()
	}
	if err == nil {
		err = tidying{l}.run()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cold.wanted, l.cold.chilling, l.hot.frozen = false, false, false
	if err != nil && l.ready() == nil {
		_ = l.fail(err) // the next call reports it
	}
	l.cold.done.Broadcast()
}

// move is generations on their way to a cold file.
type move struct {
	l    *Ledger
	all  bool // all that a file may take, and not half of what the table holds
	gens []*window.Generation
	plan cold.Plan // of their file
}

// run makes the file and puts it into service, if there is anything to move.
func (m *move) run() error {
	if err := m.settleTable(); err != nil {
		return err
	}
	m.freeze()
	if len(m.gens) == 0 {
		return m.nothing()
	}
	f, err := m.write()
	if err != nil {
		return err
	}
	if err := f.Load(); err != nil {
		return errors.Join(err, f.Close())
	}
	return m.thaw(f)
}

// nothing is the end of a move of nothing.
func (m *move) nothing() error {
	m.l.mu.Lock()
	defer m.l.mu.Unlock()
	m.l.hot.frozen, m.l.cold.moving, m.l.cold.coming = false, nil, 0
	return m.l.ready()
}

// write copies the generations' keys to their file, which is durable on return.
func (m *move) write() (*cold.File, error) {
	w, err := cold.NewWriter(m.l.o.FS, m.l.dir, m.plan)
	if err != nil {
		return nil, err
	}
	var index [256]int
	for i, gen := range m.gens {
		index[gen.Number] = i + 1
	}
	var entries []cold.Entry
	for shard := range 256 {
		entries = m.collect(uint8(shard), &index, entries[:0])
		if err := w.Shard(entries); err != nil {
			return nil, errors.Join(err, w.Abort())
		}
	}
	// What the file remembers must not outlive the log that made it so.
	if err := m.l.journal.Sync(m.l.journal.End()); err != nil {
		return nil, errors.Join(err, w.Abort())
	}
	return w.Finish()
}

// settleTable makes the table as large as it may become and ends its sweep, a
// little at a time: none may begin while keys are copied.
func (m *move) settleTable() error {
	l := m.l
	for {
		for l.scrubSome() {
		}
		l.mu.Lock()
		lines, more := l.hot.grown().Lines(), l.hot.mayGrow()
		l.mu.Unlock()
		if !more {
			return nil
		}
		l.back(lines)
		if err := m.growLarger(); err != nil {
			return err
		}
	}
}

// growLarger begins the table's next growth if no other sweep has begun.
func (m *move) growLarger() error {
	l := m.l
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, ok := l.hot.table.Sweeping(); ok || !l.hot.mayGrow() || l.ready() != nil {
		return l.ready()
	}
	l.stripes.lockAll()
	defer l.stripes.unlockAll()
	return l.hot.startGrowth()
}

// freeze chooses the generations to move and holds off sweeps, so that their
// keys stay where they are.
func (m *move) freeze() {
	l := m.l
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ready() != nil {
		return
	}
	for l.hot.step() > 0 { // nearly always there is nothing to step
	}
	l.hot.frozen = true
	var keys int64
	if m.all {
		m.gens, keys = tidying{l}.worthMoving()
	} else {
		m.gens, keys = l.hot.coldest(l.current)
	}
	l.cold.coming = cold.Length(keys, l.o.Digests)
	m.plan = cold.Plan{Number: l.cold.next(), Keys: keys, Digests: l.o.Digests, Watermark: l.gens.Watermark()}
	l.cold.moving = make(map[uint64]bool)
	for _, gen := range m.gens {
		l.gens.Seal(gen)
		l.cold.moving[gen.ID] = true
		m.plan.Generations = append(m.plan.Generations, cold.Generation{
			ID: gen.ID, Start: gen.Start, End: gen.End, Bytes: gen.Bytes,
			Log: l.journal.newestNumber(), At: l.journal.w.Size(),
		})
	}
}

// collect copies the keys of one shard that are to move, a block at a time, so
// that nobody waits for long.
func (m *move) collect(shard uint8, index *[256]int, dst []cold.Entry) []cold.Entry {
	l := m.l
	st := l.stripes.ofShard(shard)
	for block, more := uint32(0), true; more; block++ {
		st.mu.Lock()
		more = l.hot.table.Block(shard, block, func(k window.Key, number uint8, side uint64) {
			if i := index[number]; i > 0 {
				dst = append(dst, cold.Entry{Key: k, Generation: uint8(i - 1), Digest: hapax.Digest(side)})
			}
		})
		st.mu.Unlock()
	}
	return dst
}

// thaw puts the file into service in place of the keys in the table.
func (m *move) thaw(f *cold.File) error {
	l := m.l
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.ready(); err != nil {
		return errors.Join(err, f.Close())
	}
	for _, gen := range m.gens {
		if l.gens.ByID(gen.ID) == nil {
			continue // it left the window meanwhile
		}
		l.gens.Chill(gen)
		l.hot.live.Add(-gen.Count)
		l.cold.live += gen.Count
	}
	l.cold.files, l.cold.coming = append(l.cold.files, f), 0
	l.cold.epoch++
	l.hot.frozen, l.cold.moving = false, nil
	l.publish()
	l.stripes.lockAll()
	l.hot.beginScrub()
	l.stripes.unlockAll()
	l.cold.done.Broadcast()
	if !l.o.Details {
		l.journal.moved(m.gens, f.Generations[0].Log) // the next roll deletes what that leaves empty
	}
	return nil
}
