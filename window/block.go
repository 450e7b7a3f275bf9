package window

// Block calls visit for each entry of one block of a shard, live or not, and
// tells whether the shard has more blocks, which are to be visited in their order;
// with the last come the entries that found no place. It must hold the shard's lock.
// While no sweep is on, who visits all has seen each once that was there from the
// first on: no entry moves past the walk, of which a shard has one at a time.
func (t *Table) Block(shard uint8, block uint32, visit func(k Key, number uint8, side uint64)) (more bool) {
	sh := &t.shards[shard]
	t.visit(shard, block, visit)
	if sh.walked = block + 1; sh.walked < sh.dir.count {
		return true
	}
	sh.walked = 0
	for k, e := range t.spill[shard] {
		visit(k, e.number, e.side)
	}
	return false
}

// visit calls visit for each entry that has its place in a block.
func (t *Table) visit(shard uint8, block uint32, visit func(k Key, number uint8, side uint64)) {
	sh := &t.shards[shard]
	if sh.absent > 0 {
		t.need(blockNumber(shard, block))
	}
	first := sh.first(shard, block)
	for b := first; b < first+1<<sh.bits; b++ {
		for slot := range uint8(slots) {
			p := Place{b, slot}
			if k, number := t.key(shard, p); number != 0 {
				visit(k, number, t.Side(k, p))
			}
		}
	}
}

// parts tells whether an entry may not move from one bucket to another, as who walks
// over the shard has come between them.
func (sh *shard) parts(from, to uint32) bool {
	return sh.walked > 0 && (from>>(fullBits-1)>>8 < sh.walked) != (to>>(fullBits-1)>>8 < sh.walked)
}

// All calls yield for each entry of a shard, live or not, until it returns
// false. It must hold the shard's lock, and the shard must not be half swept.
func (t *Table) All(shard uint8, yield func(k Key, number uint8, side uint64) bool) {
	going := true
	once := func(k Key, number uint8, side uint64) { going = going && yield(k, number, side) }
	for block := uint32(0); going && block < t.shards[shard].dir.count; block++ {
		t.visit(shard, block, once)
	}
	for k, e := range t.spill[shard] {
		once(k, e.number, e.side)
	}
}
