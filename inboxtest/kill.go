package inboxtest

import (
	"context"
	"fmt"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/internal/processtest"
)

// steps are the points of handling one message at which a process is killed.
var steps = [...]string{
	"before it begins", "when it has begun", "when it is marked", "between two effects",
	"behind the effects", "behind the receipt", "while it commits", "when it has committed",
}

// kills: a process that is killed at any point leaves the mark, all effects and the
// receipt, or none of them; the next delivery runs at once, with no residue
// (statements 15, 23, 29).
func kills[T any](s *sitting[T]) {
	place, i := s.place()
	want := map[string]int{}
	for step, name := range steps {
		p := s.start("die", place, step)
		p.Order()
		p.Hear(name)
		p.Kill()
		one, two := fmt.Sprintf("%d first", step), fmt.Sprintf("%d second", step)
		before, err := i.Effects(s.Context())
		s.must(err)
		if before[one] != before[two] {
			s.Errorf("killed %s: %d and %d of two effects are there", name, before[one], before[two])
		}
		m := s.redelivered(i, step)
		after, err := i.Effects(s.Context())
		s.must(err)
		switch {
		case m.Verdict == hapax.Fresh && before[one] != 0:
			s.Errorf("killed %s: effects without their mark", name)
		case m.Verdict == hapax.Duplicate && after[one] != 1:
			s.Errorf("killed %s: a mark without its effects", name)
		case m.Verdict == hapax.Duplicate && s.store.Receipts && string(m.Receipt) != name:
			s.Errorf("killed %s: a mark with receipt %q", name, m.Receipt)
		case step < 6 && m.Verdict != hapax.Fresh:
			s.Errorf("killed %s: the message is %v", name, m.Verdict)
		case step == 7 && m.Verdict != hapax.Duplicate:
			s.Errorf("killed %s: the message is %v", name, m.Verdict)
		}
		want[one], want[two] = 1, 1
	}
	s.effects(i, want)
}

// redelivered handles the message of a step here.
func (s *sitting[T]) redelivered(i *Instance[T], step int) hapax.Mark {
	s.Helper()
	var m hapax.Mark
	var err error
	for range 100 { // the server may not know yet that the process is gone
		if m, err = s.twoEffects(i, step, func(string) {}); err == nil {
			return m
		}
	}
	s.Fatal(err)
	return m
}

// walk handles the message of a step until it is killed there.
func (s *sitting[T]) walk(i *Instance[T], step int) {
	at := func(name string) {
		if name != steps[step] {
			return
		}
		processtest.Say(name)
		if step != 6 { // a commit goes on while it is killed
			select {}
		}
	}
	at(steps[0])
	_, err := s.twoEffects(i, step, at)
	s.must(err)
	at(steps[7])
	select {}
}

// twoEffects handles a message with two effects and a receipt, and tells of each step.
func (s *sitting[T]) twoEffects(i *Instance[T], step int, at func(string)) (hapax.Mark, error) {
	marks := []hapax.Mark{s.store.Message(step)}
	err := i.Marks.Transact(s.Context(), func(ctx context.Context, tx T) error {
		at(steps[1])
		if err := i.Marks.Mark(ctx, tx, marks); err != nil || marks[0].Verdict != hapax.Fresh {
			return err
		}
		at(steps[2])
		if err := i.Effect(ctx, tx, fmt.Sprintf("%d first", step)); err != nil {
			return err
		}
		at(steps[3])
		if err := i.Effect(ctx, tx, fmt.Sprintf("%d second", step)); err != nil {
			return err
		}
		at(steps[4])
		if s.store.Receipts {
			marks[0].Receipt = hapax.Receipt(steps[step])
			if err := i.Marks.Keep(ctx, tx, &marks[0]); err != nil {
				return err
			}
		}
		at(steps[5])
		at(steps[6])
		return nil
	})
	return marks[0], err
}
