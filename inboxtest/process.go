package inboxtest

import (
	"database/sql"
	"strings"
	"testing"

	"github.com/hapaxmq/hapax/internal/processtest"
)

// task is what another process does in a place.
type task struct {
	Place     string
	Isolation sql.IsolationLevel
	Do        string // "race" or "die"
	Step      int    // at which to die
}

// perform does what another process is for. It says "ready", waits for its order, and
// says what comes of it.
func perform[T any](t *testing.T, s Store[T], other task) {
	orders := processtest.Orders()
	sit := &sitting[T]{TB: t, store: s, isolation: other.Isolation}
	i := sit.open(Connection{Place: other.Place})
	processtest.Say("ready")
	<-orders
	switch other.Do {
	case "race":
		sit.must(sit.compete(i))
		processtest.Say("done")
	case "die":
		sit.walk(i, other.Step)
	}
}

// start starts another process of this exam and waits until it is ready.
func (s *sitting[T]) start(do, place string, step int) *processtest.Process {
	s.Helper()
	p := processtest.Start(s, examOf(s.Name()), task{Place: place, Isolation: s.isolation, Do: do, Step: step})
	p.Hear("ready")
	return p
}

// examOf is the name of the test that called RunMarks, of a name below it: without
// the check, and without the level of isolation before it.
func examOf(name string) string {
	exam := name[:strings.LastIndexByte(name, '/')]
	parent := strings.LastIndexByte(exam, '/')
	for level := sql.LevelDefault; parent > 0 && level <= sql.LevelLinearizable; level++ {
		if exam[parent+1:] == strings.ReplaceAll(level.String(), " ", "_") {
			return exam[:parent]
		}
	}
	return exam
}
