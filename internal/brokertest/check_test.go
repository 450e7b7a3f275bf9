package brokertest

import (
	"slices"
	"testing"
)

// scene is what a small course may have left: writer t0 has committed a transaction of
// three records and aborted one of two, p0 has written one without, and c0 has copied
// one of "in" of which its group has read all. Of a key that p3 wrote twice, and t0
// last, the first and what was aborted are gone.
func scene() *evidence {
	h := newHistory(newTimeline(), 1)
	c := &cast{history: h}
	e := &evidence{history: h, groups: map[string]int64{"g0": 2}, copiers: map[string]string{"c0": "g0"}}
	for i := range 2 {
		e.live[i], e.final[i] = c.reader("live", i == 0), c.reader("afterwards", i == 0)
	}
	in, x := place{"in", 0}, place{"x", 0}
	one := line{deal: deal{"p0", 1}, of: 1}
	first, second := line{deal: deal{"t0", 1}, record: 0, of: 3}, line{deal: deal{"t0", 1}, record: 1, of: 3}
	gone := line{deal: deal{"t0", 2}, of: 2}
	early, later := line{deal: deal{"p3", 1}, of: 1, input: 5}, line{deal: deal{"p3", 2}, of: 1, input: 5}
	latest, never := line{deal: deal{"t0", 1}, record: 2, of: 3, input: 5}, line{deal: deal{"t0", 2}, record: 1, of: 2, input: 5}
	copied := line{deal: deal{"c0", 1}, of: 1}
	h.acked[one] = ack{spot: spot{place{"p", 0}, 0}}
	h.acked[first], h.acked[second] = ack{spot: spot{in, 0}}, ack{spot: spot{x, 0}}
	h.acked[gone], h.acked[copied] = ack{spot: spot{x, 2}}, ack{spot: spot{x, 3}}
	for i, l := range []line{early, later, latest, never} {
		h.acked[l] = ack{spot: spot{place{keyed, 0}, int64(i)}}
	}
	h.deals[first.deal] = &dealt{outcome: committed, asked: true, of: 3}
	h.deals[gone.deal] = &dealt{outcome: aborted, of: 2}
	h.deals[copied.deal] = &dealt{outcome: unknown, asked: true, of: 1}
	marker := func(offset, producer int64, commit bool) entry {
		return entry{offset: offset, producer: producer, transactional: true, control: true, commit: commit}
	}
	e.show(place{"p", 0}, entry{line: one, producer: 9})
	e.show(in, entry{line: first, producer: 1, transactional: true}, marker(1, 1, true))
	e.show(x,
		entry{offset: 0, line: second, producer: 1, transactional: true}, marker(1, 1, true),
		entry{offset: 2, line: gone, producer: 1, transactional: true},
		entry{offset: 3, line: copied, producer: 2, transactional: true},
		marker(4, 1, false), marker(5, 2, true))
	e.show(place{keyed, 0}, entry{offset: 1, line: later, producer: 9},
		entry{offset: 2, line: latest, producer: 1, transactional: true}, marker(4, 1, true), marker(5, 1, false))
	return e
}

// show lets all readers see what a partition holds: those of committed records all but
// what the last transaction of producer 1 has at offset 2.
func (e *evidence) show(p place, all ...entry) {
	for i := range 2 {
		seen := slices.Clone(all)
		if i == 0 {
			seen = slices.DeleteFunc(seen, func(x entry) bool { return x.offset == 2 && p.topic == "x" })
		}
		e.live[i].saw[p], e.final[i].saw[p] = seen, slices.Clone(seen)
	}
}

// change changes what all readers saw at an offset.
func (e *evidence) change(p place, offset int64, f func(*entry)) {
	for _, r := range []*reader{e.live[0], e.live[1], e.final[0], e.final[1]} {
		for i := range r.saw[p] {
			if r.saw[p][i].offset == offset {
				f(&r.saw[p][i])
			}
		}
	}
}

// inTwoEpochs lets what p0 wrote stand once more, where it was acknowledged.
func inTwoEpochs(e *evidence) {
	l, at := line{deal: deal{"p0", 1}, of: 1}, place{"p", 0}
	e.acked[l] = ack{spot: spot{at, 1}}
	e.show(at, entry{line: l, producer: 9}, entry{offset: 1, line: l, producer: 9, epoch: 1})
}

