package broker

import (
	"errors"
	"fmt"

	"github.com/hapaxmq/hapax/broker/code"
	"github.com/hapaxmq/hapax/broker/partition"
	"github.com/hapaxmq/hapax/broker/unique"
)

// route is where copies go that a partition of a topic does not keep.
type route struct {
	policy     unique.Policy
	to         *partition.Partition // nil: the topic is gone
	appendTime bool
}

// routesOf are where copies go of a partition, by its index.
func routesOf(ts *topics, rules *unique.Rules, index int32) (all []route) {
	if rules.Shadow {
		return nil
	}
	for _, name := range rules.Routes() {
		r := route{policy: unique.Policy{Fate: unique.Route, Topic: name}}
		if t := ts.named(name); t != nil {
			r.to, r.appendTime = t.partitions[int(index)%len(t.partitions)], t.rules.appendTime
		}
		all = append(all, r)
	}
	return all
}

// targets are their partitions.
func targets(routes []route) (all []*partition.Partition) {
	for i := range routes {
		if routes[i].to != nil {
			all = append(all, routes[i].to)
		}
	}
	return all
}

// add adds the batch of those of a batch's copies that go this way, if any do.
func (r *route) add(all []partition.Beside, ids *unique.Reader, rules *unique.Rules, copies []unique.Copy, from unique.Origin, by unique.Producer) ([]partition.Beside, error) {
	var taken []unique.Copy
	for _, c := range copies {
		if c.Fate == unique.Route && fateOf(rules, c.Verdict) == r.policy {
			taken = append(taken, c)
		}
	}
	if len(taken) == 0 {
		return all, nil
	}
	b, err := ids.Copies(nil, taken, from, by)
	if err != nil {
		return all, fmt.Errorf("copies for topic %q: %w", r.policy.Topic, err)
	}
	return append(all, partition.Beside{In: r.to, Batch: b, AppendTime: r.appendTime}), nil
}

// routeOf is the way of records with a policy.
func routeOf(routes []route, p unique.Policy) *route {
	for i := range routes {
		if routes[i].policy == p {
			return &routes[i]
		}
	}
	return &route{policy: p}
}

// refuses tells why copies of a topic cannot go this way; nil if they can.
func (r *route) refuses(at partition.Turn, from string, producer int64) error {
	err := error(code.UnknownTopicOrPartition)
	if r.to != nil {
		err = at.Refuses(r.to, producer)
	}
	if errors.Is(err, code.UnknownTopicOrPartition) {
		return refuse(code.InvalidConfig, "copies of topic %q are to go to topic %q, which is gone: make it again, or change %s and %s",
			from, r.policy.Topic, unique.SettingDuplicates, unique.SettingConflicts)
	}
	return err
}
