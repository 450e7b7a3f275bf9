package window

import "math/bits"

// A sweep passes over the whole table, a few lines at a time, from the last
// shard to the first. There are two kinds.
//
// A scrub clears the entries that have expired, so that their generations'
// numbers can be given out again.
//
// A growth moves every live entry to a layout with more lines, in place. Homes
// keep their order, and no entry's new line lies before its old one, so moving
// from the last home down never overwrites what is yet to be moved:
//
//	old  │ shard 0 │ shard 1 │ … │ shard 255 │
//	new  │ shard 0  │ shard 1  │ … │ shard 255  │
//	                    ◀── sweep
//
// One shard at a time is moving: its homes below edge are still laid out the old
// way, those from edge on the new way. Expired entries are left behind, so a
// growth is a scrub too.
type sweep struct {
	active  bool
	grows   bool
	shard   int // being swept
	edge    int // its homes (growth) or lines (scrub) yet to sweep
	scratch []moved
}

type moved struct {
	key    Key
	number uint8
	side   uint64
}

const (
	// fullest is the load at which the table wants to grow.
	fullest = 0.90
	// chunk is how many homes a growth moves at once.
	chunk = 256
)

// Grown is the number of lines the table will have after the next growth.
func (t *Table) Grown() int { return t.grown().lines() }

// grown is the layout after the next growth: a twelfth more, which keeps the
// load above four fifths at the worst moment, and a little less while the
// neighbourhoods of a small table are a good part of it.
func (t *Table) grown() layout {
	homes := int(t.now.homes)
	if homes < 1<<12 {
		return layoutFor(homes + homes/16 + 1)
	}
	return layoutFor(homes + homes/12)
}

// BeginGrowth starts a growth. It must hold the locks of all shards.
func (t *Table) BeginGrowth() error {
	next := t.grown()
	lines, sides, err := t.mem.Grow(next.lines())
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
	scratch := t.sweep.scratch
	t.sweep = sweep{active: true, grows: grows, shard: shards - 1, scratch: scratch[:0]}
	t.enter()
}

// Sweeping names the shard that Step would work on, and whether a sweep is on.
func (t *Table) Sweeping() (shard uint8, ok bool) {
	return uint8(t.sweep.shard), t.sweep.active
}

// Left is about how many lines the sweep has yet to pass.
func (t *Table) Left() int {
	if !t.sweep.active {
		return 0
	}
	return t.sweep.shard*t.now.stride() + t.sweep.edge
}

// Step sweeps about n lines of one shard and returns how many it did; Sweeping
// tells whether that ended the sweep. It must hold the lock of the shard that
// Sweeping names.
func (t *Table) Step(n int, live *Live) (swept int) {
	if !t.sweep.active {
		return 0
	}
	before := t.sweep.edge
	if t.sweep.grows {
		for ; n > 0 && t.sweep.edge > 0; n -= chunk {
			t.moveChunk(live)
		}
	} else {
		t.scrub(n, live)
	}
	swept = before - t.sweep.edge
	if t.sweep.edge > 0 {
		return swept
	}
	t.leave(live)
	if t.sweep.shard > 0 {
		t.sweep.shard--
		t.enter()
		return swept
	}
	t.sweep.active = false
	t.now = t.next
	return swept
}

// enter begins the sweep of a shard.
func (t *Table) enter() {
	if !t.sweep.grows {
		t.sweep.edge = t.now.stride()
		return
	}
	t.sweep.edge = int(t.now.homes)
}

// leave ends it. Keys that had found no place try again.
func (t *Table) leave(live *Live) {
	s := t.sweep.shard
	if t.sweep.grows {
		t.place(s, t.next)
	}
	again := t.sweep.scratch[:0]
	for k, e := range t.spill[s] {
		if live[e.number] {
			again = append(again, moved{k, e.number, e.side})
		}
	}
	clear(t.spill[s])
	t.shards[s].spills = false
	for _, m := range again {
		t.reinsert(m, live)
	}
	t.sweep.scratch = again
}

// reinsert never loses a key: one that still finds no place is spilled, bound
// or no bound.
func (t *Table) reinsert(m moved, live *Live) {
	p, err := t.Insert(m.key, m.number, live)
	if err != nil {
		t.spill[m.key.shard][m.key] = spilled{number: m.number}
		p = Place{line: -1}
	}
	t.SetSide(m.key, p, m.side)
}

func (t *Table) scrub(n int, live *Live) {
	base := int(t.shards[t.sweep.shard].base)
	for ; n > 0 && t.sweep.edge > 0; n-- {
		t.sweep.edge--
		l := &t.lines[base+t.sweep.edge]
		for slot := range slots {
			if number := uint8(l[2*slot+1]); number != 0 && !live[number] {
				l[2*slot], l[2*slot+1] = 0, 0
			}
		}
	}
}

// placesMoving is places for the shard that is growing.
func (t *Table) placesMoving(k Key) (home, other int) {
	at, _ := bits.Mul64(k.home, uint64(t.now.homes))
	l := t.now
	if int(at) >= t.sweep.edge {
		l = t.next
		at, _ = bits.Mul64(k.home, uint64(l.homes))
	}
	home = int(k.shard)*l.stride() + int(at)
	return home, home + k.stray(l.spread)
}

// moveChunk moves the entries whose old homes are the last ones below edge.
func (t *Table) moveChunk(live *Live) {
	s, now, next := t.sweep.shard, t.now, t.next
	oldBase, newBase := s*now.stride(), s*next.stride()
	edge := t.sweep.edge
	low := max(edge-chunk, 0)
	if newBase+t.newHome(low) < oldBase+low+int(now.spread) {
		low = 0 // the lines left over and the new ones would overlap: all at once
	}
	t.sweep.scratch = t.take(t.sweep.scratch[:0], oldBase, low, edge, live)
	end := newBase + t.newHome(edge)
	if !t.shards[s].moving { // first chunk: the lines behind the last home, too
		end = newBase + next.stride()
		t.shards[s].moving = true
	}
	clear(t.lines[newBase+t.newHome(low) : end])
	t.sweep.edge = low
	for _, m := range t.sweep.scratch {
		t.reinsert(m, live)
	}
}

// take removes the live entries with old homes in [low, edge) and appends them
// to dst. Entries with homes from edge on have been taken before.
func (t *Table) take(dst []moved, base, low, edge int, live *Live) []moved {
	s := uint8(t.sweep.shard)
	first, behind := low, min(edge+int(t.now.spread), t.now.stride())
	for line := base + first; line < base+behind; line++ {
		for slot := range slots {
			p := Place{line, slot}
			k, number := t.keyAt(s, p)
			if number == 0 {
				continue
			}
			if at, _ := bits.Mul64(k.home, uint64(t.now.homes)); int(at) < low {
				continue
			}
			if live[number] {
				m := moved{key: k, number: number}
				if t.sides != nil {
					m.side = t.sides[line][slot]
				}
				dst = append(dst, m)
			}
			t.lines[line][2*slot], t.lines[line][2*slot+1] = 0, 0
		}
	}
	return dst
}

// newHome is the first new home of the keys whose old home is at.
func (t *Table) newHome(at int) int {
	if at >= int(t.now.homes) {
		return int(t.next.homes)
	}
	// The smallest word 0 with that old home: ⌈at·2⁶⁴ / homes⌉.
	q, r := bits.Div64(uint64(at), 0, uint64(t.now.homes))
	if r > 0 {
		q++
	}
	home, _ := bits.Mul64(q, uint64(t.next.homes))
	return int(home)
}
