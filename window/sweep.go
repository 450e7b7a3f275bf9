package window

import "slices"

// A sweep passes over the whole table, a block at a time, from the last block to
// the first. There are two kinds.
//
// A scrub clears the entries that have expired, so that their generations'
// numbers can be given out again.
//
// A growth moves every live entry to a layout with more lines, in place. Blocks
// keep their order, and none begins before its old place, so moving the last
// block first never overwrites one that is yet to be moved:
//
//	old  │ 0 │ 1 │ … │ n │
//	new  │  0  │  1  │ … │  n  │
//	             ◀── sweep
//
// A block that has become too long is laid out anew as two. Expired entries are
// left behind, so a growth is a scrub too.
type sweep struct {
	active bool
	grows  bool

	lines []Line // scratch: the block that is moving
	sides []Side
	taken []uint8 // scratch: slots of the next layout's lines that are
	left  []moved // scratch: entries whose line in the next layout is full
}

type moved struct {
	key    Key
	number uint8
	side   uint64
}

const (
	// fullest is the load at which the table wants to grow.
	fullest = 0.89
	// roomy is the load of a table that holds what it was made for: few keys
	// have to move for a new one, and it takes less than 20 bytes a key.
	roomy = 0.83
	// small is the number of lines, 12 MiB of them, below which memory is traded
	// for time: the table that such a one grows to is for 800,000 keys.
	small = 3 << 16
	// large is the number of lines, 64 MiB of them, from which what else a process
	// takes is no matter beside them.
	large = 1 << 20
)

// Growth is how a table grows: by so much of itself, half at most, or by the least
// that pays if that is more or Limit, a number of lines, allows no more.
type Growth struct {
	By    float64
	Limit int
}

// Grown is the layout after the table's next growth. It is over the limit if
// there can be none.
func (t *Table) Grown(g Growth) Layout { return t.now.grown(g) }

// Largest is the number of lines the table will have when it has grown as often
// as it can.
func (t *Table) Largest(g Growth) int {
	l := t.now
	for next := l.grown(g); next.Lines() <= g.Limit; next = l.grown(g) {
		l = next
	}
	return l.Lines()
}

func (l Layout) grown(g Growth) Layout {
	if to := l.grownBy(max(g.By, l.least())); to.Lines() <= g.Limit {
		return to
	}
	return l.grownBy(l.least())
}

// least is a thirty-second, or a thirteenth, which keeps the load above 0.82 at the
// worst moment. Where a megabyte is no matter it is a half, so that a key moves
// three times and not sixteen.
func (l Layout) least() float64 {
	switch {
	case l.Lines() < small:
		return 1. / 2
	case l.Lines() < large:
		return 1. / 32
	}
	return 1. / 13
}

func (l Layout) grownBy(part float64) Layout {
	lines := int(l.Block) << l.Bits
	return layoutFor(lines + int(part*float64(lines)) + 1)
}

// BeginGrowth starts a growth to what Grown returned. It must hold the locks of
// all shards.
func (t *Table) BeginGrowth(next Layout) error {
	lines, sides, err := t.mem.Grow(next.Lines())
	if err != nil {
		return err
	}
	t.lines, t.sides = lines, sides
	t.next = next
	t.begin(true)
	return nil
}

// BeginScrub starts a scrub. It must hold the locks of all shards.
func (t *Table) BeginScrub() { t.begin(false) }

func (t *Table) begin(grows bool) {
	t.sweep.active, t.sweep.grows, t.edge = true, grows, shards<<t.now.Bits
}

// Sweeping names the shard that Step would work on, and whether a sweep is on.
func (t *Table) Sweeping() (shard uint8, ok bool) {
	return uint8((t.edge - 1) >> t.now.Bits), t.sweep.active
}

// Step sweeps one block and returns the number of its lines, 0 if no sweep is
// on; Sweeping tells whether it was the last. It must hold the lock of the shard
// that Sweeping names.
func (t *Table) Step(live *Live) (lines int) {
	if !t.sweep.active {
		return 0
	}
	block := t.edge - 1
	shard := block >> t.now.Bits
	if t.absent.left > 0 {
		t.need(block)
	}
	if t.sweep.grows {
		t.moveBlock(shard, block, live)
		t.epoch++
	} else {
		t.scrubBlock(block, live)
	}
	t.edge = block
	if block == shard<<t.now.Bits {
		t.leave(shard, live)
	}
	lines = int(t.now.Block)
	if block == 0 {
		t.sweep.active = false
		t.now = t.next
	}
	return lines
}

