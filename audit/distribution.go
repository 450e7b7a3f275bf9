package audit

import "math/bits"

// distribution counts numbers that are not negative, in steps of at most 1/128
// of a number: 128 steps to each power of two, exact below 256.
type distribution struct {
	counts []int64 // by step, as far as was needed
	n      int64
	max    int64
}

const stepBits = 7

// step is the number of the step that v falls in.
func step(v int64) int {
	e := max(bits.Len64(uint64(v))-1-stepBits, 0)
	return e<<stepBits + int(v>>e)
}

// top is the greatest number that falls in step i.
func top(i int) int64 {
	e := max(i>>stepBits-1, 0)
	return (int64(i-e<<stepBits)+1)<<e - 1
}

func (d *distribution) add(v int64) {
	v = max(v, 0)
	i := step(v)
	for len(d.counts) <= i {
		d.counts = append(d.counts, make([]int64, 1<<stepBits)...)
	}
	d.counts[i]++
	d.n++
	d.max = max(d.max, v)
}

// quantile is the least number that is not below a share of the numbers given
// in thousandths, or less than 1/128 more, and how many are not above it.
func (d *distribution) quantile(thousandths int64) (v, atMost int64) {
	whole, rest := d.n/1000, d.n%1000
	want := whole*thousandths + (rest*thousandths+999)/1000
	for i, n := range d.counts {
		if atMost += n; atMost >= want && atMost > 0 {
			return min(top(i), d.max), atMost
		}
	}
	return 0, 0
}

// octaves are the counts between powers of two, from the first that is not
// empty to the last: zero; one; two and three; four to seven; and so on.
func (d *distribution) octaves() []Bucket {
	var all []Bucket
	for i, n := range d.counts {
		v := top(i)
		from := int64(0)
		if v > 0 {
			from = 1 << (bits.Len64(uint64(v)) - 1)
		}
		if len(all) == 0 || all[len(all)-1].From != from {
			all = append(all, Bucket{From: from, To: max(2*from-1, from)})
		}
		all[len(all)-1].Duplicates += n
	}
	for len(all) > 0 && all[0].Duplicates == 0 {
		all = all[1:]
	}
	for len(all) > 0 && all[len(all)-1].Duplicates == 0 {
		all = all[:len(all)-1]
	}
	return all
}
