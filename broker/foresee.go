package broker

import (
	"maps"
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
		for _, part := range parts {
			t := ws.topics.byID(part.w.topic)
			if t == nil || t.window != part.w || !namesFirsts(t.rules.window) && !comparesFirsts(t.rules.window) {
				continue
			}
			f := foresight{ws: ws, topic: t, producer: producer, part: part}
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
}

func (f *foresight) look() error {
	open := &f.ws.pending
	ids := open.in(f.part)
	prints := make([]hapax.Fingerprint, len(ids))
	for i := range ids {
		prints[i] = ids[i].print
	}
	others := make(firsts)
	err := f.part.w.lookUp(others, prints, f.topic.rules.window.Window.Kind)
	if err == nil && comparesFirsts(f.topic.rules.window) {
		err = f.compare(ids, others)
	}
	open.foresee(f.producer, f.part.w, others)
	return err
}

// compare gives records of the transaction that say the same as the first ones, as
// JSON, their digests.
func (f *foresight) compare(ids []openID, others firsts) error {
	own, theirs := contents{ws: f.ws, topic: f.topic}, contents{ws: f.ws, topic: f.topic}
	for i := range ids {
		id := &ids[i]
		was, known := others[id.print]
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
	c.own = open.known(producer, c.w)
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
