package broker

import (
	"fmt"
	"maps"
	"math/rand"
	"strings"
	"time"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/broker/partition"
	"github.com/hapaxmq/hapax/broker/unique"
	"github.com/hapaxmq/hapax/ledger"
	"github.com/hapaxmq/hapax/ledgertest"
)

// modelFates are the settings that say what becomes of records.
type modelFates struct {
	duplicates, conflicts, missing string
	shadow                         bool
}

func drawFates(r *rand.Rand) modelFates {
	one := func(all ...string) string { return all[r.Intn(len(all))] }
	return modelFates{
		duplicates: one("drop", "drop", "mark", "topic:copies", "reject"),
		conflicts:  one("drop", "accept", "topic:copies", "topic:others", "reject"),
		missing:    one("accept", "accept", "reject"),
		shadow:     r.Intn(5) == 0,
	}
}

func (f modelFates) settings() map[string]string {
	mode := "enforce"
	if f.shadow {
		mode = "shadow"
	}
	return map[string]string{"hapax.duplicates": f.duplicates, "hapax.conflicts": f.conflicts, "hapax.missing": f.missing, "hapax.mode": mode}
}

// of is what becomes of a record: "stay" if nothing is the matter, or all is only
// counted.
func (f modelFates) of(v hapax.Verdict) string {
	switch {
	case f.shadow:
	case v == hapax.Duplicate:
		return f.duplicates
	case v == hapax.Conflict:
		return f.conflicts
	}
	return "stay"
}

// has tells whether records may have a fate.
func (f modelFates) has(fate string) bool { return f.duplicates == fate || f.conflicts == fate }

// refuses tells whether a record may be a reason to refuse all of a batch.
func (m *modelled) refuses() bool {
	return !m.fates.shadow && (m.fates.has("reject") || m.fates.has("topic:"+m.gone))
}

// compares tells whether copies are looked at, to see if they say the same.
func (f modelFates) compares(kind hapax.WindowKind) bool {
	return !f.shadow && (f.duplicates != f.conflicts || strings.HasPrefix(f.duplicates, "topic:") || kind == hapax.Renewed)
}

// turn changes what becomes of records.
func (m *modelled) turn() {
	m.Helper()
	if m.fates = drawFates(m.r); m.fates.has("topic:" + m.gone) {
		m.fates.conflicts = "accept" // there has to be such a topic
	}
	m.alter(modelTopic, m.fates.settings())
}

// vanish takes a topic away that copies go to, or makes it anew.
func (m *modelled) vanish() {
	m.Helper()
	if m.gone != "" {
		m.makeTopic(m.gone, modelSides()[m.gone], nil)
		m.gone = ""
		return
	}
	m.gone = "others"
	if _, err := m.admin().DeleteTopic(m.ctx, m.gone); err != nil {
		m.Fatal(err)
	}
	isGone := func(_ int, s modelStanding) bool { return s.topic == m.gone }
	maps.DeleteFunc(m.stands, isGone)
	for _, t := range m.open {
		maps.DeleteFunc(t.beside, isGone)
	}
}

// modelFirst is the first record with an id.
type modelFirst struct {
	at       unique.Place
	content  int
	spelling int
	print    hapax.Fingerprint // in the window
	came     time.Time
}

// modelRecord is a record that is sent.
type modelRecord struct {
	number            int // of all that were sent, as a header says
	id, user          int // id -1: none
	content, spelling int
	at                unique.Place

	print hapax.Fingerprint // in the model
	entry ledger.Entry      // as the window has it
	text  string            // by which it stands
	mark  string            // at its end
}

// print names an id where it is one.
func (m *modelled) print(x *modelRecord) (f hapax.Fingerprint) {
	scope := 0
	switch m.scope {
	case "partition":
		scope = int(x.at.Partition)
	case "header:user":
		scope = x.user
	}
	copy(f[:], fmt.Sprintf("%08d%08d", scope, x.id))
	return f
}

