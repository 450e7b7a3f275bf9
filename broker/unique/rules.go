package unique

import (
	"slices"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/identity"
)

// Fate is what becomes of a record that is a copy, in conflict, or without an id.
type Fate uint8

const (
	// Drop leaves the record out; its producer sees success.
	Drop Fate = iota
	// Mark keeps it, with a header that names the first copy.
	Mark
	// Accept keeps it as it is.
	Accept
	// Reject refuses the whole batch, and names the record.
	Reject
	// Route leaves it out and puts it into another topic.
	Route
)

var fates = [...]string{Drop: "drop", Mark: "mark", Accept: "accept", Reject: "reject", Route: routePrefix + "NAME"}

// routePrefix stands before the name of the topic in settings.
const routePrefix = "topic:"

func (f Fate) String() string { return fates[f] }

// Policy is a fate, and the other topic of [Route].
type Policy struct {
	Fate  Fate
	Topic string
}

// String is the policy as in settings.
func (p Policy) String() string {
	if p.Fate == Route {
		return routePrefix + p.Topic
	}
	return p.Fate.String()
}

// Rules are how a topic keeps each message once. They are immutable and safe for
// concurrent use. A topic without a window has nil.
type Rules struct {
	Identity *identity.Extractor
	Scope    Scope
	Window   hapax.Window

	Duplicates Policy // Drop, Mark, Route or Reject
	Conflicts  Policy // Drop, Accept, Route or Reject
	Missing    Policy // Accept or Reject

	Shadow bool // only count what would be done
	Evict  bool // let the oldest ids go early when a budget is reached, instead of refusing

	MaxMemory int64 // bytes
	MaxDisk   int64 // bytes; 0 is no bound
}

// Digests tells whether records are compared by their values as well: not if the
// whole value is in the id.
func (r *Rules) Digests() bool { return !r.Identity.NamesByValue() }

// EndsAtOnce tells whether all ids leave the window with the one that is too many for
// it, and none before: there is nothing then that could go early.
func (r *Rules) EndsAtOnce() bool {
	return r.Window.Kind == hapax.Tumbling && (r.Window.Count > 0 || r.Window.Bytes > 0)
}

// Routes are the other topics that records go to, each once.
func (r *Rules) Routes() (topics []string) {
	for _, p := range []Policy{r.Duplicates, r.Conflicts} {
		if p.Fate == Route && !slices.Contains(topics, p.Topic) {
			topics = append(topics, p.Topic)
		}
	}
	return topics
}

// SameWindow tells whether the ids of one of the rules are worth something to the
// other: identity, scope and kind of window are the same. If not, the window begins
// anew; else only how long ids stay and what becomes of records may differ, and it
// goes on where its ledger does: see [github.com/hapaxmq/hapax/ledger.Continues]. No
// rules at all are the same as no others.
func SameWindow(a, b *Rules) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Identity.String() == b.Identity.String() && a.Scope.String() == b.Scope.String() && a.Window.Kind == b.Window.Kind
}

// Scope is where ids are unique. The zero value is the whole topic.
type Scope struct {
	partition bool
	by        *identity.Extractor // of what records have in common
}

// String is the scope as in settings.
func (s Scope) String() string {
	switch {
	case s.partition:
		return scopePartition
	case s.by != nil:
		return s.by.String()
	}
	return scopeTopic
}

const (
	scopeTopic     = "topic"
	scopePartition = "partition"
)
