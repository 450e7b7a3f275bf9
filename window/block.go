package window

// Block calls visit for each entry of one block of a shard, live or not, and
// tells whether the shard has more blocks; with the last come the entries that
// found no place. It must hold the shard's lock. While no sweep is on, entries
// stay in their block: who visits all has seen each that was there from the
// first on.
func (t *Table) Block(shard uint8, block int, visit func(k Key, number uint8, side uint64)) (more bool) {
	l := t.shards[shard].Layout
	number := int(shard)<<l.Bits + block
	if t.shards[shard].absent > 0 {
		t.need(number)
	}
	from := number * int(l.Block)
	for line := from; line < from+int(l.Block); line++ {
		for slot := range slots {
			p := Place{line, slot}
			if k, number := t.keyAt(shard, p); number != 0 {
				visit(k, number, t.Side(k, p))
			}
		}
	}
	if block+1 < 1<<l.Bits {
		return true
	}
	for k, e := range t.spill[shard] {
		visit(k, e.number, e.side)
	}
	return false
}

// All calls yield for each entry of a shard, live or not, until it returns
// false. It must hold the shard's lock, and the shard must not be half swept.
func (t *Table) All(shard uint8, yield func(k Key, number uint8, side uint64) bool) {
	going := true
	for block, more := 0, true; more && going; block++ {
		more = t.Block(shard, block, func(k Key, number uint8, side uint64) {
			going = going && yield(k, number, side)
		})
	}
}
