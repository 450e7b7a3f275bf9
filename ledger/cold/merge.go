package cold

import (
	"errors"
	"fmt"
)

// cursor yields the entries of some parts of a file in order.
type cursor struct {
	f         *File
	part, end int
	page      int // of the part: read next

	buf     []byte
	entries []Entry // read and not yet yielded
	at      int
}

// pagesRead is how many pages a cursor reads at once.
const pagesRead = 16

// next is the next entry, if there is one.
func (c *cursor) next() (e Entry, ok bool, err error) {
	for c.at == len(c.entries) {
		if c.part == c.end {
			return e, false, nil
		}
		if err := c.fill(); err != nil {
			return e, false, err
		}
	}
	c.at++
	return c.entries[c.at-1], true, nil
}

// fill reads some pages of the part, or goes on to the next.
func (c *cursor) fill() error {
	r := &c.f.ranges[c.part]
	c.entries, c.at = c.entries[:0], 0
	n := min(pagesRead, r.pages-c.page)
	if n == 0 {
		c.part, c.page = c.part+1, 0
		return nil
	}
	if c.buf == nil {
		c.buf = make([]byte, pagesRead*pageSize)
	}
	from := r.page(c.page)
	if _, err := c.f.file.ReadAt(c.buf[:n*pageSize], from); err != nil {
		return fmt.Errorf("read cold file: %w", err)
	}
	for i := range n {
		offset := from + int64(i)*pageSize
		v, err := c.f.view(c.buf[i*pageSize:(i+1)*pageSize], offset)
		if err != nil {
			return err
		}
		all, ok := v.entries(c.entries)
		if !ok {
			return c.f.damagedAt(offset, "page makes no sense")
		}
		added := all[len(c.entries):]
		c.entries = all
		for _, e := range added {
			if int(e.Generation) >= len(c.f.Generations) {
				return c.f.damagedAt(offset, "an entry of no generation")
			}
		}
	}
	c.page += n
	return nil
}

// Merge writes the entries of two files into w, or of one: a is nil then. index
// translates an entry's generation to w's, or tells that the entry is to go; of a
// key that both have, the second file's stays.
func Merge(w *Writer, a, b *File, index func(*File, Entry) (uint8, bool)) error {
	old, young := merging{index: index}, merging{cursor: cursor{f: b, end: b.Parts()}, index: index}
	if a != nil {
		old.cursor = cursor{f: a, end: a.Parts()}
	}
	if err := errors.Join(old.advance(), young.advance()); err != nil {
		return err
	}
	for old.left || young.left {
		from := &old
		switch {
		case !old.left || young.left && less(young.head.Key, old.head.Key):
			from = &young
		case young.left && young.head.Key == old.head.Key:
			if err := old.advance(); err != nil {
				return err
			}
			from = &young
		}
		if err := w.Add(from.head); err != nil {
			return err
		}
		if err := from.advance(); err != nil {
			return err
		}
	}
	return nil
}

// merging is one of the files of a Merge.
type merging struct {
	cursor
	index func(*File, Entry) (uint8, bool)
	head  Entry // its next entry, in the new file's terms
	left  bool  // there is one

	generation uint8 // of the entry that Again has left
}

// advance goes on to the next entry that is live.
func (m *merging) advance() error {
	for {
		e, ok, err := m.next()
		if err != nil || !ok {
			m.left = false
			return err
		}
		if e.Generation, ok = m.index(m.f, e); ok {
			m.head, m.left = e, true
			return nil
		}
	}
}

// Again calls visit for every live entry whose key a younger file holds too. The
// files come oldest first.
func Again(files []*File, live func(f *File, generation uint8) bool, visit func(f *File, generation uint8)) error {
	heads := make([]merging, len(files))
	for i, f := range files {
		heads[i] = merging{cursor: cursor{f: f, end: f.Parts()}, index: func(f *File, e Entry) (uint8, bool) {
			return e.Generation, live(f, e.Generation)
		}}
		if err := heads[i].advance(); err != nil {
			return err
		}
	}
	for {
		var least *merging
		for i := range heads {
			if h := &heads[i]; h.left && (least == nil || less(h.head.Key, least.head.Key)) {
				least = h
			}
		}
		if least == nil {
			return nil
		}
		key, older := least.head.Key, (*merging)(nil)
		for i := range heads {
			h := &heads[i]
			if !h.left || h.head.Key != key {
				continue
			}
			if older != nil {
				visit(older.f, older.generation)
			}
			h.generation, older = h.head.Generation, h
			if err := h.advance(); err != nil {
				return err
			}
		}
	}
}
