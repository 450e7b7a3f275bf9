package window

import "unsafe"

// Load asks for the buckets of a batch's keys, so that their misses overlap: find
// the spots of all keys, load them, then ask. It changes nothing, and takes no notice
// of what comes between.
func (g *grid) Load(keys []Key, spots []Spot, live *Live) {
	g.LoadBuckets(spots)
	g.LoadWays(keys, spots, live)
}

// LoadBuckets is the first half of Load: it asks for the keys' buckets and waits for
// none, so that something else can be done meanwhile.
func (g *grid) LoadBuckets(spots []Spot) {
	if len(spots) > 0 {
		g.load(unsafe.Slice(&spots[0].home, 2*len(spots)))
	}
}

// LoadWays is the second half. It looks at the buckets: where the two of a key are both
// full of live entries, a new key would have one move, most likely one of the first, and
// it asks for the buckets that those could move to.
func (g *grid) LoadWays(keys []Key, spots []Spot, live *Live) {
	var ways [likely]uint32
	for i, s := range spots {
		if vacant(g.bucket(s.home), live)|vacant(g.bucket(s.other), live) == 0 {
			g.ways(keys[i].shard, s.home, 0, ways[:])
			g.load(ways[:])
		}
	}
}

// Ahead is where a table had its keys' buckets at one time.
type Ahead struct {
	shard shard // any
	cells cells
}

// Ahead is where the keys' buckets are between two growths.
func (g *grid) Ahead() Ahead {
	return Ahead{shard{dir: g.dirs[0], bits: g.now.bucketBits()}, g.cells}
}

// Load asks for the two buckets of a key. It reads nothing, so it takes no lock:
// waiting for them and for the lock that guards them overlap. Where
// they are elsewhere by now, or gone, it has asked in vain.
func (a *Ahead) Load(k Key) {
	s, d := &a.shard, a.shard.dir
	at := [2]uint32{s.even(k.shard, d.block(k.home), k.home), s.odd(k.shard, d.block(k.rest), k.rest)}
	a.cells.load(at[:])
}
