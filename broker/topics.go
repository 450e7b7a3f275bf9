package broker

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/hapaxmq/hapax/broker/code"
	"github.com/hapaxmq/hapax/broker/group"
	"github.com/hapaxmq/hapax/broker/partition"
)

// topic is a name, and the partitions behind it. It does not change but for its
// partitions' number, which only grows: then another takes its place.
type topic struct {
	name       string
	id         [16]byte
	partitions []*partition.Partition
	settings   map[string]string // its own, by name
	rules      topicRules        // what follows of them
	window     *window           // nil: messages may come twice
}

// topics are those that exist, and their partitions.
type topics struct {
	log      *partition.Log
	sync     func(end int64) error // of the log
	settings *settings             // of the node
	groups   *groups               // whose offsets go with a topic
	windows  *windows

	changing sync.Mutex // one change at a time; guards what follows, with the log's Begin
	next     uint32     // the number of the next partition

	mu         sync.RWMutex
	name       map[string]*topic
	flat       map[string]string // names by their flat ones
	view       *group.Topics     // of all, as groups see them; nil until somebody asks
	id         map[[16]byte]*topic
	partitions map[uint32]*partition.Partition // by number
}

func newTopics(log *partition.Log, node *settings, groups *groups) *topics {
	return &topics{
		log: log, settings: node, groups: groups, partitions: make(map[uint32]*partition.Partition),
		name: make(map[string]*topic), flat: make(map[string]string), id: make(map[[16]byte]*topic),
	}
}

func (ts *topics) named(name string) *topic {
	ts.mu.RLock()
	defer ts.mu.RUnlock()
	return ts.name[name]
}

func (ts *topics) byID(id [16]byte) *topic {
	ts.mu.RLock()
	defer ts.mu.RUnlock()
	return ts.id[id]
}

// list is all topics, by name.
func (ts *topics) list() []*topic {
	ts.mu.RLock()
	defer ts.mu.RUnlock()
	all := make([]*topic, 0, len(ts.name))
	for _, t := range ts.name {
		all = append(all, t)
	}
	slices.SortFunc(all, func(a, b *topic) int { return strings.Compare(a.name, b.name) })
	return all
}

// subscribable are all topics as groups see them. It is the same as long as none
// changes.
func (ts *topics) subscribable() *group.Topics {
	ts.mu.RLock()
	view := ts.view
	ts.mu.RUnlock()
	if view != nil {
		return view
	}
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if ts.view == nil {
		all := make([]group.Topic, 0, len(ts.name))
		for _, t := range ts.name {
			all = append(all, group.Topic{Name: t.name, ID: t.id, Partitions: int32(len(t.partitions))})
		}
		ts.view = group.NewTopics(all)
	}
	return ts.view
}

func (ts *topics) enter(t *topic) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	ts.view = nil
	ts.name[t.name], ts.id[t.id] = t, t
	ts.flat[flatName(t.name)] = t.name
	for _, p := range t.partitions {
		ts.partitions[p.Number()] = p
	}
}

func (ts *topics) strike(t *topic) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	ts.view = nil
	delete(ts.name, t.name)
	delete(ts.flat, flatName(t.name))
	delete(ts.id, t.id)
	for _, p := range t.partitions {
		delete(ts.partitions, p.Number())
	}
}

// numbered is the partition with a number; nil if its topic is gone.
func (ts *topics) numbered(number uint32) *partition.Partition {
	ts.mu.RLock()
	defer ts.mu.RUnlock()
	return ts.partitions[number]
}

// partitionsOf are all partitions that there are, by number.
func partitionsOf(ts *topics) []*partition.Partition {
	ts.mu.RLock()
	defer ts.mu.RUnlock()
	all := slices.Collect(maps.Values(ts.partitions))
	slices.SortFunc(all, func(a, b *partition.Partition) int { return cmp.Compare(a.Number(), b.Number()) })
	return all
}

// maxTopicName is Kafka's own.
const maxTopicName = 249

