package window

import "unsafe"

// Load asks for the lines of a batch's keys, so that their misses overlap: find
// the spots of all keys, load them, then ask. Where a key's two lines are both
// full of live entries it also asks for those that a new key would have entries move
// to. It changes nothing, and takes no notice of what comes between.
func (g *grid) Load(keys []Key, spots []Spot, live *Live) {
	if len(spots) == 0 {
		return
	}
	loadLines(&g.lines[0], &spots[0].home, 2*len(spots))
	if g.sides != nil {
		g.loadSides(spots)
	}
	for i, s := range spots {
		if vacant(&g.lines[s.home], live)|vacant(&g.lines[s.other], live) == 0 {
			home, other := g.ways(keys[i].shard, int(s.home)), g.ways(keys[i].shard, int(s.other))
			loadLines(&g.lines[0], &home[0], slots)
			loadLines(&g.lines[0], &other[0], slots)
		}
	}
}

// loadSides asks for the words beside the lines. Two lines' are one line of the
// processor's.
func (g *grid) loadSides(spots []Spot) {
	first := (*Line)(unsafe.Pointer(&g.sides[0]))
	for _, s := range spots {
		at := [2]uint32{s.home / 2, s.other / 2}
		loadLines(first, &at[0], len(at))
	}
}

// Ahead is where a table had its keys' lines at one time.
type Ahead struct {
	layout Layout
	lines  *Line
}

// Ahead is where the keys' lines are between two growths.
func (g *grid) Ahead() Ahead { return Ahead{g.now, &g.lines[0]} }

// Load asks for the two lines of a key. It reads nothing, so it takes no lock:
// waiting for the lines and for the lock that guards them overlap. Where the
// lines are elsewhere by now, or gone, it has asked in vain.
func (a *Ahead) Load(k Key) {
	home, other := a.layout.places(k)
	at := [2]uint32{uint32(home), uint32(other)}
	loadLines(a.lines, &at[0], len(at))
}
