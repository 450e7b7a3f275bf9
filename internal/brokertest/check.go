package brokertest

import (
	"fmt"
	"maps"
	"slices"
)

// evidence is what is judged when a course is over: what writers were told, and what
// readers saw that read during it and others that came afterwards.
type evidence struct {
	*history
	live, final [2]*reader       // read committed, and else
	groups      map[string]int64 // up to which offset each has read "in"
	copiers     map[string]string
}

// stand is where a record stands, and how its transaction ended there.
type stand struct {
	spot
	end      outcome // unknown: it has none
	producer int64
	epoch    int16
}

// check notes all that it finds.
func (e *evidence) check() {
	e.checkReaders()
	stands := e.checkLog()
	e.checkCommitted()
	e.checkAcked(stands)
	e.checkDeals(stands)
	e.checkCopies(stands)
	e.checkOnce(stands)
}

// checkReaders demands that readers saw the same, whenever they came.
func (e *evidence) checkReaders() {
	for i := range e.live {
		for _, p := range everywhere() {
			a, b := e.live[i].saw[p], e.final[i].saw[p]
			if p.topic == keyed || p.topic == once && !e.live[i].committed { // an end may leave records out
				a, b = common(a, b)
			}
			for k := range max(len(a), len(b)) {
				if k >= len(a) || k >= len(b) || a[k] != b[k] {
					e.find("an offset holds the same for ever", "%v: reader %s saw %s, and reader %s saw %s",
						p, e.live[i].name, at(a, k), e.final[i].name, at(b, k))
					break
				}
			}
		}
	}
}

// common are what two readers saw at the offsets at which both saw something.
func common(a, b []entry) (inA, inB []entry) {
	for len(a) > 0 && len(b) > 0 {
		switch {
		case a[0].offset < b[0].offset:
			a = a[1:]
		case a[0].offset > b[0].offset:
			b = b[1:]
		default:
			inA, inB = append(inA, a[0]), append(inB, b[0])
			a, b = a[1:], b[1:]
		}
	}
	return inA, inB
}

func at(seen []entry, k int) string {
	if k >= len(seen) {
		return "no more"
	}
	return seen[k].String()
}

func (e entry) String() string {
	switch {
	case e.control && e.commit:
		return fmt.Sprintf("a commit of producer %d at offset %d", e.producer, e.offset)
	case e.control:
		return fmt.Sprintf("an abort of producer %d at offset %d", e.producer, e.offset)
	case e.value != "":
		return fmt.Sprintf("%q at offset %d", e.value, e.offset)
	}
	return fmt.Sprintf("%q at offset %d", e.line, e.offset)
}

// checkLog demands that each record stands once, and that a producer's records up to a
// marker are of one transaction. It finds where each stands, and how it ended.
func (e *evidence) checkLog() map[line]stand {
	stands := map[line]stand{}
	for _, p := range everywhere() {
		open := map[int64][]line{} // by producer: what no marker has ended yet
		for _, x := range e.final[1].saw[p] {
			switch {
			case x.control:
				end := aborted
				if x.commit {
					end = committed
				}
				for _, l := range open[x.producer] {
					s := stands[l]
					s.end = end
					stands[l] = s
				}
				delete(open, x.producer)
				continue
			case x.value == seal:
				continue
			}
			here := stand{spot{p, x.offset}, committed, x.producer, x.epoch}
			if first, twice := stands[x.line]; twice && !e.mayRepeat(first, x) {
				e.find("a record is there once", "%q stands at %v, of producer %d in epoch %d, and at %v, of producer %d in epoch %d\n%s",
					x.line, first.spot, first.producer, first.epoch, here.spot, x.producer, x.epoch, e.story(x.line))
				continue
			}
			if x.transactional {
				here.end = unknown
				if was := open[x.producer]; len(was) > 0 && was[0].deal != x.line.deal {
					e.find("a transaction ends before the next begins", "%v holds %q of producer %d, whose %q no marker has ended\n%s",
						here.spot, x.line, x.producer, was[0], e.story(was[0]))
				}
				open[x.producer] = append(open[x.producer], x.line)
			}
			stands[x.line] = here
		}
		for _, lines := range open {
			e.find("no transaction hangs", "%q stands at %v, and no marker ends it\n%s", lines[0], stands[lines[0]].spot, e.story(lines[0]))
		}
	}
	return stands
}

