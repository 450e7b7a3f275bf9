package group

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/hapaxmq/hapax/broker/code"
)

// What transcripts say of groups of the consumer protocol:
//
//	topic orders partitions=3   there is such a topic, or it has as many partitions now
//	topic orders gone
//	A subscribes topics=orders  A joins; or pattern=, instance=, assignor=, rebalance=
//	A polls                     A says all that it wants and has, and takes over what it hears;
//	                            topics= says that it wants others from now on
//	A polls lost=yes            and its reply is lost
//	A lives                     A says no more than that it lives
//	A quits, A pauses           A leaves, or its process does, for a while
//	configure session=60s       the group has a setting of its own from now on; or interval=

// consumes does what a consumer does, if it is one of these.
func (s *script) consumes(c *client, verb string, args map[string]string) bool {
	r := ConsumerHeartbeat{
		Version: 1, Group: theGroup, Member: c.member, Instance: c.instance, Epoch: c.generation,
		ClientID: strings.ToLower(c.name), ClientHost: "/127.0.0.1", RebalanceTimeout: -1,
	}
	switch verb {
	case "subscribes":
		c.wants, c.owned, c.generation = args, []Partition{}, 0
		c.instance = args["instance"]
		if c.member == "" {
			s.fresh++
			c.member = fmt.Sprintf("%s-%d", strings.ToLower(c.name), s.fresh)
		}
		r.Member, r.Instance, r.Epoch = c.member, c.instance, 0
		s.full(&r, c)
	case "polls":
		if _, ok := args["topics"]; ok {
			c.wants = args
		}
		s.full(&r, c)
	case "lives":
		r.Instance = ""
	case "quits":
		r.Epoch = -1
	case "pauses":
		r.Epoch = -2
	default:
		return false
	}
	reply, e := s.groups.DecideConsumerHeartbeat(r, s.topics(), s.now)
	if reply.Code != code.None {
		s.say("%v", reply.Code)
		return true
	}
	s.append(e)
	text := fmt.Sprintf("%s: epoch %d", c.name, reply.Epoch)
	if reply.Interval != Defaults().ConsumerInterval {
		text += fmt.Sprintf(", every %v", time.Duration(reply.Interval)*time.Millisecond)
	}
	if reply.Told {
		text += ", reads" + s.named(reply.Assigned)
	}
	if args["lost"] != "" {
		s.say("lost: %s", text)
		return true
	}
	s.say("%s", text)
	if r.Epoch >= 0 {
		c.generation = reply.Epoch
	}
	if reply.Told {
		c.owned = reply.Assigned
	}
	return true
}

func (s *script) full(r *ConsumerHeartbeat, c *client) {
	pattern := c.wants["pattern"]
	r.Pattern, r.Topics, r.Owned = &pattern, []string{}, c.owned
	for name := range strings.SplitSeq(c.wants["topics"], ",") {
		if name != "" {
			r.Topics = append(r.Topics, name)
		}
	}
	r.Assignor = c.wants["assignor"]
	r.RebalanceTimeout = int32(s.duration(cmp.Or(c.wants["rebalance"], "60s")))
}

// topic makes, grows or deletes a topic. The first that there is has the id 0.
func (s *script) topic(words []string, args map[string]string) {
	id, ok := s.ids[words[1]]
	if !ok {
		id[0] = byte(len(s.ids))
		s.ids[words[1]], s.names[id] = id, words[1]
	}
	if len(words) > 2 && words[2] == "gone" {
		delete(s.ids, words[1])
		delete(s.there, words[1])
		s.append(TopicDeleted{Topic: id})
	} else {
		s.there[words[1]] = Topic{words[1], id, int32(s.number(args["partitions"]))}
	}
	s.view = nil
}

func (s *script) topics() *Topics {
	if s.view == nil {
		var all []Topic
		for _, name := range sortedKeys(s.there) {
			all = append(all, s.there[name])
		}
		s.view = NewTopics(all)
	}
	return s.view
}

func (s *script) named(all []Partition) string {
	if len(all) == 0 {
		return " nothing"
	}
	var text strings.Builder
	for _, p := range all {
		fmt.Fprintf(&text, " %s-%d", s.names[p.Topic], p.Index)
	}
	return text.String()
}

func (s *script) changed(e Changed) {
	text := fmt.Sprintf("log: epoch %d", e.Epoch)
	for _, id := range e.Left {
		text += ", without " + id
	}
	for _, t := range e.Targets {
		text += "; " + t.Member + " shall have" + s.named(t.Partitions)
	}
	for _, h := range e.Holdings {
		text += fmt.Sprintf("; %s at %d has%s", h.Member, h.Epoch, s.named(h.Partitions()))
		if len(h.Revoking) > 0 {
			text += ", gives back" + s.named(Holding{Assigned: h.Revoking}.Partitions())
		}
		if h.Stage == Waiting {
			text += ", waits for more"
		}
	}
	s.say("%s", text)
}

func (s *script) describeConsumers(d ConsumerDescription) {
	s.say("%v, epoch %d, target %d by %s", d.State, d.Epoch, d.TargetEpoch, d.Assignor)
	for _, m := range d.Members {
		s.say("%s at %d has%s", m.Member, m.Epoch, s.named(m.Partitions()))
	}
}