func (x *modelRecord) String() string {
	return fmt.Sprintf("record %d (at %v, content %d, spelling %d)", x.number, x.at, x.content, x.spelling)
}

func (x *modelRecord) first() modelFirst {
	return modelFirst{at: x.at, content: x.content, spelling: x.spelling, print: x.entry.Fingerprint}
}

// matter is what is the matter with a copy: whether it says the same.
func (m *modelled) matter(x *modelRecord, was modelFirst) hapax.Verdict {
	switch {
	case x.content != was.content:
		return hapax.Conflict
	case x.spelling == was.spelling:
		return hapax.Duplicate
	case m.fates.compares(m.keeps.Kind) && m.readable(was.at) && m.readable(x.at):
		return hapax.Duplicate
	}
	return hapax.Conflict
}

func (m *modelled) partition(index int32) *partition.Partition {
	return m.broker.topics.named(modelTopic).partitions[index]
}

// readable tells whether a record was not deleted.
func (m *modelled) readable(at unique.Place) bool {
	return at.Offset >= m.partition(at.Partition).Start()
}

// knows tells whether the window remembers the id of a record from before it. Where
// the model leaves that open it is asked.
func (m *modelled) knows(x *modelRecord) bool {
	m.Helper()
	switch m.memory.Recall(x.print) {
	case ledgertest.Kept:
		return true
	case ledgertest.Gone:
		return false
	}
	s, ok := m.ask(x.entry.Fingerprint)
	return ok && placeOf(s.Position) != x.at
}

// ask asks the window for an id.
func (m *modelled) ask(print hapax.Fingerprint) (ledger.Sighting, bool) {
	m.Helper()
	s, ok, err := m.broker.topics.named(modelTopic).window.ledger.Lookup(m.ctx, print)
	if err != nil {
		m.Fatal(err)
	}
	return s, ok
}

// admit takes over that the window was told of a record. It returns the verdict, and
// the first record with the id, if it is another.
func (m *modelled) admit(x *modelRecord) (v hapax.Verdict, was modelFirst) {
	m.Helper()
	e := ledger.Entry{Fingerprint: x.print, Size: x.entry.Size, Verdict: hapax.Fresh}
	if m.knows(x) {
		was = m.firsts[x.print]
		if v = m.matter(x, was); v == hapax.Conflict {
			return v, was
		}
		e.Verdict = v
	} else {
		first := x.first()
		first.came, m.sure = m.now(), m.now()
		m.firsts[x.print] = first
	}
	if err := m.memory.Admitted(&ledger.Batch{Entries: []ledger.Entry{e}}); err != nil {
		m.Fatalf("%v: %v", x, err)
	}
	return e.Verdict, was
}

// modelStanding is a record that is read committed.
type modelStanding struct {
	topic string
	at    unique.Place // in another topic than its own the offset is of no matter
	text  string
}

const anywhere = "anywhere, or nowhere"

// markOf is the header of a copy, as it is compared.
func markOf(first unique.Place) string { return fmt.Sprintf(" %s=%v", unique.HeaderDuplicateOf, first) }

// deal gives a record its fate: it stands in no topic or one.
func (m *modelled) deal(x *modelRecord, v hapax.Verdict, first unique.Place) (s modelStanding, stands bool) {
	of := markOf(first)
	switch fate := m.fates.of(v); fate {
	case "drop", "reject", "topic:" + m.gone:
		return s, false
	case "mark":
		if x.mark != of {
			x.text, x.mark = x.text+of, of
		}
	case "topic:copies", "topic:others":
		name := strings.TrimPrefix(fate, "topic:")
		x.text += fmt.Sprintf(" %s=%s:%d:%d %s=%v", unique.HeaderOrigin, modelTopic, x.at.Partition, x.at.Offset, unique.HeaderReason, v) + of
		return modelStanding{name, unique.Place{Partition: x.at.Partition % modelSides()[name]}, x.text}, true
	}
	return modelStanding{modelTopic, x.at, x.text}, true
}
