package txn

import (
	"errors"
	"fmt"
	"iter"
	"slices"
)

// Apply makes an event true. The coordinator keeps nothing of it. An error means
// that the event does not follow from what was applied before, as in a log that
// lacks a piece; nothing has changed then.
//
// Limits are not looked at: what was decided under other settings stays.
func (c *Coordinator) Apply(e *Event) error {
	if err := c.follows(e); err != nil {
		return fmt.Errorf("apply transaction event of %q: %w", e.ID, err)
	}
	c.nextID = max(c.nextID, e.Producer.ID+1)
	switch e.Kind {
	case Given:
	case Held:
		c.ids[e.ID] = &entry{
			producer: e.Producer, previous: e.Previous, timeoutMs: e.TimeoutMs,
			state: e.State, started: e.Started, updated: e.Time,
			partitions: slices.Clone(e.Partitions), groups: slices.Clone(e.Groups),
		}
		c.track(e.ID)
	case Added:
		c.ids[e.ID].added(e)
		c.track(e.ID)
	case Ended:
		c.ids[e.ID].ended(e)
		c.track(e.ID)
	case Forgotten:
		delete(c.ids, e.ID)
	}
	return nil
}

func (c *Coordinator) track(id string) {
	if e := c.ids[id]; e.isOpen() {
		c.open[id] = e
	} else {
		delete(c.open, id)
	}
}

func (e *entry) added(event *Event) {
	if !e.isOpen() {
		e.state, e.started = Ongoing, event.Time
	}
	e.previous = NoProducer()
	e.updated = max(e.updated, event.Time)
	e.partitions = merged(e.partitions, event.Partitions)
	e.groups = merged(e.groups, event.Groups)
}

func (e *entry) ended(event *Event) {
	if !e.isOpen() {
		e.started = event.Time // of nothing, which is over as soon as it begins
	}
	switch {
	case event.End.Cause == ByInit:
		e.state, e.started = Empty, -1
	case event.End.Commit:
		e.state = CompleteCommit
	default:
		e.state = CompleteAbort
	}
	e.producer, e.previous, e.timeoutMs = event.Producer, event.Previous, event.TimeoutMs
	e.updated = max(e.updated, event.Time)
	e.partitions, e.groups = nil, nil
}

// merged adds more to have; both are sorted.
func merged[T uint32 | string](have, more []T) []T {
	have = append(have, more...)
	slices.Sort(have)
	return slices.Compact(have)
}

// The reasons why an event cannot follow.
var (
	errUnknown = errors.New("the id is not known")
	errHolder  = errors.New("its producer does not hold the id")
	errBack    = errors.New("the id would go back to an earlier producer")
	errOpen    = errors.New("a transaction is open")
	errNotOpen = errors.New("no transaction is open")
	errKind    = errors.New("no such kind of event")
)

// follows says why e cannot be applied, or nil.
func (c *Coordinator) follows(e *Event) error {
	have := c.ids[e.ID]
	switch {
	case e.Kind == Given:
		return nil
	case e.Kind == Held && have == nil:
		return nil
	case have == nil:
		return errUnknown
	}
	switch e.Kind {
	case Held:
		return have.heldNext(e)
	case Added:
		if e.Producer != have.producer {
			return errHolder
		}
		return nil
	case Ended:
		return have.endedNext(e)
	case Forgotten:
		if have.isOpen() {
			return errOpen
		}
		return nil
	}
	return errKind
}

func (e *entry) heldNext(event *Event) error {
	if e.isOpen() {
		return errOpen
	}
	if !e.producer.before(event.Producer) {
		return errBack
	}
	return nil
}

func (e *entry) endedNext(event *Event) error {
	end := event.End
	switch {
	case end.Marker != e.producer && end.Marker != e.producer.fence():
		return errHolder
	case event.Producer.before(e.producer):
		return errBack
	case !e.isOpen() && (end.Commit || end.Cause != ByClient || len(end.Markers)+len(end.Groups) > 0):
		return errNotOpen
	}
	return nil
}

// Snapshot returns the events that make the present state out of none. Nothing
// may be applied before it is read to its end.
func (c *Coordinator) Snapshot() iter.Seq[*Event] {
	return func(yield func(*Event) bool) {
		given := &Event{Kind: Given, Producer: Producer{ID: c.nextID - 1}, Previous: NoProducer()}
		if c.nextID > 1 && !yield(given) {
			return
		}
		for _, id := range sortedIDs(c.ids) {
			if !yield(c.ids[id].image(id)) {
				return
			}
		}
	}
}

// image is the event that makes e out of nothing.
func (e *entry) image(id string) *Event {
	return &Event{
		Kind: Held, Time: e.updated, ID: id, Producer: e.producer, Previous: e.previous, TimeoutMs: e.timeoutMs,
		State: e.state, Started: e.started, Partitions: slices.Clone(e.partitions), Groups: slices.Clone(e.groups),
	}
}