// mayRepeat tells whether a record that stands somewhere may stand once more: see
// Broker.WithinEpoch. It was acknowledged there, if at all.
func (e *evidence) mayRepeat(first stand, x entry) bool {
	return e.final[1].withinEpoch && plain(x.line.writer) && (first.producer != x.producer || first.epoch != x.epoch)
}

// checkCommitted demands that who reads committed records saw those that a commit
// follows, and no others.
func (e *evidence) checkCommitted() {
	for _, p := range everywhere() {
		ended := map[int64]bool{} // by producer, from behind: how the next marker ends
		undone := map[int64]bool{}
		var want []int64
		for _, x := range slices.Backward(e.final[1].saw[p]) {
			switch {
			case x.control:
				ended[x.producer] = x.commit
			case x.transactional && !ended[x.producer]:
				undone[x.offset] = true
			default:
				want = append(want, x.offset)
			}
		}
		slices.Reverse(want)
		var got []int64
		for _, x := range e.final[0].saw[p] {
			if !x.control {
				got = append(got, x.offset)
			}
		}
		if p.topic == keyed { // it may have been compacted between the two
			want = slices.DeleteFunc(slices.Clone(got), func(offset int64) bool { return undone[offset] })
		}
		if k := firstDifference(got, want); k >= 0 {
			e.find("what is read committed was committed", "%v: by the markers record %d that is read committed is at %s, and it is at %s",
				p, k, numberAt(want, k), numberAt(got, k))
		}
	}
}

func firstDifference(a, b []int64) int {
	for k := range max(len(a), len(b)) {
		if k >= len(a) || k >= len(b) || a[k] != b[k] {
			return k
		}
	}
	return -1
}

func numberAt(offsets []int64, k int) string {
	if k >= len(offsets) {
		return "none"
	}
	return fmt.Sprint("offset ", offsets[k])
}

// checkAcked demands that what was acknowledged is where it was said to be.
func (e *evidence) checkAcked(stands map[line]stand) {
	last := lastOfKeys(stands)
	shown := shownOf(stands)
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, l := range sorted(e.acked) {
		told := e.acked[l].spot
		s, there := stands[l]
		if there && s.spot == told || !there && (told.topic == once || last.replace(l, told) || told.topic == keyed && !e.mustStand(l, shown)) {
			continue
		}
		where := "nowhere"
		if there {
			where = s.String()
		}
		e.findLocked("what was acknowledged is there", "%q was acknowledged at %v, and is %s\n%s", l, told, where, e.storyLocked(l))
	}
}

// mustStand tells whether compaction may not drop a record for its transaction: that
// was committed, or there was none. It must hold mu.
func (e *evidence) mustStand(l line, shown map[deal]int) bool {
	return plain(l.writer) || shown[l.deal] > 0 || e.deals[l.deal] != nil && e.deals[l.deal].outcome == committed
}

// keyedLast is where the last committed record of each key stands.
type keyedLast map[int64]int64

func lastOfKeys(stands map[line]stand) keyedLast {
	last := keyedLast{}
	for l, s := range stands {
		if s.topic == keyed && s.end == committed {
			last[l.input] = max(last[l.input], s.offset)
		}
	}
	return last
}

// replace tells whether a later record has the key of one that was acknowledged: it may
// be gone.
func (k keyedLast) replace(l line, told spot) bool {
	return told.topic == keyed && told.offset < k[l.input]
}

// shownOf counts the records of each deal that are committed.
func shownOf(stands map[line]stand) map[deal]int {
	shown := map[deal]int{}
	for l, s := range stands {
		if s.end == committed {
			shown[l.deal]++
		}
	}
	return shown
}

