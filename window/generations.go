package window

import (
	"errors"
	"math"
	"slices"

	"github.com/hapaxmq/hapax"
)

// A Generation is a slice of a window: the identities first (or last) seen in
// one stretch of time, count or bytes. Its identities leave the window together.
type Generation struct {
	ID     uint64 // rises with every generation, never used again
	Number uint8  // what its entries carry in the table; 0 once they have left it
	Start  int64  // Unix nanoseconds: of its slice, or of its first identity
	End    int64  // end of its slice; math.MaxInt64 where time bounds nothing
	Count  int64  // identities
	Bytes  int64  // of their messages

	sealed      bool   // At gives it out no more
	First, Last uint64 // which calls of Add were the first and the last into it
}

// Generations cuts a window into generations and says which are live. It is
// pure: time comes in with each call and never goes back.
//
// A window of time W is cut into slices of W/128, so that an identity is let go
// at most W/128 after its window ended, and never before; count and bytes alike.
// Where time stands beside another bound the slices are W/64, so that those of
// all bounds have numbers.
type Generations struct {
	Numbers
	Reach

	cut
	most   int64  // identities a generation where nothing bounds the window
	former Former // before the bounds changed

	living
	adds uint64 // calls of Add
}

// living are the generations that are live.
type living struct {
	list   []*Generation // oldest first
	newest uint64        // ID given out last
}

const (
	sliceCount = 128 // slices a window
	mostLive   = 240 // generations with a number
)

// ErrLate says that an event is older than the window reaches back.
var ErrLate = errors.New("window: event is older than the window")

// NewGenerations returns the generations of a valid window. A caller that may
// learn of the end of a slice late, by up to grace nanoseconds, gets narrower
// slices, and calls Hold.
func NewGenerations(w hapax.Window, grace int64) *Generations {
	return &Generations{Numbers: newNumbers(), Reach: newReach(w, grace), cut: cutOf(w), most: math.MaxInt64}
}

// cut is the window in force, and what generations of it take.
type cut struct {
	window hapax.Window
	count  int64 // identities a generation; 0: no bound
	bytes  int64
}

func cutOf(w hapax.Window) cut {
	c := cut{window: w}
	if w.Count != 0 {
		c.count = max(w.Count/slicesOf(w), 1)
	}
	if w.Bytes != 0 {
		c.bytes = max(w.Bytes/slicesOf(w), 1)
	}
	return c
}

// slicesOf is how many slices a window is cut into.
func slicesOf(w hapax.Window) int64 {
	switch {
	case w.Kind == hapax.Tumbling:
		return 1
	case w.Time != 0 && (w.Count != 0 || w.Bytes != 0):
		return sliceCount / 2 // so that the slices of all bounds have numbers
	}
	return sliceCount
}

// Advance moves time on to now (Unix nanoseconds; an earlier one changes
// nothing) and returns the generations that ended by it.
func (g *Generations) Advance(now int64) []*Generation {
	g.watermark = max(g.watermark, now)
	if Untouched(g) {
		g.list[0].Start = g.watermark
	}
	if g.width == 0 {
		return nil
	}
	return g.expire(false, func(_ int, gen *Generation) bool { return g.Ended(gen.End) })
}

// Untouched tells whether nothing has come yet to a window that no time bounds. Its first
// generation starts when something does, which may be long after it was made.
func Untouched(g *Generations) bool {
	return g.width == 0 && g.count+g.bytes != 0 && g.newest == 1 && len(g.list) == 1 && g.list[0].First == 0 && g.list[0].Count == 0
}

// Hold says that identities were added to the newest generation until now: a
// caller that learns late of the end of a slice calls it before Advance.
func (g *Generations) Hold(now int64) {
	if n := len(g.list); n > 0 && g.width != 0 && g.window.Kind != hapax.Tumbling {
		g.list[n-1].End = max(g.list[n-1].End, now)
	}
}

// At returns the generation for a message of size bytes and of time t: of its
// arrival, or of the event, which is at most the watermark. It begins one where
// needed. [ErrLate]
// and [ErrNumbers] change nothing.
func (g *Generations) At(t, size int64) (*Generation, error) {
	if !g.window.EventTime {
		t = g.watermark
	}
	start, end := g.slice(t)
	if g.Ended(end) {
		return nil, ErrLate
	}
	if gen := g.open(start, end, size); gen != nil {
		return gen, nil
	}
	if g.live >= mostLive {
		if gen := g.stretch(end); gen != nil {
			return gen, nil
		}
	}
	return g.begin(start, end)
}

