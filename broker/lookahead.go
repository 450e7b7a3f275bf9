package broker

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/broker/code"
	"github.com/hapaxmq/hapax/broker/partition"
	"github.com/hapaxmq/hapax/broker/unique"
)

// lookAhead gives the verdicts before anything is remembered of the batch. It
// refuses it if it has records that are refused, or that have nowhere to go, and
// says [errAgain] if more has to be known of some.
func (s *sieve) lookAhead(at partition.Turn) error {
	if err := s.step.Look(); err != nil {
		return fmt.Errorf("ask the topic's window: %w", err)
	}
	var before firsts
	if s.inTransaction() {
		if err := s.ws.pending.fits(s.producer.ID, s.w, len(s.ids.Entries)); err != nil {
			return err
		}
		before = s.ws.pending.known(s.producer.ID, s.w)
	}
	within := make(firsts, len(s.ids.Entries))
	s.known, s.was, s.joins = s.known[:0], s.was[:0], false
	again := false
	for i := range s.ids.Entries {
		e := &s.ids.Entries[i]
		known := e.Verdict != hapax.Fresh
		was, found := s.firsts[e.Fingerprint]
		if !known {
			if was, found = before.judge(e); !found {
				was, found = within.judge(e)
			}
			within.add(e, s.index)
		}
		if !found {
			was.Place = nowhere()
		}
		s.known, s.was = append(s.known, known), append(s.was, was)
		names, compares := s.lacks(i)
		if (names || compares) && known && !found {
			s.wanted = append(s.wanted, e.Fingerprint)
		}
		again = again || compares || len(s.wanted) > 0
	}
	if again {
		return errAgain
	}
	return s.mayPass(at)
}

// lacks tells what an entry's verdict or fate is not sure without: to name the first
// record, or to be compared with it.
func (s *sieve) lacks(i int) (names, compares bool) {
	e := &s.ids.Entries[i]
	compares = e.Verdict == hapax.Conflict && comparesFirsts(s.rules) && (i >= len(s.compared) || !s.compared[i])
	fate := s.fateOf(e).Fate
	return namesFirsts(s.rules) && (fate == unique.Mark || fate == unique.Route), compares
}

const (
	// mostOfCopies is how many bytes may be written of a batch's copies, for they are
	// in one frame of the log with the rest of it.
	mostOfCopies = 24 << 20
	// headersOfCopy is about how many of them are each copy's headers.
	headersOfCopy = 160
)

// mayPass refuses a batch with records that are refused, or have nowhere to go.
func (s *sieve) mayPass(at partition.Turn) error {
	if s.rules.Shadow {
		return nil
	}
	var wrong []kmsg.ProduceResponseTopicPartitionErrorRecord
	var more int64 // bytes of what is written of copies
	for i := range s.ids.Entries {
		e := &s.ids.Entries[i]
		p := s.fateOf(e)
		if p.Fate == unique.Mark || p.Fate == unique.Route {
			more += e.Size + headersOfCopy
		}
		switch {
		case p.Fate == unique.Reject && len(wrong) < mostWrong:
			wrong = append(wrong, wrongRecord(int32(e.Offset-s.base), e.Verdict.String()))
		case p.Fate == unique.Route:
			if err := routeOf(s.routes, p).refuses(at, s.topic.name, s.producer.ID); err != nil {
				return err
			}
			s.joins = s.inTransaction() && !s.joined
		}
	}
	switch {
	case len(wrong) > 0:
		duplicates, conflicts := tally(s.ids.Entries)
		s.w.count.duplicates.Add(duplicates)
		s.w.count.conflicts.Add(conflicts)
		return &recordsError{records: wrong, error: refuse(code.InvalidRecord,
			"a batch with records whose ids are known, and the topic refuses them: %s=%v, %s=%v",
			unique.SettingDuplicates, s.rules.Duplicates, unique.SettingConflicts, s.rules.Conflicts)}
	case more > mostOfCopies:
		return refuse(code.MessageTooLarge, "a batch with copies that take %d bytes with their headers, and %d is the most: send fewer records at once", more, mostOfCopies)
	case s.joins:
		return errAgain
	}
	return nil
}

// provide gets what Pass lacked, but for the transaction's partitions. It reads the
// disk, so no lock is to be held.
func (s *sieve) provide() error {
	if s.firsts == nil {
		s.firsts = make(firsts, len(s.wanted))
	}
	for _, id := range s.wanted { // it may have left the window meanwhile
		s.firsts[id] = first{Place: nowhere()}
	}
	err := s.w.lookUp(s.firsts, s.wanted, s.rules.Window.Kind)
	s.wanted = s.wanted[:0]
	if err != nil || !comparesFirsts(s.rules) {
		return err
	}
	return s.compare()
}

// compare looks at the records that are in conflict: what says the same as the first
// record gets its digest, by which it is a copy.
func (s *sieve) compare() error {
	if s.compared == nil {
		s.compared = make([]bool, len(s.ids.Entries))
	}
	var pairs []pair
	for i := range s.ids.Entries {
		e := &s.ids.Entries[i]
		if e.Verdict != hapax.Conflict || s.compared[i] {
			continue
		}
		s.compared[i] = true
		was, known := s.firsts[e.Fingerprint]
		if !known {
			was = s.was[i]
		}
		pairs = append(pairs, pair{e, was})
	}
	c := contents{ws: s.ws, topic: s.topic}
	return c.compare(s.ids, unique.Place{Partition: s.index, Offset: s.base}, pairs)
}
