package window

// A sweep passes over the whole table, some blocks of a shard at a time, from the
// last shard to the first, and in a shard from the last block to the first. There
// are three kinds.
//
// A scrub clears the entries that have expired, so that their generations'
// numbers can be given out again.
//
// A growth by blocks adds some to each shard, behind those of all shards. Each takes
// slots over from some old ones, whose entries move, and no others:
//
//	old  │ 0 │ 1 │ … │ n │
//	new  │ 0 │ 1 │ … │ n │ n+1 │
//	       └───┴──────────▶
//
// A growth of blocks makes those of a small table, one of each shard, twice as
// long. Moving the last one first overwrites none that is yet to be moved:
//
//	old  │ 0 │ 1 │ … │ n │
//	new  │   0   │   1   │ … │   n   │
//
// Expired entries are left behind.
type sweep struct {
	active bool
	grows  bool
	shard  int      // that is being swept
	blocks []uint32 // of a shard that are swept; nil: all of them
	left   int      // of them, of the shard that is being swept
	over   []moved  // of a step: entries whose line in a new block is full
}

type moved struct {
	key    Key
	number uint8
	side   uint64
}

const (
	// fullest is the load at which the table wants to grow.
	fullest = 0.87
	// roomy is the load of a table that holds what it was made for: few keys
	// have to move for a new one, and it takes less than 20 bytes a key.
	roomy = 0.83
	// stretch is how many lines a step sweeps, at most, some ten microseconds' work.
	stretch = 1024
)

// BeginGrowth starts a growth to what [Layout.Grown] returned. It must hold the locks of
// all shards.
func (t *Table) BeginGrowth(next Layout) error {
	if err := next.Check(); err != nil {
		return err
	}
	lines, err := t.mem.Grow(t.space(next))
	if err != nil {
		return err
	}
	t.lines, t.next = lines, next
	d, blocks := t.dirs[0].grown(next.Blocks)
	t.dirs[1] = d
	t.begin(true, blocks)
	return nil
}

// BeginScrub starts a scrub. It must hold the locks of all shards.
func (t *Table) BeginScrub() { t.begin(false, nil) }

func (t *Table) begin(grows bool, blocks []uint32) {
	t.sweep = sweep{active: true, grows: grows, shard: shards - 1, blocks: blocks, over: t.sweep.over}
	t.sweep.beginShard(t.now)
	t.from = t.now.Blocks
}

// beginShard begins with the blocks of a shard.
func (s *sweep) beginShard(l Layout) {
	if s.left = len(s.blocks); s.blocks == nil {
		s.left = int(l.Blocks)
	}
}

// next is the block that is next to be swept, and -1 behind the last.
func (s *sweep) next() int {
	if s.blocks == nil || s.left == 0 {
		return s.left - 1
	}
	return int(s.blocks[s.left-1])
}

// Sweeping names the shard that Step would work on, and whether a sweep is on.
func (t *Table) Sweeping() (shard uint8, ok bool) { return uint8(t.sweep.shard), t.sweep.active }

// Step sweeps some blocks of a shard and returns the number of their lines, 0 if no
// sweep is on; Sweeping tells whether they were the last. It must hold the lock of the
// shard that Sweeping names.
func (t *Table) Step(live *Live) (lines int) {
	if !t.sweep.active {
		return 0
	}
	s := uint8(t.sweep.shard)
	if t.sweep.grows {
		t.epoch++
	}
	for ; t.sweep.left > 0 && lines < stretch; lines += t.now.BlockLines() {
		t.from = uint32(t.sweep.next())
		t.sweep.left--
		if next := t.sweep.next(); next >= 0 {
			t.loadRun(t.shards[s].first(s, uint32(next)), t.now.BlockLines()/2)
		}
		t.sweepBlock(s, t.from, live)
	}
	t.reinsert(live)
	if t.sweep.left > 0 {
		return lines
	}
	t.leave(s, live)
	t.sweep.beginShard(t.now)
	t.from = t.now.Blocks
	if t.sweep.shard--; s == 0 {
		t.sweep = sweep{over: t.sweep.over}
		t.now, t.dirs[0] = t.next, t.dirs[1]
	}
	return lines
}

func (t *Table) sweepBlock(s uint8, block uint32, live *Live) {
	if t.absent.left > 0 {
		t.need(blockNumber(s, block))
	}
	switch {
	case !t.sweep.grows:
		t.scrub(s, block, live)
	case t.next.Bits > t.now.Bits:
		t.stretchBlock(s, live)
	default:
		t.shed(s, block, live)
	}
}

