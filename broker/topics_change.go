package broker

import (
	"fmt"
	"maps"

	"github.com/hapaxmq/hapax/broker/code"
	"github.com/hapaxmq/hapax/broker/partition"
)

// configure edits the settings that a topic has of its own; only checks them, if
// only is set. They are durable on return.
func (ts *topics) configure(name string, only bool, edit func(own map[string]string) error) error {
	ts.changing.Lock()
	defer ts.changing.Unlock()
	t := ts.named(name)
	if t == nil {
		return noTopicCalled(name)
	}
	own := maps.Clone(t.settings)
	if own == nil {
		own = make(map[string]string)
	}
	if err := edit(own); err != nil {
		return err
	}
	if err := checkSettings(ts, name, own); err != nil {
		return err
	}
	if only || maps.Equal(own, t.settings) {
		return nil
	}
	set := topicConfigured{id: t.id, settings: own}
	w, err := ts.windows.begin(t.id, name, t.rules.window, ts.settings.rules(own).window, false)
	if err != nil {
		return fmt.Errorf("set topic %q: %w", name, err)
	}
	set.window = w.state()
	change := ts.change
	if w == nil && fromShadow(t, ts.settings.rules(own).window) {
		change = func(kind uint8, payload []byte, apply func()) (int64, error) {
			return enforceFrom(ts.windows, t, kind, payload, apply)
		}
	}
	end, err := change(frameTopicConfigured, set.encode(), func() { ts.takeSettings(set, w) })
	if err == nil {
		err = ts.sync(end)
	}
	if err != nil {
		return fmt.Errorf("set topic %q: %w", name, err)
	}
	ts.windows.changed(t, ts.byID(t.id))
	return nil
}

// takeSettings takes over that a topic has other settings, and with them, if it is
// not nil, another window.
func (ts *topics) takeSettings(set topicConfigured, w *window) {
	t := ts.byID(set.id)
	if t == nil {
		return
	}
	changed := *t
	changed.settings, changed.rules = set.settings, ts.settings.rules(set.settings)
	switch {
	case w != nil:
		changed.window = w
		ts.windows.enter(w)
	case changed.rules.window == nil:
		changed.window = nil
		ts.windows.forget(t.id)
	}
	ts.enter(&changed)
}

// grow gives a topic more partitions, count in all; only checks that, if only is
// set. They are durable on return.
func (ts *topics) grow(name string, count int32, only bool) error {
	ts.changing.Lock()
	defer ts.changing.Unlock()
	t := ts.named(name)
	switch {
	case t == nil:
		return noTopicCalled(name)
	case int(count) <= len(t.partitions):
		return refuse(code.InvalidPartitions, "topic %q has %d partitions, and their number only grows", name, len(t.partitions))
	case count > maxPartitions:
		return refuse(code.InvalidPartitions, "%d partitions: at most %d", count, maxPartitions)
	}
	if err := roomFor(ts, int(count)-len(t.partitions)); err != nil || only {
		return err
	}
	grown := topicGrown{id: t.id, run: run{first: ts.next, count: uint32(count) - uint32(len(t.partitions))}}
	end, err := ts.change(frameTopicGrown, grown.encode(), func() { ts.takeGrowth(grown) })
	if err == nil {
		err = ts.sync(end)
	}
	if err != nil {
		return fmt.Errorf("add partitions to topic %q: %w", name, err)
	}
	return nil
}

// takeGrowth takes over that a topic has more partitions.
func (ts *topics) takeGrowth(grown topicGrown) {
	if t := ts.byID(grown.id); t != nil && ts.numbered(grown.run.first) == nil {
		changed := *t
		changed.partitions = append(changed.partitions[:len(t.partitions):len(t.partitions)], ts.begin(grown.run)...)
		ts.enter(&changed)
	}
}

// begin makes the partitions of a run.
func (ts *topics) begin(r run) (begun []*partition.Partition) {
	for i := range r.count {
		begun = append(begun, partition.New(r.first+i, ts.log, ts.settings.partition()))
	}
	ts.next = max(ts.next, r.first+r.count)
	return begun
}

// runs are the numbers of a topic's partitions.
func (t *topic) runs() (all []run) {
	for _, p := range t.partitions {
		if last := len(all) - 1; last >= 0 && all[last].first+all[last].count == p.Number() {
			all[last].count++
			continue
		}
		all = append(all, run{first: p.Number(), count: 1})
	}
	return all
}
