package group

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/hapaxmq/hapax/broker/code"
)

// poller is a consumer's process, which believes what it was told.
type poller struct {
	id, instance string
	epoch        int32
	reads        []Partition
	topics       []string
	pattern      string
	assignor     string
	away         bool // it left, for a while or for good
}

// audience is one group under random consumers, and what must hold.
type audience struct {
	t      *rapid.T
	groups *Groups
	log    [][]byte
	now    int64
	fresh  int

	calm    bool // nothing fails any more
	there   map[string]Topic
	view    *Topics
	pollers []*poller
	epochs  map[string]int32 // the highest of each member
	highest int32            // of the group
}

func audienceSettings() Settings {
	set := settings()
	set.ConsumerSession, set.MaxConsumers = longestSession, 5
	return set
}

// TestNothingIsReadByTwo: no partition is read by two members at once, epochs only
// go up, and when nothing changes any more everybody gets what it shall have.
func TestNothingIsReadByTwo(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := &audience{t: t, groups: New(audienceSettings()), there: map[string]Topic{}, epochs: map[string]int32{}}
		a.topic("orders", 3)
		for _, instance := range []string{"", "", "", "i1", "i2", "i1"} {
			a.pollers = append(a.pollers, a.process(instance))
		}
		t.Repeat(map[string]func(*rapid.T){
			"":       func(*rapid.T) { a.check() },
			"poll":   func(t *rapid.T) { a.poll(a.one(t), rapid.IntRange(0, 9).Draw(t, "lost") == 0) },
			"live":   func(t *rapid.T) { a.live(t) },
			"live 2": func(t *rapid.T) { a.live(t) },
			"lives":  func(t *rapid.T) { a.lives(a.one(t)) },
			"leave":  func(t *rapid.T) { a.leave(a.one(t)) },
			"commit": func(t *rapid.T) { a.commit(a.one(t)) },
			"crash": func(t *rapid.T) {
				i := rapid.IntRange(0, len(a.pollers)-1).Draw(t, "process")
				a.pollers[i] = a.process(a.pollers[i].instance)
			},
			"wish": func(t *rapid.T) { a.wish(a.one(t)) },
			"topic": func(t *rapid.T) {
				a.topic(rapid.SampledFrom([]string{"orders", "bills", "bonds"}).Draw(t, "topic"), rapid.Int32Range(0, 5).Draw(t, "partitions"))
			},
			"wait":    func(t *rapid.T) { a.wait(rapid.Int64Range(0, 15_000).Draw(t, "ms")) },
			"restart": func(t *rapid.T) { a.restart() },
			"classic": func(t *rapid.T) { a.classic(rapid.Bool().Draw(t, "leaves")) },
			"delete": func(*rapid.T) {
				if c, e := a.groups.DecideDelete(theGroup); c == code.None {
					a.append(e)
				}
			},
		})
		a.converge()
	})
}

func (a *audience) process(instance string) *poller {
	p := &poller{instance: instance}
	a.wish(p)
	return p
}

func (a *audience) one(t *rapid.T) *poller { return rapid.SampledFrom(a.pollers).Draw(t, "process") }

// wish has a process want something else.
func (a *audience) wish(p *poller) {
	p.topics = rapid.SampledFrom([][]string{{}, {"orders"}, {"orders"}, {"orders", "bills"}}).Draw(a.t, "topics")
	p.pattern = rapid.SampledFrom([]string{"", "", "b.*"}).Draw(a.t, "pattern")
	p.assignor = rapid.SampledFrom([]string{"", Uniform, Range}).Draw(a.t, "assignor")
}

// topic makes a topic or one with more partitions; of none, deletes it.
func (a *audience) topic(name string, partitions int32) {
	was, ok := a.there[name]
	switch {
	case partitions == 0 && ok:
		delete(a.there, name)
		a.append(TopicDeleted{Topic: was.ID})
	case partitions > was.Partitions:
		if !ok {
			a.fresh++
			was = Topic{Name: name, ID: [16]byte{byte(a.fresh), byte(a.fresh >> 8)}}
		}
		was.Partitions = partitions
		a.there[name] = was
	}
	a.view = NewTopics(slices.Collect(maps.Values(a.there)))
}

// live has some processes poll for a while.
func (a *audience) live(t *rapid.T) {
	some := rapid.Permutation(a.pollers).Draw(t, "processes")[:rapid.IntRange(1, 4).Draw(t, "how many")]
	for range rapid.IntRange(1, 6).Draw(t, "rounds") {
		for _, p := range some {
			a.poll(p, false)
			a.check()
		}
		a.wait(500)
	}
}

// poll says all that a process wants and has: joins, if it is no member.
func (a *audience) poll(p *poller, lost bool) {
	if p.away || p.id == "" {
		a.fresh++
		p.id, p.epoch, p.away = fmt.Sprintf("m%d", a.fresh), 0, false
	}
	if p.epoch == 0 {
		p.reads = nil
	}
	owned := append([]Partition{}, p.reads...)
	a.beat(p, lost, ConsumerHeartbeat{
		Epoch: p.epoch, Instance: p.instance, RebalanceTimeout: longestRebalance,
		Topics: p.topics, Pattern: &p.pattern, Assignor: p.assignor, Owned: owned,
	})
}

