package window

// cells is the memory of a table: lines of entries and, of a table that keeps a word
// beside each, for every two lines a third with their words, so that all that is of a
// key is near each other:
//
//	lines   │ 0 │ 1 │ words │ 2 │ 3 │ words │ …
type cells struct {
	lines  []Line
	beside uint32 // all ones if there are words, else zero
}

// Line is four entries of two words, or the words beside eight: one cache line.
type Line [8]uint64

// Memory is where a table keeps its lines. The table never frees them.
type Memory interface {
	// Grow makes room for n lines in all, the added ones zeroed and the others
	// kept, and returns them. The lines may have moved.
	Grow(n int) ([]Line, error)
}

// Space is how many lines of memory so many of entries take.
func Space(lines int, beside bool) int {
	if beside {
		return lines + (lines+1)/2
	}
	return lines
}

// Place is where an entry stands until the table next changes.
type Place struct {
	line uint32
	slot uint8 // spilledSlot: among the spilled
}

// spilledSlot says that an entry found no place in the lines.
const spilledSlot = slots

// at is where a line is in memory.
func (c *cells) at(line uint32) uint32 { return line + line>>1&c.beside }

func (c *cells) line(line uint32) *Line { return &c.lines[c.at(line)] }

// word is the word beside an entry.
func (c *cells) word(p Place) *uint64 {
	return &c.lines[c.at(p.line|1)+1][p.line&1*slots+uint32(p.slot)]
}

// put writes an entry.
func (c *cells) put(p Place, k Key, number uint8) {
	l := c.line(p.line)
	l[2*p.slot] = k.home
	l[2*p.slot+1] = k.rest | uint64(number)
}

// key is the key in a slot, of shard s.
func (c *cells) key(s uint8, p Place) (Key, uint8) {
	l := c.line(p.line)
	w := l[2*p.slot+1]
	return Key{home: l[2*p.slot], rest: w &^ numberBits, shard: s}, uint8(w)
}

// move moves an entry, and what is beside it.
func (c *cells) move(from, to Place) {
	f, l := c.line(from.line), c.line(to.line)
	l[2*to.slot], l[2*to.slot+1] = f[2*from.slot], f[2*from.slot+1]
	if c.beside != 0 {
		*c.word(to) = *c.word(from)
	}
}

// side is the word beside an entry, 0 if there are none.
func (c *cells) side(p Place) uint64 {
	if c.beside == 0 {
		return 0
	}
	return *c.word(p)
}

// load asks for lines, and for what is beside them, without waiting for them: the
// misses overlap, as many as the processor can have.
func (c *cells) load(lines []uint32) {
	if len(lines) > 0 {
		loadLines(&c.lines[0], c.beside, &lines[0], len(lines))
	}
}

// loadRun is load of n lines from an even one on.
func (c *cells) loadRun(from uint32, n int) {
	var at [1 << fullBits]uint32
	for i := range n {
		at[i] = from + uint32(i)
	}
	c.load(at[:n])
}

// vacant is the slots of a line that hold no live entry, a bit each.
func vacant(l *Line, live *Live) uint8 {
	return not(live[uint8(l[1])]) | not(live[uint8(l[3])])<<1 | not(live[uint8(l[5])])<<2 | not(live[uint8(l[7])])<<3
}

// empty is the slots of a line that hold no entry, live or not, a bit each.
func empty(l *Line) uint8 {
	return not(uint8(l[1]) != 0) | not(uint8(l[3]) != 0)<<1 | not(uint8(l[5]) != 0)<<2 | not(uint8(l[7]) != 0)<<3
}

func not(b bool) uint8 {
	if b {
		return 0
	}
	return 1
}
