package ledger

import (
	"slices"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/ledger/cold"
	"github.com/hapaxmq/hapax/window"
)

const (
	// mergePart is the part of MaxDisk that a file in the making may take beyond it. No
	// merged file is larger, so that there is always room to write it again.
	mergePart = 8
	// leastGarbage is the part of MaxDisk that is worth writing a file for.
	leastGarbage = 64
	// lookEvery is how much the log grows before garbage is looked for again.
	lookEvery = 64 << 10
)

// mayMerge tells whether a merged file may have so many bytes.
func (o *Options) mayMerge(bytes int64) bool { return o.MaxDisk == 0 || bytes <= o.MaxDisk/mergePart }

// identityBytes is what an identity of a window that is renewed may take on disk: it
// may be in a cold file that has yet to be written again, and in the log.
func (o *Options) identityBytes() int64 {
	n := int64(16 + 19)
	if o.Digests {
		n += 2 * 8
	}
	return n
}

// tidied is when there was last looked for garbage, and none found: since then there
// is no more of it than the log has grown by, unless something has left the window.
type tidied struct {
	end    int64  // of the log
	oldest uint64 // generation
}

// tidying clears garbage away. Where MaxDisk bounds the files, what nobody needs any
// more has to go before anything is refused, for it may be most of what there is: in a
// window that is renewed each sight of an identity is written anew. In this order it is
//
//   - cold files of which nothing is live;
//   - files of the log of which cold files hold the identities: they are kept for what
//     Details tell, as long as there is room, the oldest of them the shortest;
//   - what is not live in other cold files, which are written again without it, alone
//     or with a neighbour;
//   - what is not live in the log: generations move to a cold file, so that the log of
//     them can go.
//
// All but want, run and the steps of garbage must hold mu.
type tidying struct{ l *Ledger }

// want asks maintain to clear garbage away, and tells whether there is any.
func (t tidying) want() bool {
	l := t.l
	switch {
	case l.cold.wanted:
		return true
	case l.failed != nil || l.o.MaxDisk == 0 || l.journal == nil:
		return false
	}
	now, leaving := t.now(), t.leaving()
	if now.oldest == l.cold.tidied.oldest && now.end-l.cold.tidied.end < lookEvery && leaving == 0 {
		return false
	}
	if leaving == 0 && t.garbage() == nil {
		l.cold.tidied = now
		return false
	}
	l.cold.wanted = true
	l.nudge()
	return true
}

func (t tidying) now() tidied {
	now := tidied{end: t.l.journal.End()}
	if list := t.l.gens.List(); len(list) > 0 {
		now.oldest = list[0].ID
	}
	return now
}

// leaving is the bytes of files that will be gone when maintain has waited for that.
func (t tidying) leaving() int64 {
	c := &t.l.cold
	return t.l.journal.leaving.Load() + c.leaving.Load() - c.held()
}

// holds tells whether there is room for a file of so many bytes while what it replaces
// is still there, and when so much is gone.
func (t tidying) holds(bytes, freed int64) bool {
	most, all := t.l.o.MaxDisk, t.l.disk()+bytes
	return most == 0 || all <= most+most/mergePart && all-freed <= most
}

// pressed tells whether the budget is as good as used up.
func (t tidying) pressed() bool { return t.l.disk() > t.l.o.MaxDisk-t.l.o.MaxDisk/mergePart }

// run returns when there is no more garbage, and what there was is gone from the disk.
// It runs on maintain only.
func (t tidying) run() error {
	l := t.l
	if l.o.MaxDisk == 0 || l.journal == nil {
		return nil
	}
	for {
		l.mu.Lock()
		err := l.ready()
		var step func() error
		if err == nil {
			step = t.garbage()
		}
		l.mu.Unlock()
		if err == nil && step != nil {
			err = step()
		}
		if err == nil {
			t.wait()
		}
		if err != nil || step == nil || t.stopped() {
			return err
		}
	}
}

func (t tidying) stopped() bool {
	select {
	case <-t.l.stop:
		return true
	default:
		return false
	}
}

// wait returns when the files that are to be deleted are gone, or the ledger is closed.
func (t tidying) wait() {
	l := t.l
	for l.journal.leaving.Load() > 0 && !t.stopped() {
		select {
		case <-l.journal.left:
		case <-l.stop:
		}
	}
	l.mu.Lock()
	removed := l.cold.removed
	l.mu.Unlock()
	if removed == nil {
		return
	}
	select {
	case <-removed:
	case <-l.stop:
	}
}

// garbage is the next step to clear garbage away; nil if none is worth it.
func (t tidying) garbage() (step func() error) {
	l := t.l
	if dead := t.deadFiles(); len(dead) > 0 {
		return func() error { return t.retireDead(dead) }
	}
	if files := l.journal.files; slices.ContainsFunc(files[:len(files)-1], func(f *logFile) bool { return !f.needed() }) ||
		t.pressed() && len(t.told()) > 0 {
		return t.dropTold
	}
	if a, b := t.worstFiles(); b != nil {
		return func() error {
			m := &merge{l: l}
			l.mu.Lock()
			m.of(a, b)
			l.mu.Unlock()
			return m.make()
		}
	}
	if gens, _ := t.worthMoving(); len(gens) > 0 {
		return (&move{l: l, all: true}).run
	}
	return nil
}