// lives says no more than that a process lives.
func (a *audience) lives(p *poller) {
	if !p.away && p.epoch > 0 {
		a.beat(p, false, ConsumerHeartbeat{Epoch: p.epoch, RebalanceTimeout: -1})
	}
}

func (a *audience) leave(p *poller) {
	if p.away || p.epoch == 0 {
		return
	}
	r := ConsumerHeartbeat{Epoch: -1, RebalanceTimeout: -1, Instance: p.instance}
	if p.instance != "" && rapid.Bool().Draw(a.t, "for a while") {
		r.Epoch = -2
	}
	p.reads, p.away = nil, true
	a.beat(p, false, r)
}

// beat sends a heartbeat, and has the process do what it is told.
func (a *audience) beat(p *poller, lost bool, r ConsumerHeartbeat) {
	r.Version, r.Group, r.Member, r.ClientID = 1, theGroup, p.id, "c"
	before := a.groups.queue.Len()
	reply, e := a.groups.DecideConsumerHeartbeat(r, a.view, a.now)
	if a.groups.queue.Len() != before {
		a.t.Fatalf("a decision changed the groups")
	}
	if !a.calm && rapid.IntRange(0, 19).Draw(a.t, "log fails") == 19 {
		return // as if it never came
	}
	if e != nil {
		a.append(e)
	}
	switch {
	case lost:
	case reply.Code == code.UnknownMemberID || reply.Code == code.FencedInstanceID || reply.Code == code.UnreleasedInstanceID || reply.Code == code.GroupMaxSizeReached:
		p.id, p.epoch, p.reads = "", 0, nil
	case reply.Code == code.FencedMemberEpoch:
		p.epoch, p.reads = 0, nil
	case reply.Code == code.GroupIDNotFound && a.groups.Describe(theGroup).State != Empty: // it is a classic one
	case reply.Code != code.None:
		a.t.Fatalf("%+v: %v", r, reply.Code)
	case reply.Epoch >= 0:
		p.epoch = reply.Epoch
		if reply.Told {
			p.reads = reply.Assigned
		}
	}
}

// classic has a member of the classic protocol join, which only a group without
// members lets in, and leave.
func (a *audience) classic(leaves bool) {
	d, consumers := a.groups.DescribeConsumers(theGroup)
	a.fresh++
	step := a.groups.Join(Ticket(a.fresh), JoinRequest{
		Version: 3, Group: theGroup, Fresh: fmt.Sprint(a.fresh), ClientID: "c", SessionTimeout: 1_000, RebalanceTimeout: 1_000,
		ProtocolType: "consumer", Protocols: []Protocol{{Name: "range"}},
	}, a.now)
	a.took(step)
	if refused := len(step.Replies) > 0 && step.Replies[0].Join.Code == code.InconsistentGroupProtocol; refused != (consumers && len(d.Members) > 0) {
		a.t.Fatalf("%+v answers %+v", d, step)
	}
	if members := a.groups.Describe(theGroup).Members; leaves && len(members) > 0 {
		_, step := a.groups.Leave(LeaveRequest{Group: theGroup, Members: []Identity{{Member: members[0].ID}}}, a.now)
		a.took(step)
	}
}

// took logs what a step brought about.
func (a *audience) took(step Step) {
	for _, e := range step.Events {
		a.log = append(a.log, e.Append(nil))
		if e, ok := e.(Generated); ok {
			if e.Generation <= a.highest {
				a.t.Fatalf("generation %d after %d", e.Generation, a.highest)
			}
			a.highest = e.Generation
		}
	}
}

// commit: who may commit a partition has it.
func (a *audience) commit(p *poller) {
	m, ok := a.member(p.id)
	if !ok || len(p.reads) == 0 {
		return
	}
	at := rapid.SampledFrom(p.reads).Draw(a.t, "partition")
	epoch := max(p.epoch-rapid.Int32Range(0, 2).Draw(a.t, "behind"), 0)
	codes, e := a.groups.DecideCommit(CommitRequest{
		Version: 9, Group: theGroup, Member: p.id, Generation: epoch, Producer: NoProducer, Retention: -1, Offsets: []Offset{{Partition: at}},
	}, a.now)
	all := slices.Concat(m.Assigned, m.Revoking)
	slices.SortFunc(all, compareHeld)
	held, holds := find(all, at)
	want := code.StaleMemberEpoch
	if epoch == m.Epoch || m.Epoch != left && epoch < m.Epoch && holds && held.Since <= epoch {
		want = code.None
	}
	if codes[0] != want {
		a.t.Fatalf("%s at %d commits %v, which it has since %+v, with epoch %d: %v, want %v", p.id, m.Epoch, at, held, epoch, codes[0], want)
	}
	if e != nil {
		a.append(e)
	}
}

