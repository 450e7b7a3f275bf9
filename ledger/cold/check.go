package cold

import "fmt"

// Check reads the whole file and returns the first thing that is wrong with it:
// a checksum, bytes that belong to nothing, keys out of order or out of place, a
// filter that denies a key, or a number of keys that is not what the footer
// says. It changes nothing, needs the memory of one filter, and may run beside
// Find.
func (f *File) Check() error {
	c := checker{f: f, counts: make([]int64, len(f.Generations)), end: headSize}
	for i := range f.ranges {
		if err := c.span(i); err != nil {
			return err
		}
	}
	if footer := f.size - int64(len(f.encodeFooter())); c.end != footer {
		return f.damagedAt(c.end, "what is here belongs to nothing")
	}
	if c.keys != f.Keys {
		return f.damagedAt(c.end, fmt.Sprintf("footer says %d keys, there are %d", f.Keys, c.keys))
	}
	for i, g := range f.Generations {
		if c.counts[i] != g.Count {
			return f.damagedAt(c.end, fmt.Sprintf("footer says %d keys of generation %d, there are %d", g.Count, g.ID, c.counts[i]))
		}
	}
	return nil
}

// checker is one Check under way.
type checker struct {
	f      *File
	keys   int64
	counts []int64 // keys, by generation
	end    int64   // of what has been read

	// Of the range.
	number  int
	filter  filter
	last    Entry
	first   bool // there is no last yet
	page    [pageSize]byte
	entries []Entry
}

// span checks a range: its filter, and its pages by that.
func (c *checker) span(i int) (err error) {
	r := &c.f.ranges[i]
	if r.pages == 0 {
		return nil
	}
	if r.offset != c.end {
		return c.f.damagedAt(c.end, "what is here belongs to nothing")
	}
	if c.filter, err = c.f.readFilter(r, make([]byte, r.size)); err != nil {
		return err
	}
	c.number, c.first = i, true
	for at := range r.pages {
		if err := c.check(r, at); err != nil {
			return err
		}
	}
	c.end = r.end()
	return nil
}

// check checks the entries of a page.
func (c *checker) check(r *span, at int) error {
	f, offset := c.f, r.page(at)
	if _, err := f.file.ReadAt(c.page[:], offset); err != nil {
		return fmt.Errorf("read cold file: %w", err)
	}
	v, err := f.view(c.page[:], offset)
	if err != nil {
		return err
	}
	var ok bool
	if c.entries, ok = v.entries(c.entries[:0]); !ok || len(c.entries) == 0 {
		return f.damagedAt(offset, "page makes no sense")
	}
	for i, e := range c.entries {
		what := ""
		switch {
		case i == 0 && word(e.Key) != r.first[at]:
			what = "page begins with another key than the footer says"
		case f.PartOf(e.Key) != c.number:
			what = "key is in the range of others"
		case !c.first && !less(c.last.Key, e.Key):
			what = "keys are not in order"
		case !c.filter.contains(word(e.Key)):
			what = "filter denies a key"
		case int(e.Generation) >= len(f.Generations):
			what = "an entry of no generation"
		}
		if what != "" {
			return f.damagedAt(offset, what)
		}
		c.last, c.first = e, false
		c.counts[e.Generation]++
		c.keys++
	}
	return nil
}
