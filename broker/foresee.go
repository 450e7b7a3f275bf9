package broker

import (
	"time"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/broker/unique"
	"github.com/hapaxmq/hapax/ledger"
)

// foresee looks up what a producer's transaction needs to know of its ids to commit,
// if anything, while no lock is held. What it does not find the end looks for itself.
func foresee(ws *windows, producer int64) {
	for _, parts := range ws.pending.parts(producer) {
		for _, part := range parts {
			t := ws.topics.byID(part.w.topic)
			if t == nil || t.window != part.w || !namesFirsts(t.rules.window) && !comparesFirsts(t.rules.window) {
				continue
			}
			f := foresight{ws: ws, topic: t, producer: producer, part: part}
			if err := f.look(); err != nil {
				ws.files.log.Warn("what a transaction needs to know to commit is looked for once more", "topic", t.name, "error", err)
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
	if err := f.part.w.lookUp(others, prints); err != nil || len(others) == 0 {
		return err
	}
	if comparesFirsts(f.topic.rules.window) {
		if err := f.compare(ids, others); err != nil {
			return err
		}
	}
	open.foreseen(f.producer, f.part.w, others)
	return nil
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

// foreseen keeps the first records of ids that the transaction of a producer has in
// a window.
func (o *openIDs) foreseen(producer int64, w *window, others firsts) {
	o.mu.Lock()
	defer o.mu.Unlock()
	t, ok := o.of[producer]
	if !ok {
		return
	}
	if t.others[w] == nil {
		t.others[w] = make(firsts)
	}
	for id, f := range others {
		t.others[w][id] = f
	}
}

// equate gives an id of a partition the digest of another.
func (o *openIDs) equate(part *openPart, i int, d hapax.Digest) {
	o.mu.Lock()
	defer o.mu.Unlock()
	part.ids[i].digest = d
}

// others are the first records of a transaction's ids that the window had, as far as
// they were looked up.
func (o *openIDs) others(producer int64, w *window) firsts {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.of[producer].others[w]
}

// find finds the first records of the ids that the window has by now. What was not
// foreseen is looked up here, which is seldom. It must hold the window's mu.
func (c *claim) find(open *openIDs, producer int64, now time.Time) error {
	if !namesFirsts(c.rules) {
		return nil
	}
	c.own = open.known(producer, c.w)
	step, err := c.w.ledger.Begin(now, c.batches()...)
	if err != nil {
		return err
	}
	err = step.Look()
	step.Fail(err) // nothing was admitted
	if err != nil {
		return err
	}
	foreseen := open.others(producer, c.w)
	c.known = make(firsts)
	var wanted []hapax.Fingerprint
	for i := range c.parts {
		for _, e := range c.parts[i].asked.Entries {
			if e.Verdict == hapax.Fresh {
				continue
			}
			if was, ok := foreseen[e.Fingerprint]; ok {
				c.known[e.Fingerprint] = was
			} else {
				wanted = append(wanted, e.Fingerprint)
			}
		}
	}
	return c.known.lookUp(c.w.ledger, wanted)
}

// first is where the first record of an entry's id is.
func (c *claim) first(e *ledger.Entry) unique.Place {
	if was, ok := c.known[e.Fingerprint]; ok {
		return was.Place
	}
	if was, ok := c.own[e.Fingerprint]; ok {
		return was.Place
	}
	return nowhere()
}
