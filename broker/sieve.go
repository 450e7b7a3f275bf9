package broker

import (
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/broker/batch"
	"github.com/hapaxmq/hapax/broker/code"
	"github.com/hapaxmq/hapax/broker/partition"
	"github.com/hapaxmq/hapax/broker/unique"
	"github.com/hapaxmq/hapax/ledger"
)

// sieve lets those records of a batch pass that its topic's window has not seen. It
// is the batch's [partition.Gate]. If Pass says [errAgain], provide gets what it lacks,
// while no lock is held, and the batch has another turn.
type sieve struct {
	ws       *windows
	topic    *topic
	w        *window
	rules    *unique.Rules
	producer unique.Producer // of the transaction that the batch is part of; else without an id
	index    int32           // of the partition in the topic
	number   uint32          // on the node
	last     int32           // the batch's last offset delta
	routes   []route
	joined   bool // the transaction has the partitions of the routes

	conflicts int64 // that are not counted yet

	ids    *unique.Reader // of the batch's records
	base   int64          // the offset that their entries' count from
	copies []unique.Copy  // that are among them
	asked  ledger.Batch
	step   *ledger.Step
	holds  bool // the window's mu, from Pass to Passed

	// Of lookAhead, by entry.
	known []bool  // the window knew it before the batch
	was   []first // the id's first record

	firsts   firsts              // that were looked up
	wanted   []hapax.Fingerprint // that are to be
	compared []bool              // by entry: the record was compared with the first, for they are in conflict
	joins    bool                // the transaction is to get the partitions of the routes
}

// errAgain says that a batch cannot pass yet.
var errAgain = errors.New("a copy is to be looked into")

// Beside is [partition.Gate].
func (s *sieve) Beside() []*partition.Partition { return targets(s.routes) }

// Pass is [partition.Gate]: the window is the batch's until Passed.
func (s *sieve) Pass(at partition.Turn, b []byte) (sifted partition.Sifted, err error) {
	s.holds = false
	if outOfShadow(s.ws, s.topic) {
		return sifted, errWindowReopens
	}
	if !s.w.enforced.Load() || s.w.lost.Load() {
		return sifted, nil
	}
	s.w.mu.Lock()
	s.step = nil
	if sifted, err = s.pass(at); err == nil {
		s.holds = true
		return sifted, nil
	}
	if s.step != nil {
		s.step.Fail(err)
	}
	s.w.mu.Unlock()
	if passesUnasked(s.rules, err) {
		lose(s.ws, s.w)
		return partition.Sifted{}, nil
	}
	return sifted, err
}

func (s *sieve) pass(at partition.Turn) (sifted partition.Sifted, err error) {
	if s.w.err != nil {
		return sifted, s.w.err
	}
	s.ids.Shift(at.Base - s.base)
	s.base = at.Base
	s.asked = ledger.Batch{Source: source(s.index), Entries: s.ids.Entries, Through: at.Base + int64(s.last)}
	s.step, err = s.w.ledger.Begin(time.UnixMilli(at.Now), &s.asked)
	if errors.Is(err, hapax.ErrFull) && !s.rules.Shadow {
		s.w.count.refused.Add(1)
		return sifted, refuse(code.NotEnoughReplicas, "the topic's window is full: %s: %v", relief(s.rules), err)
	}
	if err != nil {
		return sifted, fmt.Errorf("ask the topic's window: %w", err)
	}
	if s.inTransaction() || s.rejects() || namesFirsts(s.rules) || comparesFirsts(s.rules) {
		if err := s.lookAhead(at); err != nil {
			return sifted, err
		}
	}
	if s.inTransaction() {
		s.asked.Entries = s.knownBefore()
	}
	if err := s.step.Admit(); err != nil {
		return sifted, fmt.Errorf("ask the topic's window: %w", err)
	}
	s.count()
	if s.rules.Shadow {
		return sifted, nil
	}
	return s.without()
}

func (s *sieve) inTransaction() bool { return s.producer.ID != batch.None }

// rejects tells whether a record may be a reason to refuse all of the batch.
func (s *sieve) rejects() bool {
	return !s.rules.Shadow && (s.rules.Duplicates.Fate == unique.Reject || s.rules.Conflicts.Fate == unique.Reject)
}

// knownBefore are the entries that the window knew before the transaction. Those of a
// window that only counts it is told of when the transaction ends.
func (s *sieve) knownBefore() (all []ledger.Entry) {
	if s.rules.Shadow {
		return nil
	}
	for i, known := range s.known {
		if known {
			all = append(all, s.ids.Entries[i])
		}
	}
	return all
}

func wrongRecord(delta int32, message string) kmsg.ProduceResponseTopicPartitionErrorRecord {
	e := kmsg.NewProduceResponseTopicPartitionErrorRecord()
	e.RelativeOffset, e.ErrorMessage = delta, &message
	return e
}

// fateOf is what becomes of a record that has an id.
func (s *sieve) fateOf(e *ledger.Entry) unique.Policy { return fateOf(s.rules, e.Verdict) }

func fateOf(rules *unique.Rules, v hapax.Verdict) unique.Policy {
	switch v {
	case hapax.Duplicate:
		return rules.Duplicates
	case hapax.Conflict:
		return rules.Conflicts
	}
	return unique.Policy{Fate: unique.Accept}
}

// count counts the batch's records by their verdicts. What a transaction has beside
// the copies that it is without is counted when it commits.
func (s *sieve) count() {
	c := &s.w.count
	c.missing.Add(int64(len(s.ids.Missing)))
	if s.inTransaction() && s.rules.Shadow {
		return
	}
	duplicates, conflicts := tally(s.ids.Entries)
	if !s.inTransaction() {
		c.unique.Add(int64(len(s.ids.Entries)) - duplicates - conflicts)
	}
	c.duplicates.Add(duplicates)
	if s.doubts() {
		s.conflicts = conflicts // see settle
	} else {
		c.conflicts.Add(conflicts)
	}
}