// leave ends the sweep of a shard. Keys that had found no place try again.
func (t *Table) leave(shard int, live *Live) {
	if t.sweep.grows {
		t.shards[shard].Layout, t.shards[shard].moving = t.next, false
	}
	if !t.shards[shard].spills {
		return
	}
	t.sweep.left = t.sweep.left[:0]
	for k, e := range t.spill[shard] {
		if live[e.number] {
			t.sweep.left = append(t.sweep.left, moved{k, e.number, e.side})
		}
	}
	clear(t.spill[shard])
	t.shards[shard].spills = false
	t.reinsert(live)
}

// reinsert puts the entries left over into the table and loses none: one that
// finds no place is spilled, bound or no bound.
func (t *Table) reinsert(live *Live) {
	for _, m := range t.sweep.left {
		p, err := t.Insert(m.key, m.number, live)
		if err != nil {
			t.spill[m.key.shard][m.key] = spilled{number: m.number}
			p = Place{line: -1}
		}
		t.SetSide(m.key, p, m.side)
	}
}

func (t *Table) scrubBlock(block int, live *Live) {
	from := block * int(t.now.Block)
	lines := t.lines[from : from+int(t.now.Block)]
	for i := range lines {
		for slot := range slots {
			if number := uint8(lines[i][2*slot+1]); number != 0 && !live[number] {
				lines[i][2*slot], lines[i][2*slot+1] = 0, 0
			}
		}
	}
}

// moveBlock moves the live entries of a block to where the next layout has it.
// An entry in the first of its lines goes to the first again, one in the second
// to the second: both lie as far into the block as before, so that the lines are
// written in their order. The few whose line is full by then find a place as a
// new key does.
func (t *Table) moveBlock(shard, block int, live *Live) {
	t.lift(block)
	now, next := t.now, t.next
	base := block << (next.Bits - now.Bits) * int(next.Block)
	lines := t.lines[base : base+int(next.Block)<<(next.Bits-now.Bits)]
	clear(lines)
	t.sweep.taken = slices.Grow(t.sweep.taken[:0], len(lines))[:len(lines)]
	clear(t.sweep.taken)
	t.shards[shard].moving = true
	t.edge = block
	t.sweep.left = t.sweep.left[:0]
	for i := range t.sweep.lines {
		l := &t.sweep.lines[i]
		for slot := range slots {
			home, rest := l[2*slot], l[2*slot+1]
			if !live[uint8(rest)] {
				continue
			}
			k := Key{home: home, rest: rest, shard: uint8(shard)}
			to := next.line(k)
			if now.line(k) != i {
				to = next.second(k, to)
			}
			if next.Bits != now.Bits {
				to += int(home<<now.Bits>>63) * int(next.Block)
			}
			if at := t.sweep.taken[to]; at < slots {
				t.sweep.taken[to] = at + 1
				lines[to][2*at], lines[to][2*at+1] = home, rest
				if t.sides != nil {
					t.sides[base+to][at] = t.sweep.sides[i][slot]
				}
				continue
			}
			m := moved{key: k, number: uint8(rest)}
			m.key.rest &^= numberBits
			if t.sides != nil {
				m.side = t.sweep.sides[i][slot]
			}
			t.sweep.left = append(t.sweep.left, m)
		}
	}
	t.reinsert(live)
}

// lift copies a block to the scratch lines, which are made for the longest one at
// once: blocks grow little by little.
func (t *Table) lift(block int) {
	if t.sweep.lines == nil {
		t.sweep.lines = make([]Line, 0, longest)
		t.sweep.taken = make([]uint8, 0, 2*longest)
	}
	from := block * int(t.now.Block)
	to := from + int(t.now.Block)
	t.sweep.lines = append(t.sweep.lines[:0], t.lines[from:to]...)
	if t.sides != nil {
		t.sweep.sides = append(t.sweep.sides[:0], t.sides[from:to]...)
	}
}
