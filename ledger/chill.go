package ledger

import (
	"errors"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/ledger/cold"
	"github.com/hapaxmq/hapax/window"
)

const (
	// hotShare is the part of MaxMemory that a ledger with cold files gives to its
	// table; the rest is for their filters.
	hotShare = 0.35
	// chillAt is the part of what the table may take at which the oldest
	// generations begin to move to a cold file.
	chillAt = 0.8
)

// wantChill asks maintain to move the oldest generations to a cold file, if
// there are any and the filters' budget has room. It must hold mu.
func (l *Ledger) wantChill() {
	if l.cold.wanted || l.failed != nil || len(l.cold.files) >= tooManyCold {
		return
	}
	_, keys := l.coldest()
	budget := l.o.MaxMemory - int64(hotShare*float64(l.o.MaxMemory))
	if keys == 0 || l.cold.memory()+l.sequences.bytes()+cold.Cost(keys) > budget {
		return
	}
	if !l.diskHolds(keys) {
		return
	}
	l.cold.wanted = true
	l.nudge()
}

// diskHolds tells whether there is room for a cold file of so many keys while
// what it replaces is still there.
func (l *Ledger) diskHolds(keys int64) bool {
	return l.o.MaxDisk == 0 || l.journal.size()+l.cold.size()+cold.Length(keys, l.o.Digests) <= l.o.MaxDisk
}

// chills tells whether generations may move to cold files: in a window that is
// bounded by time alone, unless it is renewed and by event time, and in one of
// first sights by arrival, unless it counts exactly. Others need the order in
// which identities came, which files do not keep.
func (l *Ledger) chills() bool {
	w := l.o.Window
	if w.Count+w.Bytes != 0 {
		return w.Kind == hapax.First && !w.EventTime && l.hot.recency == nil
	}
	return w.Kind != hapax.Renewed || !w.EventTime
}

// keepsCold tells whether the ledger gives part of its memory to cold files.
func (l *Ledger) keepsCold() bool { return l.dir != "" && l.chills() }

// coldest is the oldest generations in the table that hold half of what it
// holds, and how many identities that is. The newest, which takes what comes, is
// not among them.
func (l *Ledger) coldest() (gens []*window.Generation, keys int64) {
	if !l.chills() {
		return nil, 0
	}
	list := l.gens.List()
	for _, gen := range list[:max(len(list)-1, 0)] {
		if gen.Number == 0 || gen.Count == 0 {
			continue
		}
		if gen == l.current || len(gens) == cold.MaxGenerations || keys > 0 && keys+gen.Count > l.hot.live.Load()*5/8 {
			break
		}
		gens, keys = append(gens, gen), keys+gen.Count
	}
	return gens, keys
}

// chill moves the oldest generations to a cold file, beside whatever else is
// going on, and merges files when there are many. It runs on maintain only.
func (l *Ledger) chill() {
	err := l.chillOnce()
	for more := true; more && err == nil; {
		more, err = l.merge()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cold.wanted, l.hot.frozen = false, false
	if err != nil && l.ready() == nil {
		_ = l.fail(err) // the next call reports it
	}
	l.cold.done.Broadcast()
}

func (l *Ledger) chillOnce() error {
	if err := l.settleTable(); err != nil {
		return err
	}
	gens, plan := l.freeze()
	if len(gens) == 0 {
		return nil
	}
	w, err := cold.NewWriter(l.o.FS, l.dir, plan)
	if err != nil {
		return err
	}
	var index [256]int
	for i, gen := range gens {
		index[gen.Number] = i + 1
	}
	var entries []cold.Entry
	for shard := range 256 {
		entries = l.collect(uint8(shard), &index, entries[:0])
		if err := w.Shard(entries); err != nil {
			return errors.Join(err, w.Abort())
		}
	}
	// What the file remembers must not outlive the log that made it so.
	if err := l.journal.sync(l.journal.end()); err != nil {
		return errors.Join(err, w.Abort())
	}
	f, err := w.Finish()
	if err != nil {
		return err
	}
	if err := f.Load(); err != nil {
		return errors.Join(err, f.Close())
	}
	return l.thaw(f, gens)
}

// settleTable makes the table as large as it may become and ends its sweep, a
// little at a time: none may begin while keys are copied.
func (l *Ledger) settleTable() error {
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
		if err := l.growLarger(); err != nil {
			return err
		}
	}
}

// growLarger begins the table's next growth if no other sweep has begun.
func (l *Ledger) growLarger() error {
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
func (l *Ledger) freeze() ([]*window.Generation, cold.Plan) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ready() != nil {
		return nil, cold.Plan{}
	}
	for l.hot.step() > 0 { // nearly always there is nothing to step
	}
	l.hot.frozen = true
	gens, keys := l.coldest()
	p := cold.Plan{Number: l.cold.next(), Keys: keys, Digests: l.o.Digests, Watermark: l.gens.Watermark()}
	l.cold.moving = make(map[uint64]bool)
	for _, gen := range gens {
		l.gens.Seal(gen)
		l.cold.moving[gen.ID] = true
		p.Generations = append(p.Generations, cold.Generation{
			ID: gen.ID, Start: gen.Start, End: gen.End, Bytes: gen.Bytes,
			Log: l.journal.newestNumber(), At: l.journal.w.Size(),
		})
	}
	return gens, p
}

// collect copies the keys of one shard that are to move, a block at a time, so
// that nobody waits for long.
func (l *Ledger) collect(shard uint8, index *[256]int, dst []cold.Entry) []cold.Entry {
	st := l.stripes.ofShard(shard)
	for block, more := 0, true; more; block++ {
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
func (l *Ledger) thaw(f *cold.File, gens []*window.Generation) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.ready(); err != nil {
		return errors.Join(err, f.Close())
	}
	for _, gen := range gens {
		if l.gens.ByID(gen.ID) == nil {
			continue // it left the window meanwhile
		}
		l.gens.Chill(gen)
		l.hot.live.Add(-gen.Count)
		l.cold.live += gen.Count
	}
	l.cold.files = append(l.cold.files, f)
	l.cold.epoch++
	l.hot.frozen, l.cold.moving = false, nil
	l.publish()
	l.stripes.lockAll()
	l.hot.beginScrub()
	l.stripes.unlockAll()
	l.cold.done.Broadcast()
	if !l.o.Details {
		l.journal.moved(gens, f.Generations[0].Log) // the next roll deletes what that leaves empty
	}
	return nil
}