// checkName refuses what Kafka refuses, and a name that differs from another
// only by "." and "_", which collide in the names of metrics.
func (ts *topics) checkName(name string) error {
	switch {
	case name == "" || name == "." || name == "..":
		return refuse(code.InvalidTopic, "topic name %q", name)
	case len(name) > maxTopicName:
		return refuse(code.InvalidTopic, "topic name of %d bytes: at most %d", len(name), maxTopicName)
	}
	for _, r := range name {
		if !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '.' || r == '_' || r == '-') {
			return refuse(code.InvalidTopic, "topic name %q: only letters, digits, '.', '_' and '-'", name)
		}
	}
	ts.mu.RLock()
	defer ts.mu.RUnlock()
	if other, ok := ts.flat[flatName(name)]; ok && other != name {
		return refuse(code.InvalidTopic, "topic name %q collides with %q in the names of metrics", name, other)
	}
	return nil
}

// flatName is a topic's in the names of metrics.
func flatName(name string) string { return strings.ReplaceAll(name, ".", "_") }

// newTopic is what is asked for.
type newTopic struct {
	name       string
	partitions int32
	settings   map[string]string
}

// maxPartitions is how many partitions one request may make of a topic.
const maxPartitions = 10_000

// check tells whether the topic could be made.
func (ts *topics) check(n newTopic) error {
	if err := ts.checkName(n.name); err != nil {
		return err
	}
	if ts.named(n.name) != nil {
		return refuse(code.TopicAlreadyExists, "topic %q exists", n.name)
	}
	if n.partitions < 1 || n.partitions > maxPartitions {
		return refuse(code.InvalidPartitions, "%d partitions: from 1 to %d", n.partitions, maxPartitions)
	}
	if err := roomFor(ts, int(n.partitions)); err != nil {
		return err
	}
	return checkSettings(ts, n.name, n.settings)
}

// roomFor refuses more partitions than the node may have.
func roomFor(ts *topics, more int) error {
	ts.mu.RLock()
	have := len(ts.partitions)
	ts.mu.RUnlock()
	if most := ts.settings.mostOfAll; more > most-have {
		return refuse(code.PolicyViolation, "%d partitions more, and of all topics there are %d: max.partitions allows %d", more, have, most)
	}
	return nil
}

// make makes a topic. It is durable on return.
func (ts *topics) make(n newTopic) (*topic, error) {
	ts.changing.Lock()
	defer ts.changing.Unlock()
	if err := ts.check(n); err != nil {
		return nil, err
	}
	made := topicMade{id: newID(), name: n.name, runs: []run{{ts.next, uint32(n.partitions)}}, settings: n.settings}
	w, err := ts.windows.begin(made.id, made.name, nil, ts.settings.rules(n.settings).window, true)
	if err != nil {
		return nil, fmt.Errorf("make topic %q: %w", n.name, err)
	}
	made.window = w.state()
	end, err := ts.change(frameTopicMade, made.encode(), func() { ts.add(made, w) })
	if err == nil {
		err = ts.sync(end)
	}
	if err != nil {
		return nil, fmt.Errorf("make topic %q: %w", n.name, err)
	}
	return ts.byID(made.id), nil
}

// change appends a frame and takes over what it says.
func (ts *topics) change(kind uint8, payload []byte, apply func()) (end int64, err error) {
	ts.log.Begin()
	defer ts.log.End()
	at, err := ts.log.Append(kind, payload)
	if err != nil {
		return 0, err
	}
	apply()
	return at.End, nil
}

// add takes over that a topic was made.
func (ts *topics) add(made topicMade, w *window) {
	t := &topic{name: made.name, id: made.id, settings: made.settings, rules: ts.settings.rules(made.settings), window: w}
	if w != nil {
		ts.windows.enter(w)
	}
	for _, r := range made.runs {
		t.partitions = append(t.partitions, ts.begin(r)...)
	}
	ts.enter(t)
}

// drop deletes a topic, its records, and what groups know of it. It is durable on
// return.
func (ts *topics) drop(id [16]byte) error {
	ts.changing.Lock()
	defer ts.changing.Unlock()
	t := ts.byID(id)
	if t == nil {
		return refuse(code.UnknownTopicOrPartition, "the topic is gone")
	}
	end, err := ts.groups.forget(frameTopicDropped, group.TopicDeleted{Topic: id}, func() { ts.remove(t) })
	if err == nil {
		err = ts.sync(end)
	}
	if err != nil {
		return fmt.Errorf("delete topic %q: %w", t.name, err)
	}
	ts.windows.changed(t, nil)
	return nil
}

func (ts *topics) remove(t *topic) {
	ts.strike(t)
	ts.windows.forget(t.id)
	for _, p := range t.partitions {
		p.Drop()
	}
}
