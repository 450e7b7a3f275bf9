package txn

import (
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/hapaxmq/hapax/broker/code"
)

// client is a producer process. It remembers what it was told, and what it
// asked and had no answer to.
type client struct {
	id       string
	tv2      bool
	producer Producer
	txn      int
	asked    *message // an init or an end
	dead     bool
}

// world is a node with its log, clients, and a network that delays, doubles and
// loses messages both ways.
type world struct {
	t       *testing.T
	seed    uint64
	r       *rand.Rand
	c       *Coordinator
	log     []logged
	synced  int // the length of the log that a crash leaves at least
	now     int64
	clients []*client
	network []*message
	replies []pending
	seen    map[string]int       // how often what was answered how, over all worlds
	told    map[Producer]*client // who was told what
	answers map[string]Producer  // what a request that may be repeated was told
}

// pending is a reply that waits for the log.
type pending struct {
	to    *message
	reply Reply
	after int // the length of the log that it needs
}

// TestProperty: clients of both generations, their zombies, retries and late
// copies, timeouts, operators and crashes, in any order. What the coordinator
// answers and logs is what the model says; beyond that
//
//   - what is open ends once, with all that is in it, by who opened it;
//   - with TV2, by the EndTxn that was meant for it (KAFKA-17754);
//   - nothing is logged for a client whose successor holds the id;
//   - a producer is told to one client only, and no id goes back to an earlier one.
func TestProperty(t *testing.T) {
	seen := map[string]int{}
	for run := range *runs {
		w := newWorld(t, uint64(run))
		w.seen = seen
		for range 10 + run%500 { // the first to fail is a short one
			w.step()
		}
	}
	if kinds := slices.Sorted(maps.Keys(seen)); len(kinds) < 35 && *runs >= 1000 {
		t.Errorf("the worlds have become dull: all that happened is %q", kinds)
	}
}

var runs = flag.Int("runs", 2000, "how many worlds TestProperty plays")

func newWorld(t *testing.T, seed uint64) *world {
	w := &world{
		t: t, seed: seed, r: rand.New(rand.NewPCG(seed, 0)),
		c: New(Settings{}), told: map[Producer]*client{}, answers: map[string]Producer{},
	}
	for i, id := range []string{"a", "b"} {
		w.append(&Event{
			Kind: Held, ID: id, Producer: Producer{int64(i + 1), lastEpoch - int16(w.r.IntN(20))},
			Previous: NoProducer(), TimeoutMs: 60_000, Started: -1,
		}, nil)
		w.clients = append(w.clients, w.newClient(id))
	}
	w.synced = len(w.log)
	return w
}

func pick[T any](w *world, from []T) T { return from[w.r.IntN(len(from))] }

func (w *world) failf(format string, args ...any) {
	w.t.Helper()
	w.t.Fatalf("world %d: %s", w.seed, fmt.Sprintf(format, args...))
}

// step lets one thing happen. Requests and their arrival make up most of it.
func (w *world) step() {
	switch n := w.r.IntN(100); {
	case n < 40:
		w.send()
	case n < 80:
		w.deliver()
	case n < 94:
		w.sync()
	case n < 95:
		w.start()
	case n < 96:
		w.pass()
	case n < 97:
		w.operate()
	case n < 98:
		w.snapshot()
	default:
		w.crash()
	}
}

func (w *world) newClient(id string) *client {
	return &client{id: id, tv2: w.r.IntN(2) == 0, producer: NoProducer()}
}

// start adds a client for an id that may have others.
func (w *world) start() {
	if len(w.clients) >= 4 {
		w.clients = w.clients[1:]
	}
	w.clients = append(w.clients, w.newClient(pick(w, []string{"a", "b"})))
}

