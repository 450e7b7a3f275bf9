package group

import (
	"cmp"
	"encoding/binary"
	"iter"
	"maps"
	"slices"

	"github.com/hapaxmq/hapax/broker/code"
)

// Rules are the settings of all groups, and what some have of their own. They are
// part of [Groups], under the same lock.
type Rules struct {
	set Settings
	own map[string]Own // by the name of a group
}

// Own is what one group has of its own in place of [Settings], in milliseconds; 0
// is nothing.
type Own struct {
	ConsumerSession  int32 // consumer.session.timeout.ms
	ConsumerInterval int32 // consumer.heartbeat.interval.ms
}

// Configured says what a group has of its own from now on. It is about a name: the
// group need not be there, and what it has stays when it is deleted, as in Kafka.
type Configured struct {
	Group string
	Own   Own
}

func (Configured) kind() byte { return kindConfigured }

// Append implements [Event].
func (e Configured) Append(b []byte) []byte {
	b = appendText(append(b, e.kind()), e.Group)
	b = binary.AppendVarint(b, int64(e.Own.ConsumerSession))
	return binary.AppendVarint(b, int64(e.Own.ConsumerInterval))
}

func (r *reader) configured() Configured {
	return Configured{Group: r.text(), Own: Own{ConsumerSession: r.int32(), ConsumerInterval: r.int32()}}
}

// DecideConfigure gives a group something of its own, or takes it away. Members
// have it from their next heartbeat on. Whether the values make sense is for the
// caller to check.
func (r *Rules) DecideConfigure(name string, own Own) (code.Error, Event) {
	_, has := r.own[name]
	switch {
	case name == "" || len(name) > r.set.MaxGroupName:
		return code.InvalidGroupID, nil
	case own == r.own[name]:
		return code.None, nil
	case !has && len(r.own) >= r.set.MaxGroups:
		return code.PolicyViolation, nil
	}
	return code.None, Configured{name, own}
}

// Own is what a group has of its own.
func (r *Rules) Own(name string) Own { return r.own[name] }

// Configured yields the groups that have something of their own, by name.
func (r *Rules) Configured() iter.Seq[Configured] {
	return func(yield func(Configured) bool) {
		for _, name := range slices.Sorted(maps.Keys(r.own)) {
			if !yield(Configured{name, r.own[name]}) {
				return
			}
		}
	}
}

func (r *Rules) configure(e Configured) {
	if e.Own == (Own{}) {
		delete(r.own, e.Group)
		return
	}
	r.own[e.Group] = e.Own
}

// settings are those of a group, with what it has of its own.
func (r *Rules) settings(name string) *Settings {
	own, ok := r.own[name]
	if !ok {
		return &r.set
	}
	set := r.set
	set.ConsumerSession = cmp.Or(own.ConsumerSession, set.ConsumerSession)
	set.ConsumerInterval = cmp.Or(own.ConsumerInterval, set.ConsumerInterval)
	return &set
}
