package vfs

import (
	"maps"
	"math/rand"
	"path/filepath"
	"slices"
)

// KillCopy returns the file system as the next process finds it after this one
// was killed (kill -9): all that was written is there, synced or not, and no
// lock is held. What was not synced can still be lost to power.
func (m *Mem) KillCopy() *Mem {
	m.mu.RLock()
	defer m.mu.RUnlock()
	c := NewMem()
	c.dirs, c.capacity, c.used = maps.Clone(m.dirs), m.capacity, m.used
	copies := map[*memNode]*memNode{}
	copyOf := func(n *memNode) *memNode {
		if copies[n] == nil {
			copies[n] = n.clone()
		}
		return copies[n]
	}
	for name, n := range m.names {
		c.names[name] = copyOf(n)
	}
	for name, n := range m.durable {
		c.durable[name] = copyOf(n)
	}
	for _, p := range m.pending {
		c.pending = append(c.pending, nameChange{p.old, p.new, copyOf(p.node)})
	}
	return c
}

func (n *memNode) clone() *memNode {
	c := *n
	c.data = slices.Clone(n.data)
	c.earlier = maps.Clone(n.earlier)
	for s := range c.earlier {
		c.earlier[s] = slices.Clone(c.earlier[s]) // the contents never change
	}
	return &c
}

// PowerLoss returns a file system as the disk may be found after the power went
// off now. This one goes on, unchanged. The same seed over the same history
// gives the same disk.
//
//   - Synced bytes are all there.
//   - Each 512-byte sector written since, by itself, has its new contents, its
//     synced ones, some in between, or begins as one and ends as another.
//   - A file's size is any between the least and the most it had since it was
//     synced. What was never written there is zero.
//   - Each create, rename and remove that [FS.SyncDir] did not cover happened
//     or did not, by itself; a rename wholly.
//
// Without rng only what was synced is there.
func (m *Mem) PowerLoss(rng *rand.Rand) *Mem {
	m.mu.RLock()
	defer m.mu.RUnlock()
	names := maps.Clone(m.durable)
	if rng != nil {
		keep := rng.Float64()
		for _, c := range m.pending {
			if rng.Float64() < keep {
				c.apply(names)
			}
		}
	}
	after := NewMem()
	after.dirs, after.capacity = maps.Clone(m.dirs), m.capacity
	copies := map[*memNode]*memNode{}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		n := names[name]
		if copies[n] == nil {
			copies[n] = n.afterLoss(rng)
			after.used += copies[n].synced
		}
		after.names[name] = copies[n]
		after.durable[name] = copies[n]
	}
	return after
}

// afterLoss returns a synced file that n may have become.
func (n *memNode) afterLoss(rng *rand.Rand) *memNode {
	size := n.synced
	if rng != nil {
		switch rng.Intn(3) {
		case 0:
			size = int64(len(n.data))
		case 1:
			size = n.least + rng.Int63n(n.most-n.least+1)
		}
	}
	data := make([]byte, max(n.most, int64(len(n.data)), n.synced))
	copy(data, n.data)
	keep := 0.0
	if rng != nil {
		keep = rng.Float64() * 1.25 // above 1: all of them
	}
	for _, s := range slices.Sorted(maps.Keys(n.earlier)) {
		if rng != nil && rng.Float64() < keep {
			continue
		}
		if from := s * sectorSize; from < int64(len(data)) {
			n.loseSector(data[from:min(from+sectorSize, int64(len(data)))], n.earlier[s], rng)
		}
	}
	after := &memNode{data: data[:size:size], linked: true}
	after.sync()
	return after
}

// loseSector replaces a sector's newest contents by what the disk may hold.
func (n *memNode) loseSector(sector []byte, earlier [][]byte, rng *rand.Rand) {
	fill := func(to, version []byte, from int) {
		clear(to)
		if from < len(version) {
			copy(to, version[from:])
		}
	}
	if rng == nil {
		fill(sector, earlier[0], 0)
		return
	}
	version := earlier[rng.Intn(len(earlier))]
	cut := rng.Intn(len(sector) + 1)
	switch rng.Intn(3) {
	case 0: // the beginning is old
		fill(sector[:cut], version, 0)
	case 1: // the end is old
		fill(sector[cut:], version, cut)
	default:
		fill(sector, version, 0)
	}
}

// SyncDir implements [FS]. It makes the changes of names in dir durable, and
// those before them that they build on.
func (m *Mem) SyncDir(dir string) error {
	dir = filepath.Clean(dir)
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.wantDir("sync", dir); err != nil {
		return err
	}
	wanted := make([]bool, len(m.pending))
	names := map[string]bool{}
	for i, c := range slices.Backward(m.pending) {
		in := func(name string) bool {
			return name != "" && (filepath.Dir(name) == dir || names[name])
		}
		if in(c.old) || in(c.new) {
			wanted[i] = true
			names[c.old], names[c.new] = true, true
		}
	}
	var rest []nameChange
	for i, c := range m.pending {
		if wanted[i] {
			c.apply(m.durable)
		} else {
			rest = append(rest, c)
		}
	}
	m.pending = rest
	return nil
}