// without is the batch without what does not pass, and what goes elsewhere instead.
// The ids that are left out go to the log with it: see [catchUp.inOrder].
func (s *sieve) without() (sifted partition.Sifted, err error) {
	s.copies = s.copies[:0]
	var same []byte
	for i := range s.ids.Entries {
		e := &s.ids.Entries[i]
		fate := s.fateOf(e).Fate
		if fate == unique.Accept {
			continue
		}
		c := unique.Copy{Delta: int32(e.Offset - s.base), Fate: fate, Verdict: e.Verdict, First: nowhere()}
		if s.was != nil {
			c.First = s.was[i].Place
		}
		s.copies = append(s.copies, c)
		switch duplicate := e.Verdict == hapax.Duplicate; {
		case s.inTransaction() && s.known[i] && duplicate, !s.inTransaction() && fate != unique.Mark && duplicate:
			sifted.Copies = append(sifted.Copies, e.Fingerprint[:]...)
		case s.inTransaction():
		case fate != unique.Mark:
			sifted.Copies = append(sifted.Copies, inConflict[:]...)
		case i < len(s.compared) && s.compared[i]:
			same = append(same, e.Fingerprint[:]...)
		}
	}
	sifted.Copies = append(sifted.Copies, same...)
	if len(s.copies) == 0 {
		return sifted, nil
	}
	if sifted.Instead, err = s.ids.Rewrite(s.copies); err != nil {
		return sifted, fmt.Errorf("leave copies out of a batch: %w", err)
	}
	from := unique.Origin{Topic: s.topic.name, Place: unique.Place{Partition: s.index, Offset: s.base}}
	for i := range s.routes {
		if sifted.Beside, err = s.routes[i].add(sifted.Beside, s.ids, s.rules, s.copies, from, s.producer); err != nil {
			return sifted, err
		}
	}
	return sifted, nil
}

// inConflict stands for a record in conflict that was left out of a batch, which did
// nothing to the window.
var inConflict hapax.Fingerprint

// Passed is [partition.Gate].
func (s *sieve) Passed(err error) {
	if !s.holds {
		if err == nil {
			s.w.count.unasked.Add(int64(s.last) + 1)
		}
		return
	}
	if err != nil {
		s.step.Fail(err)
	} else {
		s.ws.took(s.w, len(s.ids.Entries))
		_ = s.step.End() // the ledger has failed then, which the next batch is told
		if s.inTransaction() {
			s.ws.pending.add(s.producer.ID, s.number, s.w, s.index, s.stays())
		}
	}
	s.w.mu.Unlock()
}

// stays are the entries of the records that are in the log.
func (s *sieve) stays() (all []ledger.Entry) {
	for i := range s.ids.Entries {
		if e := &s.ids.Entries[i]; s.rules.Shadow || e.Verdict == hapax.Fresh {
			all = append(all, *e)
		}
	}
	return all
}

// mostSieved is how many bytes a batch for a topic with a window may have, so that
// it goes into one frame of the log with what becomes of it.
const mostSieved = 32 << 20

// sieve reads the ids of a batch that is about to be appended. It is nil for one that
// passes though its ids cannot be asked about.
func (ws *windows) sieve(t *topic, index int32, b *prepared) (*sieve, error) {
	s, err := newSieve(ws, t, index, b)
	if err == nil || !passesUnasked(t.rules.window, err) {
		return s, err
	}
	if !t.window.works() {
		lose(ws, t.window)
	}
	t.window.count.unasked.Add(int64(b.header.LastOffsetDelta) + 1)
	return nil, nil
}

func newSieve(ws *windows, t *topic, index int32, b *prepared) (*sieve, error) {
	if len(b.bytes) > mostSieved {
		return nil, refuse(code.MessageTooLarge, "a batch of %d bytes, and a topic with a window takes up to %d at once", len(b.bytes), mostSieved)
	}
	_, namer, err := t.window.opened()
	if err != nil {
		return nil, err
	}
	s := &sieve{
		ws: ws, topic: t, w: t.window, rules: t.rules.window, producer: unique.Producer{ID: batch.None, Epoch: batch.None},
		index: index, number: b.to.Number(), last: b.header.LastOffsetDelta,
		routes: routesOf(ws.topics, t.rules.window, index), ids: ws.readers.take(),
	}
	if b.header.Attributes.Has(batch.Transactional) {
		s.producer = unique.Producer{ID: b.header.ProducerID, Epoch: b.header.ProducerEpoch}
	}
	if err := s.ids.Read(namer, index, b.bytes, ws.inflated); err != nil {
		ws.readers.put(s.ids)
		return nil, err
	}
	if s.rules.Missing.Fate != unique.Reject || s.rules.Shadow || len(s.ids.Missing) == 0 {
		return s, nil
	}
	s.w.count.missing.Add(int64(len(s.ids.Missing)))
	defer ws.readers.put(s.ids)
	var wrong []kmsg.ProduceResponseTopicPartitionErrorRecord
	for _, m := range s.ids.Missing[:min(len(s.ids.Missing), mostWrong)] {
		wrong = append(wrong, wrongRecord(m.Delta, m.Err.Error()))
	}
	return nil, &recordsError{records: wrong, error: refuse(code.InvalidRecord,
		"a batch with records without an id, and topic %q refuses them: %s=%v, %s=%v",
		t.name, unique.SettingMissing, s.rules.Missing, unique.SettingIdentity, s.rules.Identity)}
}