// send lets a client do what it may do next.
func (w *world) send() {
	c := pick(w, w.clients)
	m := &message{from: c, producer: c.producer, txn: c.txn, part: 1 + w.r.Uint32N(3), group: "g"}
	choice := w.r.IntN(30)
	switch {
	case c.dead:
		return
	case c.producer == NoProducer() && c.asked == nil, choice == 0 && c.producer != NoProducer():
		m.api, m.version = "init", 5
		c.asked = m
	case c.asked != nil:
		if choice > 4 {
			return // it waits
		}
		m = c.asked // again
	case choice < 7:
		m.api, m.version, m.commit = "end", c.version(5, 3), choice < 5
		c.asked = m
	case choice < 15 && !c.tv2:
		m.api, m.version = pick(w, []string{"partitions", "group"}), 3
	case choice < 25:
		m.api, m.version = "produce", c.version(12, 11)
	default:
		m.api, m.version = "offsets", c.version(5, 3)
	}
	w.network = append(w.network, m)
	if len(w.network) > 12 {
		w.network = w.network[1:]
	}
}

func (c *client) version(tv2, tv1 int16) int16 {
	if c.tv2 {
		return tv2
	}
	return tv1
}

// deliver brings any message to the node, and may keep a copy on the way.
func (w *world) deliver() {
	if len(w.network) == 0 {
		return
	}
	i := w.r.IntN(len(w.network))
	m := w.network[i]
	if w.r.IntN(4) > 0 || m.producer == NoProducer() {
		w.network = slices.Delete(w.network, i, i+1)
	}
	v := viewOf(w.log, m.from.id)
	want := v.answer(m)
	reply, event := w.decide(m)
	if reply.Code != want.code || (event != nil) != want.logs {
		w.failf("%+v by %+v: got %v and %+v, want %+v; %+v", m, m.from, reply, event, want, v)
	}
	w.seen[fmt.Sprintf("%s v%d: %v, logs %v", m.api, m.version, reply.Code, event != nil)]++
	if event != nil {
		w.allowed(m, event, v)
		if w.r.IntN(10) == 0 {
			return
		}
		w.append(event, m)
	}
	w.replies = append(w.replies, pending{m, reply, len(w.log)})
}

func (w *world) decide(m *message) (Reply, *Event) {
	id, one := m.from.id, GroupRequest{m.version, m.from.id, m.producer, m.group}
	switch m.api {
	case "init":
		return w.c.DecideInit(InitRequest{Version: m.version, ID: id, TimeoutMs: 60_000, Producer: m.producer}, w.now)
	case "end":
		return w.c.DecideEnd(EndRequest{m.version, id, m.producer, m.commit}, w.now)
	case "produce":
		r, e := w.c.DecideProduce(ProduceRequest{m.version, id, m.producer, []uint32{m.part}}, w.now)
		return refuse(r.Code), e
	case "partitions":
		r, e := w.c.DecideAddPartitions(AddPartitionsRequest{m.version, id, m.producer, []uint32{m.part}}, w.now)
		return refuse(r), e
	case "group":
		r, e := w.c.DecideAddOffsets(one, w.now)
		return refuse(r), e
	}
	r, e := w.c.DecideOffsetCommit(one, w.now)
	return refuse(r), e
}

// allowed checks that m may log event where v is true.
func (w *world) allowed(m *message, event *Event, v view) {
	if m.api != "init" && v.owner != m.from {
		w.failf("%+v of a client that does not hold the id: %+v", m, event)
	}
	if m.from.tv2 && m.api != "init" && v.open && v.opener.txn != m.txn {
		w.failf("%+v reached another transaction, of %+v: %+v", m, v.opener, event)
	}
	if event.Kind == Ended && event.End.Commit && (m.api != "end" || !m.commit) {
		w.failf("%+v committed: %+v", m, event)
	}
}

// append logs an event, checks it against all that was logged, and applies it.
func (w *world) append(event *Event, by *message) {
	v := viewOf(w.log, event.ID)
	if v.known && event.Producer.before(v.holder) {
		w.failf("%s goes back from %v to %v", event.ID, v.holder, event.Producer)
	}
	if event.Kind == Ended {
		slices.Sort(v.parts)
		if !slices.Equal(partitionsOf(event.End), v.parts) || len(event.End.Groups) != len(v.groups) {
			w.failf("the end %+v is not that of %+v", event.End, v)
		}
		raised := by == nil || by.version >= 5
		if !raised && event.End.Marker != v.holder || raised && event.End.Marker != v.holder.fence() {
			w.failf("%v holds the id, and the markers name %v", v.holder, event.End.Marker)
		}
	}
	read, err := Read(event.Append(nil))
	if err != nil {
		w.failf("%v", err)
	}
	if err := w.c.Apply(read); err != nil {
		w.failf("%v", err)
	}
	w.log = append(w.log, logged{read, by})
}