// leave ends the sweep of a shard. Keys that had found no place try again.
func (t *Table) leave(s uint8, live *Live) {
	sh := &t.shards[s]
	if t.sweep.grows {
		sh.dir, sh.bits, sh.moving = t.dirs[1], t.next.bucketBits(), false
		sh.changed()
	}
	if !sh.spills {
		return
	}
	for k, e := range t.spill[s] {
		if live[e.number] {
			t.sweep.over = append(t.sweep.over, moved{k, e.number, e.side})
		}
	}
	t.spill[s], sh.spills = nil, false
	t.reinsert(live)
}

// reinsert puts the entries left over into the table and loses none: one that
// finds no place is spilled, bound or no bound.
func (t *Table) reinsert(live *Live) {
	const together = 64
	var keys [together]Key
	var spots [together]Spot
	for over := t.sweep.over; len(over) > 0; over = over[min(len(over), together):] {
		n := min(len(over), together)
		for i := range n {
			keys[i], spots[i] = over[i].key, t.Spot(over[i].key)
		}
		t.Load(keys[:n], spots[:n], live)
		for i, m := range over[:n] {
			p, err := t.InsertAt(m.key, spots[i], m.number, live)
			if err != nil {
				t.spill[m.key.shard][m.key] = spilled{number: m.number}
				p = Place{slot: spilledSlot}
			}
			t.SetSide(m.key, p, m.side)
		}
	}
	t.sweep.over = t.sweep.over[:0]
}

func (t *Table) scrub(s uint8, block uint32, live *Live) {
	from := t.shards[s].first(s, block)
	for b := from; b < from+1<<t.now.bucketBits(); b++ {
		entries := t.bucket(b)
		clean(entries, vacant(entries, live))
	}
}

// clean clears those of the vacant slots of a bucket that are not empty.
func clean(b *bucket, vacant uint8) {
	for expired := vacant &^ empty(b); expired != 0; expired &= expired - 1 {
		slot := firstOf(expired)
		b[2*slot], b[2*slot+1] = 0, 0
	}
}

// shed moves those live entries of a block that are in slots of a new one now, and
// clears it of expired ones. An entry goes to the same bucket of the new block. The few
// whose bucket is full by then find a place as a new key does.
func (t *Table) shed(s uint8, block uint32, live *Live) {
	sh, next := &t.shards[s], t.dirs[1]
	sh.moving = true
	sh.changed()
	from := sh.first(s, block)
	for b := from; b < from+1<<sh.bits; b++ {
		entries := t.bucket(b)
		free := vacant(entries, live)
		clean(entries, free)
		for leave := next.others(entries, b&1, block) &^ free; leave != 0; leave &= leave - 1 {
			p := Place{b, firstOf(leave)}
			to := sh.first(s, next.block(entries[2*p.slot+uint8(b&1)])) + b - from
			if at := vacant(t.bucket(to), live); at != 0 {
				t.move(p, Place{to, firstOf(at)})
			} else {
				k, number := t.key(s, p)
				t.sweep.over = append(t.sweep.over, moved{k, number, t.side(p)})
			}
			entries[2*p.slot], entries[2*p.slot+1] = 0, 0
		}
	}
}

// stretchBlock moves the live entries of shard s's one block to where the next layout
// has it, which is twice as long: all of them find a place, as two buckets take what was
// in one.
func (t *Table) stretchBlock(s uint8, live *Live) {
	var lines [3 << (fullBits - 2)]Line
	n := uint32(1) << t.now.bucketBits()
	old := cells{lines[:Space(t.now.BlockLines(), t.beside != 0)], t.beside}
	from, to := uint32(s)*n, uint32(s)*2*n
	copy(old.lines, t.lines[t.at(from):])
	clear(t.lines[t.at(to):t.at(to+2*n)])
	t.shards[s].bits = t.next.bucketBits()
	for b := range n {
		for slot := range uint8(slots) {
			p := Place{b, slot}
			k, number := old.key(s, p)
			if !live[number] {
				continue
			}
			spot := t.Spot(k)
			next := Place{bucket: spot.home}
			if b&1 != 0 {
				next.bucket = spot.other
			}
			next.slot = firstOf(vacant(t.bucket(next.bucket), live))
			t.put(next, k, number)
			if t.beside != 0 {
				*t.word(next) = old.side(p)
			}
		}
	}
}
