package group

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/hapaxmq/hapax/broker/code"
)

const (
	longestRebalance = 8_000
	longestSession   = 12_000
	initialDelay     = 1_000
)

// process is a client's process, which believes what it was told.
type process struct {
	id, instance string
	generation   int32
	leads        bool
	members      []JoinedMember
	synced       bool // has its assignment of this generation
}

// wait is a request that was not answered yet.
type wait struct {
	since int64
	of    *process
	as    string // the id that it was made with
	join  bool
}

// world is groups under random processes, and what must hold.
type world struct {
	t       *rapid.T
	groups  *Groups
	log     [][]byte
	now     int64
	fresh   int
	highest int32

	processes []*process
	waits     map[Ticket]wait
	fenced    map[string]bool             // ids of static members that were replaced
	assigned  map[int32]map[string]string // by generation and seat
}

func settings() Settings {
	set := Defaults()
	set.MinSession, set.MaxSession, set.MaxMembers = 1_000, longestSession, 4
	set.InitialDelay, set.NewMemberTimeout = initialDelay, 5_000
	return set
}

func TestMembershipHolds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := &world{
			t: t, groups: New(settings()), waits: map[Ticket]wait{}, fenced: map[string]bool{},
			assigned: map[int32]map[string]string{},
		}
		for _, instance := range []string{"", "", "i1", "i2", "i3", "i1"} {
			w.processes = append(w.processes, &process{instance: instance, generation: -1})
		}
		t.Repeat(map[string]func(*rapid.T){
			"":        func(*rapid.T) { w.check() },
			"join":    func(t *rapid.T) { w.join(w.one(t)) },
			"live":    func(t *rapid.T) { w.live(t) },
			"live 2":  func(t *rapid.T) { w.live(t) },
			"live 3":  func(t *rapid.T) { w.live(t) },
			"sync":    func(t *rapid.T) { w.sync(w.one(t)) },
			"beat":    func(t *rapid.T) { w.beat(w.one(t)) },
			"commit":  func(t *rapid.T) { w.commit(w.one(t)) },
			"leave":   func(t *rapid.T) { w.leave(w.one(t)) },
			"crash":   func(t *rapid.T) { p := w.one(t); *p = process{instance: p.instance, generation: -1} },
			"wait":    func(t *rapid.T) { w.wait(rapid.Int64Range(0, 3_000).Draw(t, "ms")) },
			"wait 2":  func(t *rapid.T) { w.wait(rapid.Int64Range(0, 30_000).Draw(t, "ms")) },
			"restart": func(t *rapid.T) { w.restart() },
			"delete":  func(*rapid.T) { w.delete() },
		})
		w.wait(longestRebalance + longestSession + initialDelay)
		w.check()
		if len(w.waits) > 0 {
			t.Fatalf("still waiting: %v", w.waits)
		}
	})
}

// live has some of the processes do what clients do, for a while.
func (w *world) live(t *rapid.T) {
	some := rapid.Permutation(w.processes).Draw(t, "processes")[:rapid.IntRange(1, 4).Draw(t, "how many")]
	for range rapid.IntRange(1, 12).Draw(t, "rounds") {
		for _, p := range some {
			w.act(p)
		}
		w.wait(rapid.SampledFrom([]int64{0, 0, 400}).Draw(t, "pause"))
	}
}

// act is what a client does next: it waits for its answer, or joins, or syncs, or
// heartbeats.
func (w *world) act(p *process) {
	for _, at := range w.waits {
		if at.of == p {
			return
		}
	}
	switch {
	case p.generation < 0:
		w.join(p)
	case !p.synced:
		w.sync(p)
	default:
		w.beat(p)
	}
}

func (w *world) one(t *rapid.T) *process { return rapid.SampledFrom(w.processes).Draw(t, "process") }

func (w *world) ticket(p *process, join bool) Ticket {
	w.fresh++
	w.waits[Ticket(w.fresh)] = wait{since: w.now, of: p, as: p.id, join: join}
	return Ticket(w.fresh)
}

func (w *world) join(p *process) {
	before := w.holder(p.instance)
	ticket := w.ticket(p, true)
	var protocols []Protocol
	for _, name := range rapid.SampledFrom([][]string{{"range"}, {"range"}, {"range", "sticky"}, {"sticky", "range"}, {"other"}}).Draw(w.t, "protocols") {
		protocols = append(protocols, Protocol{name, []byte(name)})
	}
	step := w.groups.Join(ticket, JoinRequest{
		Version: int16(rapid.IntRange(0, 9).Draw(w.t, "version")), Group: theGroup, Member: p.id, Instance: p.instance,
		Fresh: fmt.Sprint(w.fresh), ClientID: "c", SessionTimeout: int32(rapid.IntRange(1_000, longestSession).Draw(w.t, "session")),
		RebalanceTimeout: int32(rapid.IntRange(0, longestRebalance).Draw(w.t, "rebalance")),
		ProtocolType:     "consumer", Protocols: protocols,
	}, w.now)
	if after := w.holder(p.instance); before != "" && after != "" && before != after {
		w.fenced[before] = true
		w.mustFence(before, ticket, step)
	}
	w.take(step)
}

