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
	g.load(unsafe.Slice(&spots[0].home, 2*len(spots)))
	var ways [2 * slots]uint32
	for i, s := range spots {
		if vacant(g.line(s.home), live)|vacant(g.line(s.other), live) == 0 {
			g.ways(keys[i].shard, s.home, ways[:slots])
			g.ways(keys[i].shard, s.other, ways[slots:])
			g.load(ways[:])
		}
	}
}

// Ahead is where a table had its keys' lines at one time.
type Ahead struct {
	shard shard // any
	cells cells
}

// Ahead is where the keys' lines are between two growths.
func (g *grid) Ahead() Ahead {
	return Ahead{shard{dir: g.dirs[0], bits: g.now.Bits}, g.cells}
}

// Load asks for the two lines of a key. It reads nothing, so it takes no lock:
// waiting for the lines and for the lock that guards them overlap. Where the
// lines are elsewhere by now, or gone, it has asked in vain.
func (a *Ahead) Load(k Key) {
	s, d := &a.shard, a.shard.dir
	at := [2]uint32{s.even(k.shard, d.block(k.home), k.home), s.odd(k.shard, d.block(k.rest), k.rest)}
	a.cells.load(at[:])
}
