package window

// Load asks for the lines of a batch's keys, so that their misses overlap: find
// the spots of all keys, load them, then ask. Where a key's two lines are both
// full it also asks for those that a new key would have entries move to. It
// changes nothing, and takes no notice of what comes between.
func (g *grid) Load(keys []Key, spots []Spot) {
	if len(spots) == 0 {
		return
	}
	loadLines(&g.lines[0], &spots[0].home, 2*len(spots))
	for i, s := range spots {
		if full(&g.lines[s.home]) && full(&g.lines[s.other]) {
			home, other := g.ways(keys[i].shard, int(s.home)), g.ways(keys[i].shard, int(s.other))
			loadLines(&g.lines[0], &home[0], slots)
			loadLines(&g.lines[0], &other[0], slots)
		}
	}
}

// Ahead asks for the two lines of a key. It may be called without the locks that
// guard them, and before they are taken, so that waiting for the one and for the
// other overlap. It takes no notice of a growth under way, and then asks in vain.
func (g *grid) Ahead(k Key) {
	a := g.ahead.Load()
	home, other := a.places(k)
	at := [2]uint32{uint32(home), uint32(other)}
	loadLines(a.lines, &at[0], len(at))
}

// ahead is where keys' lines were lately.
type ahead struct {
	Layout
	lines *Line
}

// settle makes a layout the one that all keys are found by.
func (g *grid) settle(l Layout) {
	g.now, g.next = l, l
	g.ahead.Store(&ahead{l, &g.lines[0]})
}

// full tells whether every slot of a line was ever written.
func full(l *Line) bool {
	return uint8(l[1]) != 0 && uint8(l[3]) != 0 && uint8(l[5]) != 0 && uint8(l[7]) != 0
}