// Each promise that is broken is found, by its name.
func TestCheck(t *testing.T) {
	x, in := place{"x", 0}, place{"in", 0}
	for _, test := range []struct {
		name, want string
		spoil      func(*evidence)
	}{
		{"nothing", "", func(*evidence) {}},
		{"lost", "what was acknowledged is there", func(e *evidence) { e.show(place{"p", 0}) }},
		{"told another offset", "what was acknowledged is there", func(e *evidence) {
			e.acked[line{deal: deal{"p0", 1}, of: 1}] = ack{spot: spot{place{"p", 0}, 7}}
		}},
		{"twice", "a record is there once", func(e *evidence) {
			l := line{deal: deal{"p0", 1}, of: 1}
			e.show(place{"p", 1}, entry{line: l, producer: 9})
		}},
		{"twice, in two epochs", "a record is there once", inTwoEpochs},
		{"twice, in two epochs, of a broker that may", "", func(e *evidence) {
			inTwoEpochs(e)
			e.final[1].withinEpoch = true
		}},
		{"another value later", "an offset holds the same for ever", func(e *evidence) { e.live[1].saw[x][0].line.record = 5 }},
		{"less seen while alive", "an offset holds the same for ever", func(e *evidence) { e.live[0].saw[in] = nil }},
		{"an abort among the commits", "a transaction shows as a whole or not at all", func(e *evidence) {
			e.change(x, 1, func(m *entry) { m.commit = false })
		}},
		{"an abort that committed", "what is read committed was committed", func(e *evidence) {
			e.change(x, 4, func(m *entry) { m.commit = true })
		}},
		{"no marker", "no transaction hangs", func(e *evidence) { e.change(x, 5, func(m *entry) { m.producer = 3 }) }},
		{"two in one", "a transaction ends before the next begins", func(e *evidence) {
			e.change(x, 1, func(m *entry) { m.producer = 3 })
		}},
		{"a record of an abort read committed", "what is read committed was committed", func(e *evidence) {
			e.final[0].saw[x] = slices.Clone(e.final[1].saw[x])
			e.live[0].saw[x] = slices.Clone(e.final[1].saw[x])
		}},
		{"replaced in a transaction that is gone as well", "", func(e *evidence) {
			last := line{deal: deal{"p3", 3}, of: 1, input: 5}
			e.acked[last] = ack{spot: spot{place{keyed, 0}, 7}}
			e.show(place{keyed, 0}, entry{offset: 7, line: last, producer: 9})
		}},
		{"the last of a key is gone", "what was acknowledged is there", func(e *evidence) { e.show(place{keyed, 0}) }},
		{"a key's last in a transaction is gone", "a transaction shows as a whole or not at all", func(e *evidence) {
			e.show(place{keyed, 0}, entry{offset: 1, line: line{deal: deal{"p3", 2}, of: 1, input: 5}, producer: 9})
		}},
		{"an abort that compaction took for a commit", "what is read committed was committed", func(e *evidence) {
			e.show(place{keyed, 0}, entry{offset: 3, line: line{deal: deal{"t0", 2}, record: 1, of: 2, input: 5}, producer: 1, transactional: true},
				entry{offset: 5, producer: 1, transactional: true, control: true})
		}},
		{"a record of nobody's", "a fenced producer writes nothing", func(e *evidence) { delete(e.deals, deal{"c0", 1}) }},
		{"a group that has read more", "offsets of a group move with their transaction", func(e *evidence) {
			e.change(x, 3, func(m *entry) { m.line.input = 7 })
		}},
		{"a group that has read less", "offsets of a group move with their transaction", func(e *evidence) { e.groups["g0"] = 0 }},
	} {
		t.Run(test.name, func(t *testing.T) {
			e := scene()
			test.spoil(e)
			e.check()
			found, _ := e.result()
			named := slices.ContainsFunc(found, func(f Finding) bool { return f.Promise == test.want })
			if test.want == "" && len(found) > 0 || test.want != "" && !named {
				t.Errorf("found %v, want %q", found, test.want)
			}
		})
	}
}