// stretch makes a live generation take one slice more, if one takes any: the newest,
// but where one that takes events reaches as far.
func (g *Generations) stretch(end int64) *Generation {
	var last *Generation
	for _, gen := range g.list {
		if !gen.takes() {
			continue
		}
		if last = gen; g.window.EventTime && gen.End >= end {
			return gen
		}
	}
	if last != nil {
		last.End = max(last.End, end)
	}
	return last
}

// LimitGeneration sets how many identities go into one generation, so that the
// oldest can leave while the newest come.
func (g *Generations) LimitGeneration(n int64) { g.most = max(n, 1) }

// open is the generation that takes messages of the slice, if there is one.
func (g *Generations) open(start, end, size int64) *Generation {
	for i := len(g.list) - 1; i >= 0; i-- {
		gen := g.list[i]
		switch {
		case !g.window.EventTime && (!gen.takes() || gen.ID <= g.former.Newest && g.live < mostLive):
			return nil // those before it are older
		case !gen.takes() || g.width != 0 && gen.Start > start:
			continue
		case gen.End < end:
			return nil // where time bounds nothing: it is from when it did
		case !g.Fits(gen, size) && g.live < mostLive:
			return nil
		}
		return gen
	}
	return nil
}

// takes tells whether a generation may be given more identities.
func (gen *Generation) takes() bool { return gen.Number != 0 && !gen.sealed }

// Seal says that the generation takes no more identities: its keys are about to
// leave the table. It must not be the newest.
func (g *Generations) Seal(gen *Generation) { gen.sealed = true }

// Fits tells whether the generation takes one more message of size bytes.
func (g *Generations) Fits(gen *Generation, size int64) bool {
	return g.Room(gen) > 0 && (g.bytes == 0 || gen.Count == 0 || gen.Bytes+size <= g.bytes)
}

// Room is how many identities fit the generation.
func (g *Generations) Room(gen *Generation) int64 {
	switch {
	case g.window.Kind == hapax.Tumbling && g.count != 0:
		return g.count - gen.Count
	case g.window.Kind == hapax.Tumbling && g.bytes != 0:
		return math.MaxInt64
	case g.count != 0:
		return min(g.count, g.most) - gen.Count
	case g.width == 0 && g.bytes == 0: // for ever: generations double
		return min(g.most, max(1<<16, g.Count()-gen.Count)) - gen.Count
	}
	return g.most - gen.Count
}

func (g *Generations) begin(start, end int64) (*Generation, error) {
	gen := &Generation{ID: g.newest + 1, Start: start, End: end}
	if err := g.take(gen); err != nil {
		return nil, err
	}
	g.newest++
	g.insert(gen)
	return gen, nil
}

func (g *Generations) insert(gen *Generation) {
	at := len(g.list)
	for at > 0 && !g.Later(gen, g.list[at-1]) {
		at--
	}
	g.list = slices.Insert(g.list, at, gen)
}

// Later tells whether what is in a comes behind what is in b: by arrival in the order
// in which they began, by event time in that in which they end.
func (c *cut) Later(a, b *Generation) bool {
	if c.window.EventTime && a.End != b.End {
		return a.End > b.End
	}
	return a.ID > b.ID
}

// Restore begins a generation again that was live before: while a log is read, or
// with its count, when the table is there again.
// One that is live already ends with the later of two ends. A generation whose keys are
// not in the table takes no number.
func (g *Generations) Restore(gen Generation, inTable bool) (*Generation, error) {
	gen.End = g.former.end(gen.ID, gen.End)
	if old := g.ByID(gen.ID); old != nil {
		old.End = max(old.End, gen.End)
		return old, nil
	}
	gen.Number = 0
	if inTable {
		if err := g.take(&gen); err != nil {
			return nil, err
		}
	}
	g.newest, g.adds = max(g.newest, gen.ID), max(g.adds, gen.Last)
	g.insert(&gen)
	return &gen, nil
}

