package group

// spot is where a group keeps a partition's offset.
type spot struct {
	group     *group
	partition Partition
}

// transactions are the producers with an open transaction, and where it has
// offsets pending.
type transactions map[int64]map[spot]struct{}

// note keeps in mind that a producer has something pending at a spot.
func (t transactions) note(producer int64, at spot) {
	if t[producer] == nil {
		t[producer] = map[spot]struct{}{}
	}
	t[producer][at] = struct{}{}
}

// drop forgets all that is pending at a spot.
func (t transactions) drop(at spot, c *cell) {
	for _, waiting := range c.pending {
		delete(t[waiting.producer], at)
		if len(t[waiting.producer]) == 0 {
			delete(t, waiting.producer)
		}
	}
	c.pending = nil
}

// clear forgets what a group knows of a partition.
func (t transactions) clear(at spot) {
	if c := at.group.cells[at.partition]; c != nil {
		t.drop(at, c)
		delete(at.group.cells, at.partition)
	}
}

// end settles all that a producer has pending.
func (t transactions) end(producer int64, commit bool) {
	for at := range t[producer] {
		c := at.group.cells[at.partition]
		if c == nil {
			continue
		}
		c.settle(producer, commit)
		if !c.known && len(c.pending) == 0 {
			delete(at.group.cells, at.partition)
		}
	}
	delete(t, producer)
}
