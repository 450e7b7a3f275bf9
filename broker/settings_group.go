package broker

import (
	"fmt"
	"strconv"

	"github.com/hapaxmq/hapax/broker/code"
	"github.com/hapaxmq/hapax/broker/group"
)

// The settings that a group may have.
const (
	consumerSession  = "consumer.session.timeout.ms"
	consumerInterval = "consumer.heartbeat.interval.ms"
)

// groupSettings are those that a group may have. Kafka has some more, of share
// groups.
func groupSettings() []setting {
	return []setting{
		{name: consumerSession, kind: integer, value: "45000", low: 1, high: most32, node: []string{"group." + consumerSession}, doc: "How long a member of the consumer protocol may show no life."},
		{name: consumerInterval, kind: integer, value: "5000", low: 1, high: most32, node: []string{"group." + consumerInterval}, doc: "How often such a member is to show life."},
	}
}

// checkConsumers refuses what the node's bounds do not allow, and a session that
// ends before a heartbeat is due. What stands before their names makes them the node's.
func (s *settings) checkConsumers(before string, session, interval int64) error {
	for _, is := range []struct {
		name  string
		value int64
	}{{"session.timeout.ms", session}, {"heartbeat.interval.ms", interval}} {
		least, most := "group.consumer.min."+is.name, "group.consumer.max."+is.name
		if low, high := s.number(least), s.number(most); is.value < low || is.value > high {
			return refuseSetting(before+"consumer."+is.name, "setting %sconsumer.%s=%d: want a number from %d to %d, which are %s and %s", before, is.name, is.value, low, high, least, most)
		}
	}
	if session <= interval {
		return refuseSetting(before+consumerSession, "setting %[1]s%[2]s=%[3]d: want more than %[1]s%[4]s=%[5]d", before, consumerSession, session, consumerInterval, interval)
	}
	return nil
}

// ownGroup checks the settings that a group is to have of its own.
func (s *settings) ownGroup(own map[string]string) (set group.Own, err error) {
	if err := s.groups.check(own); err != nil {
		return set, err
	}
	number := func(text string) int64 {
		n, _ := strconv.ParseInt(text, 10, 32) // it was checked
		return n
	}
	session, interval := s.valueOf(own, s.groups[consumerSession]), s.valueOf(own, s.groups[consumerInterval])
	if err := s.checkConsumers("", number(session), number(interval)); err != nil {
		return set, err
	}
	return group.Own{ConsumerSession: int32(number(own[consumerSession])), ConsumerInterval: int32(number(own[consumerInterval]))}, nil
}

// ownTexts are the settings that a group has of its own.
func ownTexts(set group.Own) map[string]string {
	own := make(map[string]string)
	for name, value := range map[string]int32{consumerSession: set.ConsumerSession, consumerInterval: set.ConsumerInterval} {
		if value != 0 {
			own[name] = strconv.Itoa(int(value))
		}
	}
	return own
}

// own are the settings that a group has of its own.
func (gs *groups) own(name string) (own map[string]string) {
	gs.look(func(g *group.Groups, _ int64) { own = ownTexts(g.Own(name)) })
	return own
}

// configure edits the settings that a group has of its own, whether or not it is
// there; only checks them, if only is set. They are durable on return.
func (gs *groups) configure(name string, only bool, edit func(own map[string]string) error) error {
	var refused error
	end, err := gs.decide(func(g *group.Groups, _ int64) group.Event {
		own := ownTexts(g.Own(name))
		if refused = edit(own); refused != nil {
			return nil
		}
		set, err := gs.b.settings.ownGroup(own)
		if refused = err; err != nil {
			return nil
		}
		c, event := g.DecideConfigure(name, set)
		if c != code.None {
			refused = refuse(c, "group %.80q cannot have settings: its name is too long, or too many groups have some", name)
		}
		if only {
			return nil
		}
		return event
	})
	if refused != nil {
		return refused
	}
	if err == nil {
		err = gs.b.wal.Sync(end)
	}
	if err != nil {
		return fmt.Errorf("set group %q: %w", name, err)
	}
	return nil
}
