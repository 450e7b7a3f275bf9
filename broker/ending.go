package broker

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/broker/batch"
	"github.com/hapaxmq/hapax/broker/code"
	"github.com/hapaxmq/hapax/broker/partition"
	"github.com/hapaxmq/hapax/broker/unique"
	"github.com/hapaxmq/hapax/ledger"
)

// ending is the end of a transaction that has ids in windows. It is the end's
// [partition.EndGate]. If it commits, the ids that nobody has by now are its own; the
// records with others are left out, as copies are.
type ending struct {
	ws       *windows
	producer int64
	commit   bool

	routes map[uint32][]route // of partitions, by their numbers
	behind partition.Behind
	claims []*claim // by window
	frames uint32   // of ids, that are in the log
}

// claim is what a transaction has in one window. It holds the window's mu.
type claim struct {
	w     *window
	topic *topic
	rules *unique.Rules
	parts []claimed
	step  *ledger.Step

	own    firsts // the transaction's ids
	others firsts // of them, those that the window had before, and that matter
}

// size is how many ids the step is about.
func (c *claim) size() (ids int) {
	for i := range c.parts {
		ids += len(c.parts[i].asked.Entries)
	}
	return ids
}

// claimed is what it has in one partition.
type claimed struct {
	*openPart
	in    partition.Ending
	asked ledger.Batch
}

// ending is the gate for the end of a producer's transaction; nil if it has no ids.
func (ws *windows) ending(producer int64, commit bool) partition.EndGate {
	if !ws.pending.has(producer) {
		return nil
	}
	e := &ending{ws: ws, producer: producer, commit: commit}
	if commit {
		e.findRoutes()
	}
	return e
}

// findRoutes finds where the records go that others were quicker with.
func (e *ending) findRoutes() {
	e.routes = make(map[uint32][]route)
	for _, parts := range e.ws.pending.parts(e.producer) {
		for number, part := range parts {
			if t := e.ws.topics.byID(part.w.topic); t != nil && t.window == part.w {
				e.routes[number] = routesOf(e.ws.topics, t.rules.window, part.index)
			}
		}
	}
}

// Beside is [partition.EndGate].
func (e *ending) Beside() (all []*partition.Partition) {
	for _, routes := range e.routes {
		all = append(all, targets(routes)...)
	}
	return all
}

// Pass is [partition.EndGate]: the windows are the transaction's until Passed.
func (e *ending) Pass(in []partition.Ending, at partition.Turn) (partition.Behind, error) {
	if !e.commit {
		return e.behind, nil
	}
	now := e.ws.files.clock.now()
	e.behind.Now = now.UnixMilli()
	err := e.begin(in, now)
	if err == nil {
		err = e.admit(at)
	}
	if errors.Is(err, hapax.ErrFull) {
		err = refuse(code.CoordinatorLoadInProgress, "the window of a topic in the transaction is full: %v", err)
	}
	if err != nil {
		err = fmt.Errorf("ask a topic's window: %w", err)
		e.Passed(err)
	}
	return e.behind, err
}

// begin begins a step of each window, when all that is to be known is.
func (e *ending) begin(in []partition.Ending, now time.Time) (err error) {
	for _, parts := range e.ws.pending.parts(e.producer) {
		c, err := newClaim(e.ws, parts, in)
		if err != nil {
			return err
		}
		if c == nil {
			continue
		}
		e.claims = append(e.claims, c)
		if err := c.find(&e.ws.pending, e.producer, now); err != nil {
			return err
		}
	}
	for _, c := range slices.Clone(e.claims) {
		if c.step, err = c.w.ledger.Begin(now, c.batches()...); err != nil && !e.passes(c, err) {
			return err
		}
	}
	return nil
}

// passes has a transaction commit without asking a window that only counts, and could
// not be asked. It tells whether it is such a window.
func (e *ending) passes(c *claim, err error) bool {
	if !passesUnasked(c.rules, err) {
		return false
	}
	if c.step != nil {
		c.step.Fail(err)
	}
	c.w.count.unasked.Add(int64(c.size()))
	lose(e.ws, c.w)
	e.claims = slices.DeleteFunc(e.claims, func(other *claim) bool { return other == c })
	c.w.mu.Unlock()
	return true
}

