package group

import (
	"cmp"
	"flag"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hapaxmq/hapax/broker/code"
	"github.com/hapaxmq/hapax/internal/transcripttest"
)

var rewrite = flag.Bool("rewrite", false, "rewrite what the transcripts under testdata answer")

// TestTranscripts plays the files under testdata.
func TestTranscripts(t *testing.T) {
	transcripttest.Play(t, *rewrite, func(t *testing.T, say transcripttest.Say) func([]string) {
		return newScript(t, say).do
	})
}

// client is one process of a transcript, and what it was told.
type client struct {
	name, member, instance string
	generation             int32
	protocols              []Protocol

	wants map[string]string // of the consumer protocol: what it subscribes with
	owned []Partition
}

// script is a group, its clients and its log.
type script struct {
	t       *testing.T
	groups  *Groups
	now     int64
	log     [][]byte
	clients map[string]*client
	tickets map[Ticket]*client
	fresh   int
	say     transcripttest.Say

	there map[string]Topic
	ids   map[string][16]byte
	names map[[16]byte]string
	view  *Topics
}

const theGroup = "g"

func newScript(t *testing.T, say transcripttest.Say) *script {
	return &script{
		t: t, say: say, groups: New(Defaults()), clients: map[string]*client{}, tickets: map[Ticket]*client{},
		there: map[string]Topic{}, ids: map[string][16]byte{}, names: map[[16]byte]string{},
	}
}

// do runs one line: "wait 3s", or who does what with which key=value pairs.
func (s *script) do(words []string) {
	args := map[string]string{}
	for _, w := range words {
		if k, v, ok := strings.Cut(w, "="); ok {
			args[k] = v
		}
	}
	if run, ok := s.commands()[words[0]]; ok {
		run(words, args)
		return
	}
	c := s.clients[words[0]]
	if c == nil {
		c = &client{name: words[0], generation: -1}
		s.clients[c.name] = c
	}
	if s.consumes(c, words[1], args) {
		return
	}
	switch words[1] {
	case "joins":
		s.join(c, args)
	case "syncs":
		s.sync(c, args)
	case "beats":
		s.say("%v", s.groups.Heartbeat(HeartbeatRequest{Group: theGroup, Member: c.member, Instance: c.instance, Generation: c.generation}, s.now))
	case "leaves":
		codes, step := s.groups.Leave(LeaveRequest{Group: theGroup, Members: []Identity{{c.member, c.instance}}}, s.now)
		s.say("%v", codes[0])
		s.took(step)
	case "commits":
		s.commit(c, args)
	case "restarts":
		*c = client{name: c.name, generation: -1, instance: c.instance, protocols: c.protocols}
	default:
		s.t.Fatalf("who knows %q", words)
	}
}

func (s *script) commands() map[string]func([]string, map[string]string) {
	return map[string]func([]string, map[string]string){
		"wait": func(words []string, _ map[string]string) { s.wait(s.duration(words[1])) },
		"expel": func(_ []string, args map[string]string) {
			codes, step := s.groups.Leave(LeaveRequest{Group: theGroup, Members: []Identity{{"", args["instance"]}}}, s.now)
			s.say("%v", codes[0])
			s.took(step)
		},
		"end": func(words []string, args map[string]string) {
			s.append(Ended{Producer: int64(s.number(args["txn"])), Commit: words[1] == "commit"})
		},
		"topic": s.topic,
		"fetch": func(_ []string, args map[string]string) { s.fetch(args["stable"] == "yes") },
		"configure": func(_ []string, args map[string]string) {
			c, e := s.groups.DecideConfigure(theGroup, Own{
				ConsumerSession:  int32(s.duration(cmp.Or(args["session"], "0"))),
				ConsumerInterval: int32(s.duration(cmp.Or(args["interval"], "0"))),
			})
			s.say("%v", c)
			s.append(e)
		},
		"describe": func([]string, map[string]string) { s.describe() },
		"restart":  func([]string, map[string]string) { s.restart() },
		"expire": func([]string, map[string]string) {
			for _, e := range s.groups.DecideExpire(s.now) {
				s.append(e)
			}
		},
		"delete": func([]string, map[string]string) {
			c, e := s.groups.DecideDelete(theGroup)
			s.say("%v", c)
			s.append(e)
		},
	}
}

func (s *script) join(c *client, args map[string]string) {
	s.fresh++
	c.instance = cmp.Or(args["instance"], c.instance)
	if names, ok := args["protocols"]; ok || c.protocols == nil {
		c.protocols = nil
		for name := range strings.SplitSeq(cmp.Or(names, "range"), ",") {
			c.protocols = append(c.protocols, Protocol{name, []byte(args["says"])})
		}
	}
	ticket := Ticket(s.fresh)
	s.tickets[ticket] = c
	s.took(s.groups.Join(ticket, JoinRequest{
		Version: int16(s.number(cmp.Or(args["version"], "9"))), Group: theGroup,
		Member: c.member, Instance: c.instance, Fresh: strconv.Itoa(s.fresh),
		ClientID: strings.ToLower(c.name), ClientHost: "/127.0.0.1",
		SessionTimeout:   int32(s.duration(cmp.Or(args["session"], "10s"))),
		RebalanceTimeout: int32(s.duration(cmp.Or(args["rebalance"], "60s"))),
		ProtocolType:     cmp.Or(args["type"], "consumer"), Protocols: c.protocols,
	}, s.now))
}