func (a *audience) member(id string) (DescribedConsumer, bool) {
	d, _ := a.groups.DescribeConsumers(theGroup)
	for _, m := range d.Members {
		if m.Member == id {
			return m, true
		}
	}
	return DescribedConsumer{}, false
}

func (a *audience) append(e Event) {
	a.log = append(a.log, e.Append(nil))
	a.groups.Apply(e)
}

func (a *audience) wait(ms int64) {
	until := a.now + ms
	for a.groups.Next() <= until {
		a.now = max(a.now, a.groups.Next())
		step, next := a.groups.Tick(a.now)
		if next <= a.now {
			a.t.Fatalf("at %d the next tick is due at %d", a.now, next)
		}
		a.took(step)
	}
	a.now = until
}

// restart begins anew with the log, or with a snapshot, and must be what was.
func (a *audience) restart() {
	before, ok := a.groups.DescribeConsumers(theGroup)
	a.groups, a.log = restarted(a.t, a.groups, a.log, a.now)
	if after, _ := a.groups.DescribeConsumers(theGroup); ok && fmt.Sprint(after) != fmt.Sprint(before) {
		a.t.Fatalf("%+v\nis after the restart\n%+v", before, after)
	}
}

func (a *audience) check() {
	d, ok := a.groups.DescribeConsumers(theGroup)
	if !ok {
		return
	}
	if d.Epoch < a.highest || d.TargetEpoch > d.Epoch {
		a.t.Fatalf("epoch %d after %d, target %d", d.Epoch, a.highest, d.TargetEpoch)
	}
	a.highest = d.Epoch
	has, shall := map[Partition]string{}, map[Partition]string{}
	for i := range d.Members {
		m := &d.Members[i]
		if m.Epoch != left {
			if m.Epoch < a.epochs[m.Member] || m.Epoch > d.TargetEpoch {
				a.t.Fatalf("%s at %d after %d, target %d", m.Member, m.Epoch, a.epochs[m.Member], d.TargetEpoch)
			}
			a.epochs[m.Member] = m.Epoch
		}
		for _, held := range slices.Concat(m.Assigned, m.Revoking) {
			if other := has[held.Partition]; other != "" {
				a.t.Fatalf("%s and %s have %v", m.Member, other, held.Partition)
			}
			has[held.Partition] = m.Member
		}
		for _, p := range m.Target {
			if other := shall[p]; other != "" {
				a.t.Fatalf("%s and %s shall have %v", m.Member, other, p)
			}
			shall[p] = m.Member
		}
	}
	for _, p := range a.pollers {
		if _, member := a.member(p.id); !member {
			continue // what it reads is not its own any more, as it will hear
		}
		for _, at := range p.reads {
			if has[at] != p.id {
				a.t.Fatalf("%s reads %v, which is %q's", p.id, at, has[at])
			}
		}
	}
	if err := a.groups.byName[theGroup].consumers.sound(); err != nil {
		a.t.Fatal(err)
	}
}

// sound counts anew what is kept count of.
func (c *consumers) sound() error {
	again := newConsumers()
	for _, m := range c.inOrder() {
		again.hold(again.put(m.Profile), m.Holding)
	}
	switch {
	case again.bytes != c.bytes, len(again.owners) != len(c.owners), len(again.static) != len(c.static):
		return fmt.Errorf("%d bytes, %d owners and %d instances, want %d, %d and %d", c.bytes, len(c.owners), len(c.static), again.bytes, len(again.owners), len(again.static))
	}
	for p, m := range c.owners {
		if again.owners[p] == nil || again.owners[p].Member != m.Member {
			return fmt.Errorf("%v is %s's", p, m.Member)
		}
	}
	return nil
}

// converge: once nothing changes and everybody polls, everybody gets what it shall
// have, and everything that somebody wants is somebody's.
func (a *audience) converge() {
	a.calm = true
	a.pollers = a.pollers[:5] // one process an instance
	for range 24 {
		for _, p := range a.pollers {
			a.poll(p, false)
			a.check()
		}
		a.wait(1_000)
	}
	d, _ := a.groups.DescribeConsumers(theGroup)
	if d.State != Stable || len(d.Members) != len(a.pollers) {
		a.t.Fatalf("%+v", d)
	}
	shared := map[Partition]bool{}
	for _, m := range d.Members {
		for _, p := range m.Target {
			shared[p] = true
		}
		at := slices.IndexFunc(a.pollers, func(p *poller) bool { return p.id == m.Member })
		if at < 0 || !slices.Equal(a.pollers[at].reads, m.Target) {
			a.t.Fatalf("%s does not read %v: %+v", m.Member, m.Target, a.pollers)
		}
	}
	for _, p := range a.pollers {
		for _, place := range newResolver(a.view).of(&Profile{Topics: p.topics, Pattern: p.pattern}) {
			for index := range a.view.all[place].Partitions {
				if !shared[Partition{a.view.all[place].ID, index}] {
					a.t.Fatalf("nobody has %v-%d", a.view.all[place].Name, index)
				}
			}
		}
	}
}