// checkDeals demands that transactions are whole or absent, as their writers were
// told.
func (e *evidence) checkDeals(stands map[line]stand) {
	shown, last := shownOf(stands), lastOfKeys(stands)
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, l := range sorted(stands) {
		if plain(l.writer) {
			continue
		}
		if x := e.deals[l.deal]; x == nil || l.record >= x.of {
			e.findLocked("a fenced producer writes nothing", "%q stands at %v\n%s", l, stands[l].spot, e.storyLocked(l))
		}
	}
	replaced := map[deal]int{} // by later records of their keys
	for l, a := range e.acked {
		if _, there := stands[l]; !there && last.replace(l, a.spot) {
			replaced[l.deal]++
		}
	}
	for id, x := range e.deals {
		n := shown[id]
		if n+replaced[id] == x.of || n == 0 && x.outcome != committed || writesOnce(id.writer) {
			continue // see checkOnce
		}
		promise := "a transaction shows as a whole or not at all"
		account := fmt.Sprintf("of transaction %v, %v to its writer, %d of %d records are committed, and %d replaced\n",
			id, x.outcome, n, x.of, replaced[id])
		for l, s := range stands {
			if l.deal == id {
				account += fmt.Sprintf("    record %d is at %v, %v by the marker\n", l.record, s.spot, s.end)
			}
		}
		e.findLocked(promise, "%s%s", account, e.storyLocked(line{deal: id}))
	}
	for id, x := range e.deals {
		if shown[id] > 0 && x.outcome == aborted {
			e.findLocked("what is read committed was committed", "transaction %v was aborted, and is committed\n%s", id, e.storyLocked(line{deal: id}))
		}
	}
}

// checkCopies demands that who copies "in" within transactions has copied each record
// once, up to the offset of its group.
func (e *evidence) checkCopies(stands map[line]stand) {
	for _, name := range slices.Sorted(maps.Keys(e.copiers)) {
		copied := map[int64]line{}
		for _, l := range sorted(stands) {
			if l.writer != name || stands[l].end != committed {
				continue
			}
			if other, twice := copied[l.input]; twice {
				e.find("offsets of a group move with their transaction", "%q and %q copy the same\n%s", other, l, e.story(l))
			}
			copied[l.input] = l
		}
		group := e.copiers[name]
		for _, x := range e.final[0].saw[place{"in", 0}] {
			if x.control || x.offset >= e.groups[group] || x.value == seal {
				continue
			}
			if _, ok := copied[x.offset]; !ok {
				e.find("offsets of a group move with their transaction", "%s is not copied, and group %s has read up to %d\n%s",
					x, group, e.groups[group], e.story(x.line))
			}
			delete(copied, x.offset)
		}
		for _, input := range slices.Sorted(maps.Keys(copied)) {
			l := copied[input]
			e.find("offsets of a group move with their transaction", "%q is copied, and group %s has read up to %d only\n%s", l, group, e.groups[group], e.story(l))
		}
	}
}

// sorted lists lines in an order that is always the same.
func sorted[V any](of map[line]V) []line {
	return slices.SortedFunc(maps.Keys(of), func(a, b line) int {
		return slices.Compare([]int{int([]byte(a.writer)[0]), int([]byte(a.writer)[1]), a.number, a.record},
			[]int{int([]byte(b.writer)[0]), int([]byte(b.writer)[1]), b.number, b.record})
	})
}

// story is what happened around a record's acknowledgement or its transaction.
func (e *evidence) story(l line) string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.storyLocked(l)
}

func (e *evidence) storyLocked(l line) string {
	if x := e.deals[l.deal]; x != nil {
		return fmt.Sprintf("    transaction %v was begun at %.3f s, and %v at %.3f s\n%s", l.deal,
			x.begun.Seconds(), x.outcome, x.ended.Seconds(), e.timeline.around(x.begun, max(x.begun, x.ended)))
	}
	if a, ok := e.acked[l]; ok {
		return fmt.Sprintf("    it was acknowledged at %.3f s\n%s", a.at.Seconds(), e.timeline.around(a.at, a.at))
	}
	return "    it was not acknowledged\n"
}
