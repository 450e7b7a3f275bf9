package broker

import (
	"maps"
	"slices"
	"time"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/broker/unique"
	"github.com/hapaxmq/hapax/ledger"
)

// foresee looks up what a producer's transaction needs to know of its ids to commit,
// if anything. It reads the disk, so no lock is to be held. If others are quicker the
// end asks for it again.
func foresee(ws *windows, producer int64) {
	for _, parts := range ws.pending.parts(producer) {
		own := make(firsts)
		for _, number := range slices.Sorted(maps.Keys(parts)) { // as they are told to the window
			part := parts[number]
			t := ws.topics.byID(part.w.topic)
			if t == nil || t.window != part.w || !namesFirsts(t.rules.window) && !comparesFirsts(t.rules.window) {
				continue
			}
			f := foresight{ws: ws, topic: t, producer: producer, part: part, own: own}
			if err := f.look(); err != nil {
				ws.files.log.Warn("the first records of copies in a transaction that commits cannot be looked up", "topic", t.name, "error", err)
			}
		}
	}
}

// foresight is it for one partition.
type foresight struct {
	ws       *windows
	topic    *topic
	producer int64
	part     *openPart
	own      firsts // the transaction's ids, of the partitions before and of what was looked at in this one
}

func (f *foresight) look() error {
	open := &f.ws.pending
	ids := open.in(f.part)
	prints := make([]hapax.Fingerprint, len(ids))
	for i := range ids {
		prints[i] = ids[i].print
	}
	others := make(firsts)
	_, err := f.part.w.pass(f.ws.files.clock.now()) // nothing is found that has left by now
	if err == nil {
		err = f.part.w.lookUp(others, prints, f.topic.rules.window.Window.Kind)
	}
	if err == nil && comparesFirsts(f.topic.rules.window) {
		err = f.compare(ids, others)
	}
	open.foresee(f.producer, f.part.w, others)
	return err
}

// compare gives records of the transaction that say the same as the first ones, as
// JSON, their digests: others may be in the transaction itself.
func (f *foresight) compare(ids []openID, others firsts) error {
	own, theirs := contents{ws: f.ws, topic: f.topic}, contents{ws: f.ws, topic: f.topic}
	for i := range ids {
		id := &ids[i]
		was, known := others[id.print]
		if !known {
			was, known = f.first(id)
		}
		if !known || was.digest == id.digest {
			continue
		}
		value, ok, err := own.value(unique.Place{Partition: f.part.index, Offset: id.offset})
		if err != nil {
			return err
		}
		if !ok || !unique.IsJSON(value) {
			continue
		}
		first, ok, err := theirs.value(was.Place)
		if err != nil {
			return err
		}
		if ok && unique.SameContent(value, first) {
			f.ws.pending.equate(f.part, i, was.digest)
		}
	}
	return nil
}

// first is the first record of the transaction that has an id, if it is another.
func (f *foresight) first(id *openID) (was first, again bool) {
	if was, again = f.own[id.print]; !again {
		f.own[id.print] = first{unique.Place{Partition: f.part.index, Offset: id.offset}, id.digest}
	}
	return was, again
}

// in are the ids that a transaction has in a partition.
func (o *openIDs) in(part *openPart) []openID {
	o.mu.Lock()
	defer o.mu.Unlock()
	return append([]openID(nil), part.ids...)
}

// foresee keeps the first records of ids that the transaction of a producer has in
// a window.
func (o *openIDs) foresee(producer int64, w *window, others firsts) {
	o.mu.Lock()
	defer o.mu.Unlock()
	t, ok := o.of[producer]
	if !ok {
		return
	}
	known := t.others[w]
	if known == nil {
		known = make(firsts)
		t.others[w] = known
	}
	maps.Copy(known, others)
	t.looks++
	o.of[producer] = t
}

// foreseen are those records, and how often they were looked for.
func (o *openIDs) foreseen(producer int64, w *window) (others firsts, looks int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	t := o.of[producer]
	return maps.Clone(t.others[w]), t.looks
}

// equate gives an id of a partition the digest of another.
func (o *openIDs) equate(part *openPart, i int, d hapax.Digest) {
	o.mu.Lock()
	defer o.mu.Unlock()
	part.ids[i].digest = d
}

// find finds the first records of the ids that the window has by now. It says
// [errAgain] if one is to be foreseen. It must hold the window's mu.
func (c *claim) find(open *openIDs, producer int64, now time.Time) error {
	names, compares := namesFirsts(c.rules), comparesFirsts(c.rules)
	if !names && !compares {
		return nil
	}
	step, err := c.w.ledger.Begin(now, c.batches()...)
	if err != nil {
		return err
	}
	err = step.Look()
	step.Fail(err) // nothing was admitted
	if err != nil {
		return err
	}
	c.own = make(firsts)
	for i := range c.parts {
		for j := range c.parts[i].asked.Entries {
			c.own.add(&c.parts[i].asked.Entries[j], c.parts[i].index)
		}
	}
	others, looks := open.foreseen(producer, c.w)
	c.others = others
	for i := range c.parts {
		for _, e := range c.parts[i].asked.Entries {
			matters := names && e.Verdict == hapax.Duplicate || e.Verdict == hapax.Conflict
			if _, ok := c.others[e.Fingerprint]; matters && !ok && looks < maxLooks {
				return errAgain
			}
		}
	}
	return nil
}

// settle notes which of the transaction's records are the first ones with their ids,
// when the window has admitted them: one that it had may have left.
func (c *claim) settle() {
	for i := range c.parts {
		for _, e := range c.parts[i].asked.Entries {
			if e.Verdict == hapax.Fresh {
				delete(c.others, e.Fingerprint)
			}
		}
	}
}

// first is where the first record of an entry's id is.
func (c *claim) first(e *ledger.Entry) unique.Place {
	if was, ok := c.others[e.Fingerprint]; ok {
		return was.Place
	}
	if was, ok := c.own[e.Fingerprint]; ok {
		return was.Place
	}
	return nowhere()
}