// deadFiles are the cold files of which nothing is live.
func (t tidying) deadFiles() (dead []*cold.File) {
	for _, f := range t.l.cold.files {
		if _, keys := liveIn(t.l.gens, f); keys == 0 {
			dead = append(dead, f)
		}
	}
	return dead
}

// retireDead deletes cold files of which nothing is live. What was seen again since
// must be in the log for good before.
func (t tidying) retireDead(dead []*cold.File) error {
	l := t.l
	if err := durableNow(l); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cold.files = slices.DeleteFunc(slices.Clone(l.cold.files), func(f *cold.File) bool { return slices.Contains(dead, f) })
	l.cold.epoch++
	l.cold.retire(dead...)
	return nil
}

// told are the files of the log, the oldest first, that hold nothing that cold files do
// not hold too, but for what Details tell.
func (t tidying) told() (files []*logFile) { return t.without(t.elsewhere()) }

// elsewhere are the generations of which files of the log but the newest hold nothing
// that is needed: they are in a cold file, as they were when they were sealed, or all
// that was in them has been seen again.
func (t tidying) elsewhere() map[uint64]bool {
	all := make(map[uint64]bool)
	for _, gen := range t.l.gens.List() {
		if gen != t.l.current && (gen.Number == 0 || gen.Count == 0) {
			all[gen.ID] = true
		}
	}
	return all
}

// without are the files of the log but the newest, the oldest first, that hold nothing
// but some generations.
func (t tidying) without(gens map[uint64]bool) (files []*logFile) {
	all := t.l.journal.files
	for _, f := range all[:len(all)-1] {
		more := f.producers
		for id := range f.gens {
			more = more || !gens[id]
		}
		if !more {
			files = append(files, f)
		}
	}
	return files
}

// dropTold deletes files of the log: those that nothing needs and, where the budget is
// as good as used up, the oldest that are kept for Details alone.
func (t tidying) dropTold() error {
	l := t.l
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.ready(); err != nil {
		return err
	}
	over := l.disk() - (l.o.MaxDisk - l.o.MaxDisk/mergePart - l.o.MaxDisk/leastGarbage)
	for _, f := range t.told() {
		if over > 0 {
			clear(f.gens)
			over -= f.size
		}
	}
	return l.journal.drop()
}

// worstFiles are the neighbours, or the one file (a is nil), of which most is garbage
// for what is written of them again: if it is most of them or, where the budget is as
// good as used up, as much as there is room for.
func (t tidying) worstFiles() (a, b *cold.File) {
	l, most := t.l, 0.0
	if !t.pressed() {
		most = 1
	}
	var before *cold.File
	for _, f := range l.cold.files {
		for _, with := range []*cold.File{nil, before} {
			if worth := t.worth(with, f); worth > most {
				a, b, most = with, f, worth
			}
		}
		before = f
	}
	return a, b
}

// worth is how many bytes go for each that is written when neighbours, or one file, are
// written again; 0 if that is not to be done.
func (t tidying) worth(a, b *cold.File) float64 {
	l := t.l
	gens, keys := liveIn(l.gens, a, b)
	all := b.Size()
	if keys += l.cold.stuck[b.Number]; a != nil {
		all, keys = all+a.Size(), keys+l.cold.stuck[a.Number]
	}
	live := cold.Length(keys, l.o.Digests)
	if all-live < l.o.MaxDisk/leastGarbage || len(gens) > cold.MaxGenerations || a != nil && !l.o.mayMerge(live) || !t.holds(live, all) {
		return 0
	}
	return float64(all-live) / float64(live)
}

// freedBy is the bytes of log that hold nothing more that is needed when generations
// are cold.
func (t tidying) freedBy(gens []*window.Generation) (bytes int64) {
	if t.l.o.MaxDisk == 0 {
		return 0
	}
	cold := t.elsewhere()
	for _, gen := range gens {
		cold[gen.ID] = true
	}
	for _, f := range t.without(cold) {
		bytes += f.size
	}
	return bytes
}

// worthMoving are the oldest generations that, in a cold file, take so much less than
// in the log that it is worth a file, and how many identities they have.
func (t tidying) worthMoving() (gens []*window.Generation, keys int64) {
	l := t.l
	if !l.o.chills() || len(l.cold.files) >= tooManyCold || l.o.Window.Kind != hapax.Renewed && !(l.o.Details && t.pressed()) {
		return nil, 0
	}
	had := t.freedBy(nil)
	for gens := l.hot.beforeCurrent(l.current); len(gens) > 0; gens = gens[:len(gens)/2] {
		keys = 0
		for _, gen := range gens {
			keys += gen.Count
		}
		bytes, freed := cold.Length(keys, l.o.Digests), t.freedBy(gens)-had
		if freed-bytes >= l.o.MaxDisk/leastGarbage && t.filtersFit(keys) && t.holds(bytes, freed) {
			return gens, keys
		}
	}
	return nil, 0
}
