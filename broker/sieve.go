package broker

import (
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/broker/code"
	"github.com/hapaxmq/hapax/broker/partition"
	"github.com/hapaxmq/hapax/broker/unique"
	"github.com/hapaxmq/hapax/ledger"
)

// sieve lets those records of a batch pass that its topic's window has not seen. It
// is the batch's [partition.Gate].
type sieve struct {
	w         *window
	rules     *unique.Rules
	log       *partition.Log
	partition int32          // of the topic
	number    uint32         // on the node
	last      int32          // the batch's last offset delta
	ids       *unique.Reader // of the batch's records
	copies    []unique.Copy  // that are among them
	batch     ledger.Batch
	step      *ledger.Step
}

// Pass is [partition.Gate]: the window is the batch's until Passed.
func (s *sieve) Pass(base, now int64, b []byte) (instead []byte, err error) {
	s.w.mu.Lock()
	if instead, err = s.pass(base, now, b); err != nil {
		if s.step != nil {
			s.step.Fail(err)
		}
		s.w.mu.Unlock()
	}
	return instead, err
}

func (s *sieve) pass(base, now int64, b []byte) (instead []byte, err error) {
	if s.w.err != nil {
		return nil, s.w.err
	}
	s.batch = ledger.Batch{Source: source(s.partition), Entries: s.ids.Entries, Through: base + int64(s.last)}
	for i := range s.batch.Entries {
		s.batch.Entries[i].Offset += base
	}
	s.step, err = s.w.ledger.Begin(time.UnixMilli(now), &s.batch)
	if errors.Is(err, hapax.ErrFull) {
		return nil, refuse(code.NotEnoughReplicas, "the topic's window is full: %v", err)
	}
	if err != nil {
		return nil, fmt.Errorf("ask the topic's window: %w", err)
	}
	if s.rejects() {
		if err := s.lookAhead(base); err != nil {
			return nil, err
		}
	}
	if err := s.step.Admit(); err != nil {
		return nil, fmt.Errorf("ask the topic's window: %w", err)
	}
	s.count()
	if s.rules.Shadow {
		return nil, nil
	}
	return s.without(base, now, b)
}

// rejects tells whether a record may be a reason to refuse all of the batch.
func (s *sieve) rejects() bool {
	return !s.rules.Shadow && (s.rules.Duplicates.Fate == unique.Reject || s.rules.Conflicts.Fate == unique.Reject)
}

// lookAhead refuses the batch if it has records that are refused. Nothing is
// remembered of it then.
func (s *sieve) lookAhead(base int64) error {
	if err := s.step.Look(); err != nil {
		return fmt.Errorf("ask the topic's window: %w", err)
	}
	var wrong []kmsg.ProduceResponseTopicPartitionErrorRecord
	within := make(map[hapax.Fingerprint]hapax.Digest, len(s.batch.Entries))
	for i := range s.batch.Entries {
		e := &s.batch.Entries[i]
		if first, again := within[e.Fingerprint]; again && e.Verdict == hapax.Fresh {
			if e.Verdict = hapax.Duplicate; first != e.Digest {
				e.Verdict = hapax.Conflict
			}
		}
		within[e.Fingerprint] = e.Digest
		if s.fateOf(e).Fate == unique.Reject && len(wrong) < mostWrong {
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

func wrongRecord(delta int32, message string) kmsg.ProduceResponseTopicPartitionErrorRecord {
	e := kmsg.NewProduceResponseTopicPartitionErrorRecord()
	e.RelativeOffset, e.ErrorMessage = delta, &message
	return e
}

// fateOf is what becomes of a record that has an id.
func (s *sieve) fateOf(e *ledger.Entry) unique.Policy {
	switch e.Verdict {
	case hapax.Duplicate:
		return s.rules.Duplicates
	case hapax.Conflict:
		return s.rules.Conflicts
	}
	return unique.Policy{Fate: unique.Accept}
}

// count counts the batch's records by their verdicts.
func (s *sieve) count() {
	var duplicates, conflicts int64
	for i := range s.batch.Entries {
		switch s.batch.Entries[i].Verdict {
		case hapax.Duplicate:
			duplicates++
		case hapax.Conflict:
			conflicts++
		}
	}
	c := &s.w.count
	c.unique.Add(int64(len(s.batch.Entries)) - duplicates - conflicts)
	c.duplicates.Add(duplicates)
	c.conflicts.Add(conflicts)
	c.missing.Add(int64(len(s.ids.Missing)))
}

// without is the batch without what does not pass, nil if all does. The ids that are
// left out go to the log before it.
func (s *sieve) without(base, now int64, b []byte) ([]byte, error) {
	var gone []byte
	for i := range s.batch.Entries {
		e := &s.batch.Entries[i]
		fate := s.fateOf(e).Fate
		if fate == unique.Accept {
			continue
		}
		s.copies = append(s.copies, unique.Copy{Delta: int32(e.Offset - base), Fate: fate, Verdict: e.Verdict})
		if gone == nil {
			gone = partition.AppendHead(nil, s.number, now)
		}
		gone = append(gone, e.Fingerprint[:]...)
	}
	if gone == nil {
		return nil, nil
	}
	instead, err := s.ids.Rewrite(nil, s.copies)
	if err != nil {
		return nil, fmt.Errorf("leave copies out of a batch: %w", err)
	}
	if _, err := s.log.Append(partition.FrameCopies, gone); err != nil {
		return nil, err
	}
	return instead, nil
}

// sieve reads the ids of a batch that is about to be appended.
func (ws *windows) sieve(t *topic, index int32, b *prepared) (*sieve, error) {
	s := &sieve{
		w: t.window, rules: t.rules.window, log: ws.topics.log, partition: index, number: b.to.Number(),
		last: b.header.LastOffsetDelta, ids: ws.readers.take(),
	}
	if err := s.ids.Read(s.w.namer, index, b.bytes, ws.inflated); err != nil {
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

// Passed is [partition.Gate].
func (s *sieve) Passed(err error) {
	if err != nil {
		s.step.Fail(err)
	} else {
		s.w.steps++
		_ = s.step.End() // the ledger has failed then, which the next batch is told
	}
	s.w.mu.Unlock()
}