// mustFence: when a static member is replaced, what it has waiting ends there and
// then.
func (w *world) mustFence(id string, by Ticket, step Step) {
	for ticket, at := range w.waits {
		if at.as != id || ticket == by {
			continue
		}
		if !slices.ContainsFunc(step.Replies, func(r Reply) bool {
			return r.Ticket == ticket && (at.join && r.Join.Code == code.FencedInstanceID || !at.join && r.Sync.Code == code.FencedInstanceID)
		}) {
			w.t.Fatalf("%s was replaced, and ticket %d is answered by %+v", id, ticket, step.Replies)
		}
	}
}

// holder is the id that an instance goes by.
func (w *world) holder(instance string) string {
	for _, m := range w.groups.Describe(theGroup).Members {
		if instance != "" && m.Instance == instance {
			return m.ID
		}
	}
	return ""
}

func (w *world) sync(p *process) {
	r := SyncRequest{Group: theGroup, Member: p.id, Instance: p.instance, Generation: p.generation}
	seats := map[string]string{}
	if p.leads {
		for _, m := range p.members {
			if rapid.IntRange(0, 3).Draw(w.t, "gets") > 0 {
				what := fmt.Sprintf("%s in %d by %d", m.ID, p.generation, w.fresh)
				r.Assignments = append(r.Assignments, Assignment{m.ID, []byte(what)})
				seats[cmp.Or(m.Instance, m.ID)] = what
			}
		}
	}
	before := w.groups.Describe(theGroup)
	step := w.groups.Sync(w.ticket(p, false), r, w.now)
	if before.State == CompletingRebalance && w.groups.Describe(theGroup).State == Stable {
		w.assigned[p.generation] = seats
	}
	w.take(step)
}

// seat is what a member keeps when its process is replaced.
func (w *world) seat(id string) string {
	for _, m := range w.groups.Describe(theGroup).Members {
		if m.ID == id && m.Instance != "" {
			return m.Instance
		}
	}
	return id
}

func (w *world) beat(p *process) {
	c := w.groups.Heartbeat(HeartbeatRequest{Group: theGroup, Member: p.id, Instance: p.instance, Generation: p.generation}, w.now)
	if d := w.groups.Describe(theGroup); c == code.None && (p.generation != d.Generation || d.State != Stable && d.State != CompletingRebalance) {
		w.t.Fatalf("a heartbeat of generation %d goes well in %v %d", p.generation, d.State, d.Generation)
	}
	if c != code.None {
		p.told(c)
	}
	if c == code.None && w.fenced[p.id] {
		w.t.Fatalf("%s was replaced and heartbeats", p.id)
	}
}

// commit holds the answer against what a look at the group says it must be.
func (w *world) commit(p *process) {
	if p.id == "" {
		return
	}
	d := w.groups.Describe(theGroup)
	member := slices.ContainsFunc(d.Members, func(m DescribedMember) bool { return m.ID == p.id })
	want := code.None
	switch holder := w.holder(p.instance); {
	case p.generation < 0 && (d.State == Empty || d.State == Dead):
		want = code.None
	case d.State == Dead:
		want = code.IllegalGeneration
	case holder != "" && holder != p.id:
		want = code.FencedInstanceID
	case !member:
		want = code.UnknownMemberID
	case p.generation != d.Generation:
		want = code.IllegalGeneration
	case d.State == CompletingRebalance:
		want = code.RebalanceInProgress
	}
	codes, e := w.groups.DecideCommit(CommitRequest{
		Version: 8, Group: theGroup, Member: p.id, Instance: p.instance, Generation: p.generation,
		Producer: NoProducer, Retention: -1, Offsets: []Offset{{Offset: int64(w.fresh)}},
	}, w.now)
	if codes[0] != want || (e != nil) != (want == code.None) {
		w.t.Fatalf("%+v commits in %v %d: %v, want %v", p, d.State, d.Generation, codes[0], want)
	}
	if e != nil {
		w.append(e)
	}
}

func (w *world) leave(p *process) {
	_, step := w.groups.Leave(LeaveRequest{Group: theGroup, Members: []Identity{{p.id, p.instance}}}, w.now)
	w.take(step)
}

func (w *world) delete() {
	if c, e := w.groups.DecideDelete(theGroup); c == code.None {
		w.append(e)
	}
}

func (w *world) append(e Event) {
	w.log = append(w.log, e.Append(nil))
	w.groups.Apply(e)
}

func (w *world) wait(ms int64) {
	until := w.now + ms
	for w.groups.Next() <= until {
		w.now = max(w.now, w.groups.Next())
		step, next := w.groups.Tick(w.now)
		if next <= w.now {
			w.t.Fatalf("at %d the next tick is due at %d", w.now, next)
		}
		w.take(step)
		w.check()
	}
	w.now = until
}

// restart begins anew with the log, or with a snapshot of it.
func (w *world) restart() {
	w.groups, w.log = restarted(w.t, w.groups, w.log, w.now)
	w.waits = map[Ticket]wait{}
}

