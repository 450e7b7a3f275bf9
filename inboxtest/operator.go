package inboxtest

import "github.com/hapaxmq/hapax"

// operated: an operator looks at a mark, which changes nothing, and lets it go, so that the
// next copy runs (statement 55).
func operated[T any](s *sitting[T]) {
	_, i := s.place()
	operator, ok := i.Marks.(hapax.Operator)
	if !ok {
		s.Fatalf("%T is for no operators", i.Marks)
	}
	m := s.store.Message(1)
	look := func(want hapax.Verdict) {
		s.Helper()
		c, err := operator.Look(s.Context(), m.Scope, m.Identity)
		s.must(err)
		if c.Verdict != want {
			s.Errorf("look: %v, want %v", c.Verdict, want)
		}
	}
	expire := func(want bool) {
		s.Helper()
		was, err := operator.Expire(s.Context(), m.Scope, m.Identity)
		s.must(err)
		if was != want {
			s.Errorf("expire: was there: %t, want %t", was, want)
		}
	}
	look(hapax.Fresh)
	expire(false)
	s.want(s.handle(i, m, "first"), hapax.Fresh)
	s.want(s.handle(i, s.store.Message(2), "other"), hapax.Fresh)
	look(hapax.Duplicate)
	look(hapax.Duplicate)
	s.want(s.handle(i, m, "copy"), hapax.Duplicate)
	expire(true)
	expire(false)
	look(hapax.Fresh)
	s.want(s.handle(i, m, "again"), hapax.Fresh)
	s.want(s.handle(i, s.store.Message(2), "copy"), hapax.Duplicate)
	s.effects(i, map[string]int{"first": 1, "other": 1, "again": 1})
}
