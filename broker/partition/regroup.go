package partition

const (
	// smallExtent is the length below which batches are regrouped. Above it they stay
	// where they were written, so that what comes in large batches is written once.
	smallExtent = 8 << 10
	// MaxRun is how many bytes are moved at once, unless one batch has more.
	MaxRun = 256 << 10
	// What is adjacent and small is regrouped if it is so many bytes, or extents.
	leastRun     = 64 << 10
	leastExtents = 32
	// maxLook is how many extents are looked at with the partition locked.
	maxLook = 1 << 14
)

// group is adjacent extents that are to be moved together.
type group struct {
	extents []Extent
	bytes   int64
	oldest  int64
	newest  int64
}

func (g *group) add(e Extent) {
	if len(g.extents) == 0 {
		g.oldest, g.newest = e.MaxTime, e.MaxTime
	}
	g.extents = append(g.extents, e)
	g.bytes += int64(e.Length)
	g.oldest, g.newest = min(g.oldest, e.MaxTime), max(g.newest, e.MaxTime)
}

// takes tells whether e may be in the group too.
func (g *group) takes(e Extent, span int64) bool {
	return len(g.extents) == 0 ||
		g.bytes+int64(e.Length) <= MaxRun && max(g.newest, e.MaxTime)-min(g.oldest, e.MaxTime) <= span
}

// Small finds small extents, the first that are worth regrouping at an offset or
// behind it: adjacent ones in files before a number, whose records' times span so
// many ms at most. The last batch is none of them: see [Old.In]. It gives none if
// there are none among the next extents; it is to be called again with next until
// that is the end of what there is, -1.
func (p Old) Small(offset int64, before uint64, span int64) (extents []Extent, next int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	limit := min(p.limit(true), p.end-1)
	var g group
	looked := 0
	full := func(next int64) ([]Extent, int64) { return g.extents, next }
	blocks := p.index.blocks
	for _, b := range blocks[p.index.search(offset):] {
		if b.small == 0 || b.file >= before {
			if g.worth() {
				return full(b.base)
			}
			g = group{}
			continue
		}
		for i := b.search(offset); i < len(b.entries); i++ {
			e := b.extent(i)
			looked++
			switch movable := e.Length < smallExtent && e.File < before && e.Last < limit; {
			case movable && g.takes(e, span):
				g.add(e)
				continue
			case g.worth():
				return full(e.Base)
			case looked > maxLook:
				return nil, e.Base
			case movable:
				g = group{}
				g.add(e)
			default:
				g = group{}
			}
		}
	}
	if g.worth() {
		return full(g.extents[len(g.extents)-1].Last + 1)
	}
	return nil, -1
}

func (g *group) worth() bool {
	return len(g.extents) > 1 && (g.bytes >= leastRun || len(g.extents) >= leastExtents)
}

// In finds extents in a file, the first adjacent ones at an offset or behind it,
// whose records' times span so many ms at most; none if there are none. A run comes
// alone: its oldest time is not known, and it would grow each time that it is moved, by
// what is younger. So does the last batch: in a run with others it would have
// compaction leave these alone too, for as long as nobody writes.
func (p Old) In(file uint64, offset, span int64) (extents []Extent) {
	p.mu.Lock()
	defer p.mu.Unlock()
	limit := p.limit(true)
	var g group
	for _, b := range p.index.blocks[p.index.search(offset):] {
		if b.file != file {
			if len(g.extents) > 0 {
				return g.extents
			}
			continue
		}
		for i := b.search(offset); i < len(b.entries); i++ {
			e := b.extent(i)
			alone := e.Run || e.Last == p.end-1
			if e.Last >= limit || !g.takes(e, span) || alone && len(g.extents) > 0 {
				return g.extents
			}
			if g.add(e); alone {
				return g.extents
			}
		}
	}
	return g.extents
}

// Live adds how many bytes of each file of the log are batches of the partition.
func (p Old) Live(files map[uint64]int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.index.live(files)
}

// CountSmall is how many of them are small.
func (p Old) CountSmall() (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, b := range p.index.blocks {
		n += b.small
	}
	return n
}

// Len is how many extents the partition has.
func (p Old) Len() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.index.count
}
