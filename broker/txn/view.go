package txn

import (
	"regexp"
	"slices"

	"github.com/hapaxmq/hapax/broker/code"
)

// stateNames are Kafka's, with those of states that do not occur here: a tool
// may ask for them.
var stateNames = [...]string{
	Empty: "Empty", Ongoing: "Ongoing", 2: "PrepareCommit", 3: "PrepareAbort",
	CompleteCommit: "CompleteCommit", CompleteAbort: "CompleteAbort", 6: "Dead", 7: "PrepareEpochFence",
}

// String is the name that tools show.
func (s State) String() string {
	if int(s) < len(stateNames) {
		return stateNames[s]
	}
	return "Unknown"
}

// ParseState reads a name of ListTransactions' filter, and says if Kafka knows it.
func ParseState(name string) (State, bool) {
	i := slices.Index(stateNames[:], name)
	return State(max(i, 0)), i >= 0
}

// A Filter says which ids ListTransactions is about. What is not set lets all through.
type Filter struct {
	States      []State
	ProducerIDs []int64
	OpenForMs   int64          // open for longer than this; −1: any
	Pattern     *regexp.Regexp // of the id
}

func (f *Filter) admits(id string, e *entry, now int64) bool {
	return (len(f.States) == 0 || slices.Contains(f.States, e.state)) &&
		(len(f.ProducerIDs) == 0 || slices.Contains(f.ProducerIDs, e.producer.ID)) &&
		(f.OpenForMs < 0 || e.isOpen() && now-e.started > f.OpenForMs) &&
		(f.Pattern == nil || f.Pattern.MatchString(id))
}

// A Listing is a line of ListTransactions.
type Listing struct {
	ID         string
	ProducerID int64
	State      State
}

// List returns what ListTransactions shows, sorted by id.
func (c *Coordinator) List(f Filter, now int64) []Listing {
	var list []Listing
	for _, id := range sortedIDs(c.ids) {
		if e := c.ids[id]; f.admits(id, e, now) {
			list = append(list, Listing{ID: id, ProducerID: e.producer.ID, State: e.state})
		}
	}
	return list
}

// A Description is what DescribeTransactions shows of an id.
type Description struct {
	Producer   Producer
	State      State
	TimeoutMs  int32
	Started    int64 // when its last transaction began, open or not, ms; −1: none since the id is held
	Partitions []uint32
	Groups     []string // Kafka shows them as partitions of its offsets topic
}

// Describe returns what is known of the id, or InvalidRequest or
// TransactionalIDNotFound.
func (c *Coordinator) Describe(id string) (Description, code.Error) {
	if !validName(id) {
		return Description{}, code.InvalidRequest
	}
	e := c.ids[id]
	if e == nil {
		return Description{}, code.TransactionalIDNotFound
	}
	return Description{
		Producer: e.producer, State: e.state, TimeoutMs: e.timeoutMs, Started: e.started,
		Partitions: slices.Clone(e.partitions), Groups: slices.Clone(e.groups),
	}, code.None
}

// Len returns how many transactional ids are known, and how many of their
// transactions are open.
func (c *Coordinator) Len() (ids, open int) { return len(c.ids), len(c.open) }