// restarted makes groups anew from their log, or from a snapshot, and returns what
// the log is then.
func restarted(t *rapid.T, g *Groups, log [][]byte, now int64) (*Groups, [][]byte) {
	if rapid.Bool().Draw(t, "snapshot") {
		log = nil
		for e := range g.Snapshot() {
			log = append(log, e.Append(nil))
		}
	}
	return replayed(t, g.set, log, now), log
}

// replayed makes groups from a log.
func replayed(t rapid.TB, set Settings, log [][]byte, now int64) *Groups {
	t.Helper()
	g := New(set)
	for _, b := range log {
		e, err := Read(b)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(e.Append(nil), b) {
			t.Fatalf("%x reads as %+v", b, e)
		}
		g.Apply(e)
	}
	g.Recovered(now)
	return g
}

// take logs events and hands out replies.
func (w *world) take(step Step) {
	for _, e := range step.Events {
		w.log = append(w.log, e.Append(nil))
		if g := e.(Generated); g.Generation <= w.highest {
			w.t.Fatalf("generation %d after %d", g.Generation, w.highest)
		} else {
			w.highest = g.Generation
		}
	}
	for _, r := range step.Replies {
		at, ok := w.waits[r.Ticket]
		if !ok || at.join != (r.Join != nil) || at.join == (r.Sync != nil) {
			w.t.Fatalf("nobody waits for %+v", r)
		}
		delete(w.waits, r.Ticket)
		if at.join {
			w.joined(at, r.Join)
		} else {
			w.synced(at, r.Sync)
		}
	}
}

func (w *world) joined(at wait, r *JoinReply) {
	p := at.of
	switch r.Code {
	case code.None:
		if w.fenced[r.Member] {
			w.t.Fatalf("%s was replaced and joins", r.Member)
		}
		if d := w.groups.Describe(theGroup); r.Generation != d.Generation || d.State == PreparingRebalance {
			w.t.Fatalf("%s joins generation %d in %v %d", r.Member, r.Generation, d.State, d.Generation)
		}
		p.id, p.generation, p.leads, p.members = r.Member, r.Generation, r.Leader == r.Member, r.Members
		p.synced = false
	case code.MemberIDRequired:
		p.id, p.generation = r.Member, -1
	default:
		p.told(r.Code)
	}
}

// told is what a client does with an error: it joins, as a new member if need be.
func (p *process) told(c code.Error) {
	p.generation = -1
	if c == code.UnknownMemberID || c == code.FencedInstanceID || c == code.GroupMaxSizeReached {
		p.id = ""
	}
}

func (w *world) synced(at wait, r *SyncReply) {
	if r.Code != code.None {
		at.of.told(r.Code)
		return
	}
	at.of.synced = true
	if w.fenced[at.as] {
		w.t.Fatalf("%s was replaced and gets an assignment", at.as)
	}
	generation := w.groups.Describe(theGroup).Generation
	if want := w.assigned[generation][w.seat(at.as)]; string(r.Assignment) != want {
		w.t.Fatalf("%s has %q in generation %d, its leader says %q", at.as, r.Assignment, generation, want)
	}
}

func (w *world) check() {
	for ticket, at := range w.waits {
		if waited := w.now - at.since; waited > longestRebalance && at.since >= 0 {
			w.t.Fatalf("ticket %d waits for %d ms", ticket, waited)
		}
	}
	d := w.groups.Describe(theGroup)
	if len(d.Members) > 2*settings().MaxMembers {
		w.t.Fatalf("%d members", len(d.Members))
	}
	if d.State == Stable {
		for _, m := range d.Members {
			if want := w.assigned[d.Generation][w.seat(m.ID)]; string(m.Assignment) != want {
				w.t.Fatalf("%s has %q in generation %d, its leader says %q", m.ID, m.Assignment, d.Generation, want)
			}
		}
	}
	if g := w.groups.byName[theGroup]; g != nil {
		if err := g.sound(); err != nil {
			w.t.Fatal(err)
		}
		if next := g.deadline(); g.next > next || w.groups.queue[g.place] != g {
			w.t.Fatalf("due at %d, and looked at at %d", next, g.next)
		}
	}
}

// sound counts anew what a group keeps count of.
func (g *group) sound() error {
	again := newRoster()
	for _, m := range g.members.order {
		again.add(m)
	}
	led := g.leader == nil || g.members.byID[g.leader.id] == g.leader
	switch {
	case again.bytes != g.members.bytes, again.joining != g.members.joining, fmt.Sprint(again.speak) != fmt.Sprint(g.members.speak),
		fmt.Sprint(again.byID) != fmt.Sprint(g.members.byID), fmt.Sprint(again.static) != fmt.Sprint(g.members.static):
		return fmt.Errorf("the roster is %+v, and not %+v", g.members, again)
	case !led, (g.leader == nil) != (len(g.members.order) == 0):
		return fmt.Errorf("%d members, led by %+v", len(g.members.order), g.leader)
	case g.state == Empty && len(g.members.order) > 0, g.state > PreparingRebalance && len(g.members.order) == 0:
		return fmt.Errorf("%d members in state %v", len(g.members.order), g.state)
	case g.blank():
		return fmt.Errorf("it is there for nothing")
	}
	return nil
}