func (s *script) sync(c *client, args map[string]string) {
	s.fresh++
	ticket := Ticket(s.fresh)
	s.tickets[ticket] = c
	r := SyncRequest{Group: theGroup, Member: c.member, Instance: c.instance, Generation: c.generation}
	for _, name := range sortedKeys(args) {
		r.Assignments = append(r.Assignments, Assignment{s.clients[name].member, []byte(args[name])})
	}
	s.took(s.groups.Sync(ticket, r, s.now))
}

func (s *script) commit(c *client, args map[string]string) {
	r := CommitRequest{
		Version: 10, Group: theGroup, Member: c.member, Instance: c.instance,
		Generation: c.generation, Producer: NoProducer, Retention: -1,
	}
	if txn, ok := args["txn"]; ok {
		r.Producer = int64(s.number(txn))
	}
	for _, key := range []string{"p0", "p1"} {
		if at, ok := args[key]; ok {
			index := int32(s.number(key[1:]))
			r.Offsets = append(r.Offsets, Offset{Partition: Partition{Index: index}, Offset: int64(s.number(at)), LeaderEpoch: -1})
		}
	}
	codes, e := s.groups.DecideCommit(r, s.now)
	s.say("%v", codes[0])
	s.append(e)
}

// append is what a caller does with a decision.
func (s *script) append(e Event) {
	if e == nil {
		return
	}
	s.logged(e)
	s.groups.Apply(e)
}

func (s *script) logged(e Event) {
	s.log = append(s.log, e.Append(nil))
	switch e := e.(type) {
	case Generated:
		s.say("log: generation %d", e.Generation)
	case Changed:
		s.changed(e)
	case Committed:
		for _, o := range e.Offsets {
			s.say("log: offset p%d=%d%s", o.Partition.Index, o.Offset, map[bool]string{true: ", pending"}[e.Producer >= 0])
		}
	default:
		s.say("log: %T %+v", e, e)
	}
}

func (s *script) took(step Step) {
	for _, e := range step.Events {
		s.logged(e)
	}
	for _, r := range step.Replies {
		c := s.tickets[r.Ticket]
		if c == nil {
			s.t.Fatalf("ticket %d is answered twice", r.Ticket)
		}
		delete(s.tickets, r.Ticket)
		switch {
		case r.Sync != nil && r.Sync.Code != code.None:
			s.say("%s: sync: %v", c.name, r.Sync.Code)
		case r.Sync != nil:
			s.say("%s: has %q", c.name, r.Sync.Assignment)
		case r.Join.Code == code.MemberIDRequired:
			c.member = r.Join.Member
			s.say("%s: join: %v, be %s", c.name, r.Join.Code, c.member)
		case r.Join.Code != code.None:
			s.say("%s: join: %v", c.name, r.Join.Code)
		default:
			c.member, c.generation = r.Join.Member, r.Join.Generation
			s.say("%s: is %s in generation %d by %s%s", c.name, c.member, c.generation, r.Join.Protocol, leads(r.Join))
		}
	}
}

func leads(r *JoinReply) string {
	if len(r.Members) == 0 {
		return ", led by " + r.Leader
	}
	var who []string
	for _, m := range r.Members {
		who = append(who, m.ID)
	}
	text := ", leads " + strings.Join(who, " ")
	if r.SkipAssignment {
		text += " and need not assign"
	}
	return text
}

// wait lets time pass, with a tick whenever one is due.
func (s *script) wait(ms int64) {
	until := s.now + ms
	for s.groups.Next() <= until {
		s.now = max(s.now, s.groups.Next())
		step, _ := s.groups.Tick(s.now)
		if len(step.Events)+len(step.Replies) > 0 {
			s.say("at %v", time.Duration(s.now)*time.Millisecond)
			s.took(step)
		}
	}
	s.now = until
}

func (s *script) fetch(stable bool) {
	for _, f := range fetchAll(s.groups, theGroup, stable) {
		if f.Code != code.None {
			s.say("p%d: %v", f.Partition.Index, f.Code)
		} else {
			s.say("p%d: %d", f.Partition.Index, f.Offset)
		}
	}
}

func (s *script) describe() {
	if d, ok := s.groups.DescribeConsumers(theGroup); ok {
		s.describeConsumers(d)
		return
	}
	d := s.groups.Describe(theGroup)
	s.say("%v, generation %d", d.State, d.Generation)
	for _, m := range d.Members {
		s.say("%s has %q", m.ID, m.Assignment)
	}
}

// restart makes the groups anew from the log.
func (s *script) restart() {
	s.groups = replayed(s.t, s.groups.set, s.log, s.now)
	s.tickets = map[Ticket]*client{}
}

func (s *script) duration(text string) int64 {
	d, err := time.ParseDuration(text)
	if err != nil {
		s.t.Fatal(err)
	}
	return d.Milliseconds()
}

func (s *script) number(text string) int {
	n, err := strconv.Atoi(text)
	if err != nil {
		s.t.Fatal(err)
	}
	return n
}

// sortedKeys keeps what maps say in one order.
func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