// admit has the windows take the ids, and adds what is left of batches with ids that
// others have to what is behind the markers.
func (e *ending) admit(at partition.Turn) (err error) {
	for _, c := range slices.Clone(e.claims) {
		if err = c.step.Admit(); err != nil && e.passes(c, err) {
			continue
		}
		if err == nil {
			c.settle()
			err = e.log(c)
		}
		if err == nil {
			err = e.without(c, at)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// newClaim takes the mu of the window that the parts are of. It is nil if the window
// or all of its partitions are over, or the window only counts and is of no use, and an
// error if it has failed, or is about to be open again.
func newClaim(ws *windows, parts map[uint32]*openPart, in []partition.Ending) (*claim, error) {
	c := &claim{}
	for _, p := range in {
		if part := parts[p.Number()]; part != nil {
			c.w = part.w
			c.parts = append(c.parts, claimed{openPart: part, in: p})
		}
	}
	if c.w == nil {
		return nil, nil
	}
	t := ws.topics.byID(c.w.topic)
	if t == nil || t.window != c.w {
		return nil, nil
	}
	c.topic, c.rules = t, t.rules.window
	c.w.mu.Lock()
	switch {
	case errors.Is(c.w.err, errWindowReopens):
		c.w.mu.Unlock()
		return nil, refuse(code.ConcurrentTransactions, "the window of topic %q takes over other settings: try again", t.name)
	case errors.Is(c.w.err, errWindowOver):
		c.w.mu.Unlock()
		return nil, nil
	case c.w.err != nil && c.rules.Shadow, c.w.lost.Load(), !c.w.enforced.Load():
		for i := range c.parts {
			c.w.count.unasked.Add(int64(len(c.parts[i].ids)))
		}
		c.w.mu.Unlock()
		return nil, nil
	case c.w.err != nil:
		err := c.w.err
		c.w.mu.Unlock()
		return nil, refuse(code.CoordinatorLoadInProgress, "what of the transaction is there already is not known: abort it, or try again when the window is mended: %v", err)
	}
	return c, nil
}

// batches are what the window is asked about.
func (c *claim) batches() (all []*ledger.Batch) {
	for i := range c.parts {
		p := &c.parts[i]
		p.asked = ledger.Batch{Source: source(p.index), Through: p.in.Marker}
		for _, id := range p.ids {
			p.asked.Entries = append(p.asked.Entries, ledger.Entry{
				Fingerprint: id.print, Digest: id.digest, Offset: id.offset, Size: id.size,
			})
		}
		all = append(all, &p.asked)
	}
	return all
}

// idsAtOnce is how many ids stand in one frame.
const idsAtOnce = 64 << 10

// log appends the ids to the log, for when the windows have to be brought to where
// it is.
func (e *ending) log(c *claim) error {
	for i := range c.parts {
		p := &c.parts[i]
		for some := range slices.Chunk(p.ids, idsAtOnce) {
			head := binary.LittleEndian.AppendUint32(partition.AppendHead(nil, p.in.Number(), e.behind.Now), e.frames)
			if _, err := e.ws.topics.log.Append(partition.FrameIDs, head, appendIDs(nil, some)); err != nil {
				return err
			}
			e.frames++
		}
	}
	return nil
}

// openIDSize is the length of an id in a frame.
const openIDSize = 40

func appendIDs(b []byte, ids []openID) []byte {
	b = slices.Grow(b, openIDSize*len(ids))
	for _, id := range ids {
		b = append(b, id.print[:]...)
		b = binary.LittleEndian.AppendUint64(b, uint64(id.digest))
		b = binary.LittleEndian.AppendUint64(b, uint64(id.offset))
		b = binary.LittleEndian.AppendUint64(b, uint64(id.size))
	}
	return b
}

// readIDs reads the ids in a frame, and how many frames the end has had before it.
func readIDs(b []byte) (before uint32, all []ledger.Entry, err error) {
	if len(b)%openIDSize != 4 {
		return 0, nil, fmt.Errorf("%w: the ids of a transaction are cut off", hapax.ErrCorrupt)
	}
	before = binary.LittleEndian.Uint32(b)
	for b = b[4:]; len(b) > 0; b = b[openIDSize:] {
		all = append(all, ledger.Entry{
			Fingerprint: hapax.Fingerprint(b),
			Digest:      hapax.Digest(binary.LittleEndian.Uint64(b[16:])),
			Offset:      int64(binary.LittleEndian.Uint64(b[24:])),
			Size:        int64(binary.LittleEndian.Uint64(b[32:])),
		})
	}
	return before, all, nil
}

// without adds what is left of the transaction's batches whose ids others have.
func (e *ending) without(c *claim, at partition.Turn) error {
	for i := range c.parts {
		p := &c.parts[i]
		c.count(p.asked.Entries)
		if c.rules.Shadow {
			continue
		}
		var lost []ledger.Entry
		for _, entry := range p.asked.Entries {
			if f := fateOf(c.rules, entry.Verdict).Fate; f != unique.Accept {
				lost = append(lost, entry)
			}
		}
		for len(lost) > 0 {
			n, err := e.rewrite(c, p, lost, at)
			if err != nil {
				return err
			}
			lost = lost[n:]
		}
	}
	return nil
}

// count counts the records that a transaction commits.
func (c *claim) count(entries []ledger.Entry) {
	duplicates, conflicts := tally(entries)
	c.w.count.unique.Add(int64(len(entries)) - duplicates - conflicts)
	c.w.count.duplicates.Add(duplicates)
	c.w.count.conflicts.Add(conflicts)
}

// rewrite adds what is left of the batch that holds the first of the lost entries, if
// that is not gone, and returns how many of them it holds. What the log has of it may
// have to be written first. Those that go to other topics are added to what is beside.
func (e *ending) rewrite(c *claim, p *claimed, lost []ledger.Entry, now partition.Turn) (n int, err error) {
	at, ok := p.in.Batch(lost[0].Offset)
	if !ok {
		return 1, nil // somebody has deleted it
	}
	if err := e.ws.files.follow(); err != nil {
		return 0, err
	}
	had, times, err := e.ws.records.timed(at, p.in.Number())
	if err != nil {
		return 0, err
	}
	ids := e.ws.readers.take()
	defer e.ws.readers.put(ids)
	if err := ids.Read(c.w.namer, p.index, had, e.ws.inflated); err != nil {
		return 0, err
	}
	routes := e.routes[p.in.Number()]
	var copies []unique.Copy
	for ; n < len(lost) && lost[n].Offset <= at.Last; n++ {
		entry := &lost[n]
		copies = append(copies, unique.Copy{
			Delta: int32(entry.Offset - at.Base), Fate: e.fate(c, entry, routes, now), Verdict: entry.Verdict, First: c.first(entry),
		})
	}
	left, err := ids.Rewrite(copies)
	if err != nil {
		return 0, err
	}
	e.behind.Instead = append(e.behind.Instead, partition.Instead{In: p.in, Batch: slices.Clone(left), Time: times.Next()})
	from := unique.Origin{Topic: c.topic.name, Place: unique.Place{Partition: p.index, Offset: at.Base}}
	nobody := unique.Producer{ID: batch.None, Epoch: batch.None} // the end itself commits them
	for i := range routes {
		if e.behind.Beside, err = routes[i].add(e.behind.Beside, ids, c.rules, copies, from, nobody); err != nil {
			return 0, err
		}
	}
	return n, nil
}

// fate is what becomes of a record that is late: it cannot be refused any more, and
// if where it was to go is gone it goes nowhere.
func (e *ending) fate(c *claim, entry *ledger.Entry, routes []route, now partition.Turn) unique.Fate {
	switch p := fateOf(c.rules, entry.Verdict); p.Fate {
	case unique.Reject:
		return unique.Drop
	case unique.Route:
		if err := routeOf(routes, p).refuses(now, c.topic.name, batch.None); err != nil {
			e.ws.files.log.Warn("a copy in a transaction that commits has nowhere to go, and is dropped", "topic", c.topic.name, "error", err)
			return unique.Drop
		}
		return unique.Route
	default:
		return p.Fate
	}
}

// Passed is [partition.EndGate].
func (e *ending) Passed(err error) {
	for _, c := range e.claims {
		switch {
		case c.step == nil:
		case err != nil:
			c.step.Fail(err)
		default:
			e.ws.took(c.w, c.size())
			_ = c.step.End() // the ledger has failed then, which the next batch is told
		}
		c.w.mu.Unlock()
	}
	e.claims = nil
	if err == nil {
		e.ws.pending.end(e.producer)
	}
}