// sync makes the log durable, and sends the replies that waited. Some are lost.
func (w *world) sync() {
	w.synced += w.r.IntN(len(w.log) - w.synced + 1)
	w.replies = slices.DeleteFunc(w.replies, func(p pending) bool {
		if p.after > w.synced {
			return false
		}
		if w.r.IntN(4) > 0 {
			w.tell(p)
		}
		return true
	})
}

// tell gives a reply to its client.
func (w *world) tell(p pending) {
	c, r := p.to.from, p.reply
	if r.Code == code.None && p.to.api != "partitions" && r.Producer != NoProducer() {
		if other := w.told[r.Producer]; other != nil && other != c {
			w.failf("%v was told to two clients", r.Producer)
		}
		w.told[r.Producer] = c
		if p.to.producer != NoProducer() { // what names a producer may be asked again
			request := fmt.Sprintf("%p %s %v %v", c, p.to.api, p.to.producer, p.to.commit)
			if before, asked := w.answers[request]; asked && before != r.Producer {
				w.failf("%+v was told %v, and now %v", p.to, before, r.Producer)
			}
			w.answers[request] = r.Producer
		}
	}
	switch {
	case r.Code == code.ProducerFenced, r.Code == code.InvalidProducerEpoch, r.Code == code.InvalidProducerIDMapping:
		c.dead = c.dead || p.to.producer == c.producer
	case c.asked != p.to:
	default:
		c.asked = nil
		if r.Code == code.None {
			c.producer = r.Producer
			c.txn++
		}
	}
}

// crash takes what was not synced, and who waited for it.
func (w *world) crash() {
	w.log = w.log[:w.synced+w.r.IntN(len(w.log)-w.synced+1)]
	w.synced = len(w.log)
	w.replies = nil
	w.c = New(Settings{})
	for _, l := range w.log {
		if err := w.c.Apply(l.event); err != nil {
			w.failf("%v", err)
		}
	}
}

// snapshot goes on from a copy of the state.
func (w *world) snapshot() {
	was := stateOf(w.c)
	c := New(Settings{})
	for e := range w.c.Snapshot() {
		read, err := Read(e.Append(nil))
		if err != nil {
			w.failf("%v", err)
		}
		if err := c.Apply(read); err != nil {
			w.failf("%v", err)
		}
	}
	if is := stateOf(c); !slices.Equal(was, is) {
		w.failf("a snapshot of\n%s\nbecame\n%s", was, is)
	}
	w.c = c
}

// pass lets time pass, and what is due be done. After that nothing is overdue.
func (w *world) pass() {
	w.now += pick(w, []int64{1, 20_000, 60_000, 7 * 24 * 3600 * 1000})
	for _, id := range w.c.TimedOut(w.now) {
		if v := viewOf(w.log, id); !v.open || w.now-v.started < 60_000 {
			w.failf("%s is not overdue: %+v", id, v)
		}
		w.append(w.c.DecideTimeout(id, w.now), nil)
	}
	for _, id := range w.c.Expired(w.now) {
		if v := viewOf(w.log, id); v.open || w.now-v.updated < 7*24*3600*1000 {
			w.failf("%s may not be forgotten: %+v", id, v)
		}
		w.append(w.c.DecideExpiry(id, w.now), nil)
	}
	for _, id := range []string{"a", "b"} {
		if v := viewOf(w.log, id); v.open && w.now-v.started >= 60_000 {
			w.failf("%s is overdue: %+v", id, v)
		}
	}
}

// operate aborts what a client holds.
func (w *world) operate() {
	c := pick(w, w.clients)
	v := viewOf(w.log, c.id)
	got, event := w.c.DecideAbort(c.producer, w.now)
	if (event != nil) != (v.open && v.holder == c.producer) || event != nil && got != code.None {
		w.failf("abort of %v: %v, %+v; %+v", c.producer, got, event, v)
	}
	if event != nil {
		w.append(event, nil)
	}
}
