package group

import (
	"cmp"
	"container/heap"
	"encoding/binary"
	"slices"
)

// The assignors that there are (KIP-848).
const (
	Uniform = "uniform"
	Range   = "range"
)

// seat is a member as assignors see it.
type seat struct {
	member, instance string
	topics           []int       // places of those that it subscribes to, in order
	has              []Partition // what the last target gave it
}

// assign shares the partitions of topics out among seats, which are in the order
// of their members' ids. It returns what each of them shall have, in order. Each
// partition goes to one of those that subscribe to its topic.
func assign(assignor string, topics []Topic, seats []seat) [][]Partition {
	var shares [][]Partition
	if assignor == Range {
		shares = assignRanges(topics, seats)
	} else {
		shares = assignEvenly(topics, seats)
	}
	for _, share := range shares {
		slices.SortFunc(share, Partition.compare)
	}
	return shares
}

// subscribers are the seats that subscribe to each topic.
func subscribers(topics []Topic, seats []seat) [][]int {
	all := make([][]int, len(topics))
	for i := range seats {
		for _, place := range seats[i].topics {
			all[place] = append(all[place], i)
		}
	}
	return all
}

// assignRanges gives each member a range of every topic that it subscribes to. The
// same members of topics with as many partitions get the same ranges, so that
// what has one key in all topics comes to one member.
func assignRanges(topics []Topic, seats []seat) [][]Partition {
	shares := make([][]Partition, len(seats))
	for place, who := range subscribers(topics, seats) {
		slices.SortStableFunc(who, func(a, b int) int {
			return cmp.Compare(cmp.Or(seats[a].instance, seats[a].member), cmp.Or(seats[b].instance, seats[b].member))
		})
		next := int32(0)
		for i, at := range who {
			size := topics[place].Partitions / int32(len(who))
			if int32(i) < topics[place].Partitions%int32(len(who)) {
				size++
			}
			for range size {
				shares[at] = append(shares[at], Partition{topics[place].ID, next})
				next++
			}
		}
	}
	return shares
}

// assignEvenly gives each member as many partitions as the others, as far as what
// they subscribe to allows, and moves no more than it must for that: what members
// had they keep; what nobody has goes to whoever has least; and whoever has two
// more than another that may have one of them gives it one.
func assignEvenly(topics []Topic, seats []seat) [][]Partition {
	e := newEven(topics, seats)
	e.keep()
	e.spread()
	for e.level() {
	}
	return e.shares
}

// even is the work of assignEvenly.
type even struct {
	topics  []Topic
	seats   []seat
	shares  [][]Partition
	classes []*class
	class   []*class         // of each seat
	readers [][]*class       // of each topic
	place   map[[16]byte]int // of topics
	taken   [][]bool         // of each topic, which partitions somebody has
}

// class is the seats that subscribe to the same topics, the one with the least
// first.
type class struct {
	of    *even
	seats []int
	place []int // of a seat in seats; all classes share it
}

func newEven(topics []Topic, seats []seat) *even {
	e := &even{
		topics: topics, seats: seats, shares: make([][]Partition, len(seats)), class: make([]*class, len(seats)),
		readers: make([][]*class, len(topics)), place: make(map[[16]byte]int, len(topics)), taken: make([][]bool, len(topics)),
	}
	for i := range topics {
		e.place[topics[i].ID] = i
		e.taken[i] = make([]bool, topics[i].Partitions)
	}
	alike, place := map[string]*class{}, make([]int, len(seats))
	var key []byte
	for i := range seats {
		key = key[:0]
		for _, place := range seats[i].topics {
			key = binary.LittleEndian.AppendUint32(key, uint32(place))
		}
		c := alike[string(key)]
		if c == nil {
			c = &class{of: e, place: place}
			alike[string(key)] = c
			e.classes = append(e.classes, c)
			for _, place := range seats[i].topics {
				e.readers[place] = append(e.readers[place], c)
			}
		}
		place[i] = len(c.seats)
		c.seats = append(c.seats, i)
		e.class[i] = c
	}
	return e
}

// keep leaves to members what they had, if it is there and they still want it.
func (e *even) keep() {
	for i := range e.seats {
		wants := make(map[[16]byte][]bool, len(e.seats[i].topics))
		for _, place := range e.seats[i].topics {
			wants[e.topics[place].ID] = e.taken[place]
		}
		e.shares[i] = make([]Partition, 0, len(e.seats[i].has)+1)
		for _, p := range e.seats[i].has {
			if taken := wants[p.Topic]; p.Index >= 0 && int(p.Index) < len(taken) && !taken[p.Index] {
				taken[p.Index] = true
				e.shares[i] = append(e.shares[i], p)
			}
		}
	}
	for _, c := range e.classes {
		heap.Init(c)
	}
}

// spread gives away what nobody has, beginning with what the fewest can have.
func (e *even) spread() {
	choice := make([]int, len(e.topics)) // how many can have it
	order := make([]int, len(e.topics))
	for place, readers := range e.readers {
		order[place] = place
		for _, c := range readers {
			choice[place] += len(c.seats)
		}
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(choice[a], choice[b]) })
	for _, place := range order {
		for index, taken := range e.taken[place] {
			if !taken && choice[place] > 0 {
				e.give(e.least(place), Partition{e.topics[place].ID, int32(index)})
			}
		}
	}
}

// level moves partitions from who has more to who has less, and reports whether
// there were any. Each move makes the loads more alike, so it comes to an end.
func (e *even) level() (moved bool) {
	order := make([]int, len(e.seats))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(len(e.shares[b]), len(e.shares[a])) })
	for _, from := range order {
		for at := len(e.shares[from]) - 1; at >= 0; at-- {
			p := e.shares[from][at]
			to := e.least(e.place[p.Topic])
			if len(e.shares[from])-len(e.shares[to]) < 2 {
				continue
			}
			e.shares[from] = slices.Delete(e.shares[from], at, at+1)
			heap.Fix(e.class[from], e.class[from].place[from])
			e.give(to, p)
			moved = true
		}
	}
	return moved
}

// least is who has the least of those that may have a topic.
func (e *even) least(place int) int {
	best := -1
	for _, c := range e.readers[place] {
		if first := c.seats[0]; best < 0 || len(e.shares[first]) < len(e.shares[best]) {
			best = first
		}
	}
	return best
}

func (e *even) give(to int, p Partition) {
	e.shares[to] = append(e.shares[to], p)
	heap.Fix(e.class[to], e.class[to].place[to])
}

// Len, Less, Swap, Push and Pop make a class a heap, in which nobody comes or goes.
func (c *class) Len() int { return len(c.seats) }

// Less puts who has less first, of equals the one whose id comes first.
func (c *class) Less(i, j int) bool {
	a, b := c.seats[i], c.seats[j]
	return cmp.Or(cmp.Compare(len(c.of.shares[a]), len(c.of.shares[b])), cmp.Compare(a, b)) < 0
}

// Swap swaps two seats.
func (c *class) Swap(i, j int) {
	c.seats[i], c.seats[j] = c.seats[j], c.seats[i]
	c.place[c.seats[i]], c.place[c.seats[j]] = i, j
}

// Push is not used.
func (c *class) Push(any) {}

// Pop is not used.
func (c *class) Pop() any { return nil }