// Remove counts identities out of a generation.
func (g *Generations) Remove(gen *Generation, n, bytes int64) {
	gen.Count -= n
	gen.Bytes -= bytes
}

// Add counts identities into a generation and returns the generations that ended
// by it, oldest first.
func (g *Generations) Add(gen *Generation, n, bytes int64) []*Generation {
	gen.Count += n
	gen.Bytes += bytes
	if g.count == 0 && g.bytes == 0 {
		return nil
	}
	g.adds++
	if gen.First == 0 {
		gen.First = g.adds
	}
	gen.Last = g.adds
	return g.expire(!g.window.EventTime, g.passed)
}

// passed tells whether as much has come since a generation as the window holds.
func (g *Generations) passed(i int, gen *Generation) bool {
	switch {
	case g.window.Kind == hapax.Tumbling:
		return i < len(g.list)-1
	case gen.First == 0 && g.window.EventTime:
		return false // restored, and yet to be filled
	}
	count, size := g.after(i, gen)
	return g.count != 0 && count >= g.window.Count || g.bytes != 0 && size >= g.window.Bytes
}

// after counts the identities that came after all those of a generation. By
// event time the generations are not in the order in which they came.
func (g *Generations) after(i int, gen *Generation) (count, size int64) {
	for j, later := range g.list {
		if !g.window.EventTime && j > i || g.window.EventTime && later.First > gen.Last {
			count += later.Count
			size += later.Bytes
		}
	}
	return count, size
}

// expire ends the generations for which ended holds. If those come first in the list
// it looks no further than at one that stays.
func (g *Generations) expire(inOrder bool, ended func(int, *Generation) bool) (gone []*Generation) {
	for i, gen := range g.list {
		if ended(i, gen) {
			gone = append(gone, gen)
		} else if inOrder {
			break
		}
	}
	for _, gen := range gone {
		g.remove(gen)
	}
	return gone
}

func (g *Generations) remove(gen *Generation) {
	at := slices.Index(g.list, gen)
	g.list = slices.Delete(g.list, at, at+1)
	g.retire(gen)
}

// Evict ends the oldest generation before its window did, if it is not the only
// one, and returns it.
func (g *Generations) Evict() *Generation {
	if len(g.list) < 2 {
		return nil
	}
	gone := g.list[0]
	g.remove(gone)
	return gone
}

// Drop ends the generation with that ID, if it is live, and returns it.
func (g *Generations) Drop(id uint64) *Generation {
	gen := g.ByID(id)
	if gen != nil {
		g.remove(gen)
	}
	return gen
}

// Chill takes the number from a generation whose keys have left the table for a
// file. It stays live.
func (g *Generations) Chill(gen *Generation) {
	g.retire(gen)
	gen.Number = 0
}

// Newest is the ID given out last.
func (l *living) Newest() uint64 { return l.newest }

// SkipTo makes the IDs go on after last, if they have not passed it.
func (l *living) SkipTo(last uint64) { l.newest = max(l.newest, last) }

// List is the live generations, oldest first. The slice is valid until the next
// call that changes them.
func (l *living) List() []*Generation { return l.list }

// ByID is the live generation with that ID, or nil.
func (l *living) ByID(id uint64) *Generation {
	for _, gen := range l.list {
		if gen.ID == id {
			return gen
		}
	}
	return nil
}

// OldestHot is the oldest live generation that has a number, or nil.
func (l *living) OldestHot() *Generation {
	for _, gen := range l.list {
		if gen.Number != 0 {
			return gen
		}
	}
	return nil
}

// Chilled tells whether a live generation younger than one with that ID has its keys in a
// file.
func (l *living) Chilled(id uint64) bool {
	return slices.ContainsFunc(l.list, func(gen *Generation) bool { return gen.Number == 0 && gen.ID > id })
}

// Count is the number of identities in live generations.
func (l *living) Count() (n int64) {
	for _, gen := range l.list {
		n += gen.Count
	}
	return n
}

// Next is when Advance or At will next have something to do: the end of the
// slice that now lies in, or of the oldest generation.
func (g *Generations) Next() int64 {
	if g.width == 0 {
		return math.MaxInt64
	}
	_, next := g.slice(g.watermark)
	for _, gen := range g.list {
		next = min(next, g.leaves(gen.End))
	}
	return next
}
