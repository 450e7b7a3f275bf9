package broker

import (
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/broker/batch"
	"github.com/hapaxmq/hapax/broker/code"
	"github.com/hapaxmq/hapax/broker/unique"
	"github.com/hapaxmq/hapax/ledger"
)

// sieve lets those records of a batch pass that its topic's window has not seen. It
// is the batch's [partition.Gate].
type sieve struct {
	w         *window
	rules     *unique.Rules
	open      *openIDs
	producer  int64          // of the transaction that the batch is part of; else batch.None
	partition int32          // of the topic
	number    uint32         // on the node
	last      int32          // the batch's last offset delta
	ids       *unique.Reader // of the batch's records
	copies    []unique.Copy  // that are among them
	known     []bool         // by entry: the window knew it before the batch; of lookAhead
	asked     ledger.Batch
	step      *ledger.Step
}

// Pass is [partition.Gate]: the window is the batch's until Passed.
func (s *sieve) Pass(base, now int64, b []byte) (instead, copies []byte, err error) {
	if !s.w.enforced.Load() {
		return nil, nil, nil
	}
	s.w.mu.Lock()
	if instead, copies, err = s.pass(base, now, b); err != nil {
		if s.step != nil {
			s.step.Fail(err)
		}
		s.w.mu.Unlock()
	}
	return instead, copies, err
}

func (s *sieve) pass(base, now int64, b []byte) (instead, copies []byte, err error) {
	if s.w.err != nil {
		return nil, nil, s.w.err
	}
	for i := range s.ids.Entries {
		s.ids.Entries[i].Offset += base
	}
	s.asked = ledger.Batch{Source: source(s.partition), Entries: s.ids.Entries, Through: base + int64(s.last)}
	s.step, err = s.w.ledger.Begin(time.UnixMilli(now), &s.asked)
	if errors.Is(err, hapax.ErrFull) {
		return nil, nil, refuse(code.NotEnoughReplicas, "the topic's window is full: %v", err)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("ask the topic's window: %w", err)
	}
	if s.rejects() || s.inTransaction() {
		if err := s.lookAhead(base); err != nil {
			return nil, nil, err
		}
	}
	if s.inTransaction() {
		s.asked.Entries = s.knownBefore()
	}
	if err := s.step.Admit(); err != nil {
		return nil, nil, fmt.Errorf("ask the topic's window: %w", err)
	}
	s.count()
	if s.rules.Shadow {
		return nil, nil, nil
	}
	return s.without(base)
}

func (s *sieve) inTransaction() bool { return s.producer != batch.None }

// rejects tells whether a record may be a reason to refuse all of the batch.
func (s *sieve) rejects() bool {
	return !s.rules.Shadow && (s.rules.Duplicates.Fate == unique.Reject || s.rules.Conflicts.Fate == unique.Reject)
}

// lookAhead gives the verdicts before anything is remembered of the batch, and
// refuses it if it has records that are refused.
func (s *sieve) lookAhead(base int64) error {
	if err := s.step.Look(); err != nil {
		return fmt.Errorf("ask the topic's window: %w", err)
	}
	var before map[hapax.Fingerprint]hapax.Digest
	if s.inTransaction() {
		if err := s.open.fits(s.producer, s.w, len(s.ids.Entries)); err != nil {
			return err
		}
		before = s.open.known(s.producer, s.w)
	}
	var wrong []kmsg.ProduceResponseTopicPartitionErrorRecord
	within := make(map[hapax.Fingerprint]hapax.Digest, len(s.ids.Entries))
	for i := range s.ids.Entries {
		e := &s.ids.Entries[i]
		s.known = append(s.known, e.Verdict != hapax.Fresh)
		judge(e, before)
		judge(e, within)
		within[e.Fingerprint] = e.Digest
		if s.rejects() && s.fateOf(e).Fate == unique.Reject && len(wrong) < mostWrong {
			wrong = append(wrong, wrongRecord(int32(e.Offset-base), e.Verdict.String()))
		}
	}
	if len(wrong) == 0 {
		return nil
	}
	return &recordsError{records: wrong, error: refuse(code.InvalidRecord,
		"a batch with records whose ids are known, and the topic refuses them: %s=%v, %s=%v",
		unique.SettingDuplicates, s.rules.Duplicates, unique.SettingConflicts, s.rules.Conflicts)}
}

// judge gives the verdict on an entry that is fresh but for ids with these digests.
func judge(e *ledger.Entry, ids map[hapax.Fingerprint]hapax.Digest) {
	first, again := ids[e.Fingerprint]
	switch {
	case !again || e.Verdict != hapax.Fresh:
	case first != e.Digest:
		e.Verdict = hapax.Conflict
	default:
		e.Verdict = hapax.Duplicate
	}
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

// count counts the batch's records by their verdicts.
func (s *sieve) count() {
	c := &s.w.count
	c.verdicts(s.ids.Entries)
	c.missing.Add(int64(len(s.ids.Missing)))
}

// without is the batch without what does not pass, nil if all does. The ids that are
// left out, of a transaction those that the window knew, go to the log with it.
func (s *sieve) without(base int64) (instead, gone []byte, err error) {
	for i := range s.ids.Entries {
		e := &s.ids.Entries[i]
		fate := s.fateOf(e).Fate
		if fate == unique.Accept {
			continue
		}
		s.copies = append(s.copies, unique.Copy{Delta: int32(e.Offset - base), Fate: fate, Verdict: e.Verdict})
		if s.inTransaction() && s.known[i] || !s.inTransaction() && fate != unique.Mark {
			gone = append(gone, e.Fingerprint[:]...)
		}
	}
	if len(s.copies) == 0 {
		return nil, nil, nil
	}
	if instead, err = s.ids.Rewrite(nil, s.copies); err != nil {
		return nil, nil, fmt.Errorf("leave copies out of a batch: %w", err)
	}
	return instead, gone, nil
}

// Passed is [partition.Gate].
func (s *sieve) Passed(err error) {
	if !s.w.enforced.Load() {
		return
	}
	if err != nil {
		s.step.Fail(err)
	} else {
		s.w.steps++
		_ = s.step.End() // the ledger has failed then, which the next batch is told
		if s.inTransaction() {
			s.open.add(s.producer, s.number, s.w, s.partition, s.stays())
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

// sieve reads the ids of a batch that is about to be appended.
func (ws *windows) sieve(t *topic, index int32, b *prepared) (*sieve, error) {
	_, namer, err := t.window.opened()
	if err != nil {
		return nil, err
	}
	s := &sieve{
		w: t.window, rules: t.rules.window, open: &ws.pending, producer: batch.None,
		partition: index, number: b.to.Number(), last: b.header.LastOffsetDelta, ids: ws.readers.take(),
	}
	if b.header.Attributes.Has(batch.Transactional) {
		s.producer = b.header.ProducerID
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
