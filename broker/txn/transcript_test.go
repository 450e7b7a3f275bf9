package txn

import (
	"flag"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/hapaxmq/hapax/broker/code"
	"github.com/hapaxmq/hapax/internal/transcripttest"
)

var rewrite = flag.Bool("rewrite", false, "rewrite the transcripts under testdata")

// TestTranscripts plays testdata/*.txt: requests and their answers; a line with a +
// is what went to the log. Each file is a chapter on how the protocol goes.
func TestTranscripts(t *testing.T) {
	transcripttest.Play(t, *rewrite, func(t *testing.T, say transcripttest.Say) func([]string) {
		n := newNode(t, Settings{IDs: 3, Partitions: 4, Groups: 2})
		n.say = say
		return n.run
	})
}

// node is a shell around a coordinator: a log and a clock.
type node struct {
	t        *testing.T
	settings Settings
	c        *Coordinator
	log      [][]byte
	now      int64
	broken   bool // the next append fails
	say      transcripttest.Say
}

func newNode(t *testing.T, s Settings) *node {
	return &node{t: t, settings: s, c: New(s), say: func(string, ...any) {}}
}

// append logs an event and applies what the log would give back.
func (n *node) append(e *Event) bool {
	if e == nil {
		return true
	}
	if n.broken {
		n.broken = false
		n.say("the log failed: no answer")
		return false
	}
	b := e.Append(nil)
	read, err := Read(b)
	if err != nil {
		n.t.Fatalf("%v: %x", err, b)
	}
	if err := n.c.Apply(read); err != nil {
		n.t.Fatal(err)
	}
	n.log = append(n.log, b)
	n.say("+ %s", tell(e))
	return true
}

func (n *node) reply(r Reply, e *Event) {
	if n.append(e) {
		n.say("%s", strings.TrimSpace(r.Code.String()+" "+name(r.Producer)))
	}
}

func (n *node) code(c code.Error, e *Event) { n.reply(refuse(c), e) }

// request is the words of a request that most have: version, id, producer.
type request struct {
	version  int16
	id       string
	producer Producer
	rest     []string
}

func (n *node) parse(words []string) request {
	r := request{producer: NoProducer()}
	for i, w := range words {
		key, value, set := strings.Cut(w, "=")
		switch {
		case i == 0:
			v, err := strconv.Atoi(strings.TrimPrefix(w, "v"))
			if err != nil {
				n.t.Fatalf("%v: no version", words)
			}
			r.version = int16(v)
		case i == 1:
			r.id = strings.Trim(w, `"`)
		case set && key == "as":
			r.producer = n.producer(value)
		default:
			r.rest = append(r.rest, w)
		}
	}
	return r
}

func (n *node) producer(s string) Producer {
	var p Producer
	if _, err := fmt.Sscanf(s, "%d/%d", &p.ID, &p.Epoch); err != nil {
		n.t.Fatalf("no producer: %q", s)
	}
	return p
}

func (n *node) number(s string) int64 {
	v, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		n.t.Fatal(err)
	}
	return v
}

func (n *node) partitions(words []string) []uint32 {
	var list []uint32
	for _, w := range words {
		list = append(list, uint32(n.number(w)))
	}
	return list
}

// run plays one line.
func (n *node) run(words []string) {
	command, words := words[0], words[1:]
	switch command {
	case "wait":
		n.now += n.number(words[0])
	case "timeouts":
		for _, id := range n.c.TimedOut(n.now) {
			n.append(n.c.DecideTimeout(id, n.now))
		}
	case "expire":
		for _, id := range n.c.Expired(n.now) {
			n.append(n.c.DecideExpiry(id, n.now))
		}
	case "fail":
		n.broken = true
	case "crash":
		n.replay()
	case "snapshot":
		n.snapshot()
	case "age": // so many InitProducerId before
		for range n.number(words[1]) {
			_, e := n.c.DecideInit(InitRequest{ID: words[0], TimeoutMs: 60000}, n.now)
			n.log = append(n.log, e.Append(nil))
			if err := n.c.Apply(e); err != nil {
				n.t.Fatal(err)
			}
		}
	case "list":
		for _, l := range n.c.List(Filter{OpenForMs: -1}, n.now) {
			n.say("%s %d %v", l.ID, l.ProducerID, l.State)
		}
	case "describe":
		n.describe(strings.Trim(words[0], `"`))
	default:
		n.ask(command, words)
	}
}

// ask plays a request of a client or an operator.
func (n *node) ask(command string, words []string) {
	if command == "WriteTxnMarkers" {
		n.code(n.c.DecideAbort(n.producer(words[0]), n.now))
		return
	}
	r := n.parse(words)
	switch command {
	case "InitProducerId":
		if r.id == "" && len(words) == 1 {
			n.reply(n.c.DecideProducerID(n.now))
			return
		}
		timeout := int64(60000)
		if len(r.rest) > 0 {
			timeout = n.number(strings.TrimPrefix(r.rest[0], "timeout="))
		}
		n.reply(n.c.DecideInit(InitRequest{Version: r.version, ID: r.id, TimeoutMs: int32(timeout), Producer: r.producer}, n.now))
	case "AddPartitionsToTxn":
		n.code(n.c.DecideAddPartitions(AddPartitionsRequest{r.version, r.id, r.producer, n.partitions(r.rest)}, n.now))
	case "AddOffsetsToTxn":
		n.code(n.c.DecideAddOffsets(GroupRequest{r.version, r.id, r.producer, r.rest[0]}, n.now))
	case "TxnOffsetCommit":
		n.code(n.c.DecideOffsetCommit(GroupRequest{r.version, r.id, r.producer, r.rest[0]}, n.now))
	case "Produce":
		reply, e := n.c.DecideProduce(ProduceRequest{r.version, r.id, r.producer, n.partitions(r.rest)}, n.now)
		n.code(reply.Code, e)
		if len(reply.Outside) > 0 {
			n.say("for partitions %v", reply.Outside)
		}
	case "EndTxn":
		reply, e := n.c.DecideEnd(EndRequest{r.version, r.id, r.producer, r.rest[0] == "commit"}, n.now)
		if r.version < 5 {
			reply.Producer = NoProducer() // not in the reply of those versions
		}
		n.reply(reply, e)
	default:
		n.t.Fatalf("no such request: %s", command)
	}
}

// replay starts anew from the log.
func (n *node) replay() {
	before := stateOf(n.c)
	n.c = New(n.settings)
	for _, b := range n.log {
		e, err := Read(b)
		if err != nil {
			n.t.Fatal(err)
		}
		if err := n.c.Apply(e); err != nil {
			n.t.Fatal(err)
		}
	}
	if !slices.Equal(before, stateOf(n.c)) {
		n.t.Fatalf("replay of the log:\n%s\nwas\n%s", stateOf(n.c), before)
	}
}

// snapshot begins a new log with the present state, and starts anew from it.
func (n *node) snapshot() {
	n.log = nil
	for e := range n.c.Snapshot() {
		n.log = append(n.log, e.Append(nil))
	}
	n.replay()
}

// stateOf is all that a coordinator knows, in text.
func stateOf(c *Coordinator) []string {
	var state []string
	for e := range c.Snapshot() {
		state = append(state, fmt.Sprintf("%+v", *e))
	}
	_, open := c.Len()
	return append(state, fmt.Sprint(open))
}

func (n *node) describe(id string) {
	d, c := n.c.Describe(id)
	if c != code.None {
		n.say("%v", c)
		return
	}
	started := "not open"
	switch {
	case d.State == Ongoing:
		started = fmt.Sprintf("open since %d", d.Started)
	case d.Started >= 0:
		started = fmt.Sprintf("begun at %d", d.Started)
	}
	n.say("%s %v, %s, timeout %d, partitions %v, groups %v", name(d.Producer), d.State, started, d.TimeoutMs, d.Partitions, d.Groups)
}

func name(p Producer) string {
	if p == NoProducer() {
		return ""
	}
	return fmt.Sprintf("%d/%d", p.ID, p.Epoch)
}

// tell says an event in words.
func tell(e *Event) string {
	switch e.Kind {
	case Given:
		return "producer id " + name(e.Producer)
	case Held:
		return e.ID + " is held by " + name(e.Producer)
	case Added:
		var what []string
		if len(e.Partitions) > 0 {
			what = append(what, fmt.Sprintf("partitions %v", e.Partitions))
		}
		if len(e.Groups) > 0 {
			what = append(what, fmt.Sprintf("groups %v", e.Groups))
		}
		return fmt.Sprintf("%s has %s", e.ID, strings.Join(what, ", "))
	case Forgotten:
		return e.ID + " is forgotten"
	}
	decision, offsets, cause := "aborted", "no offsets of ", [...]string{ByClient: "", ByInit: " by init", ByTimeout: " by timeout", ByOperator: " by an operator"}
	if e.End.Commit {
		decision, offsets = "committed", "offsets of "
	}
	s := fmt.Sprintf("%s %s%s: markers %s in %v", e.ID, decision, cause[e.End.Cause], name(e.End.Marker), partitionsOf(e.End))
	for _, g := range e.End.Groups {
		s += ", " + offsets + g.Group
	}
	return s + "; held by " + name(e.Producer)
}

func partitionsOf(end *End) []uint32 {
	list := []uint32{}
	for _, m := range end.Markers {
		list = append(list, m.Partition)
	}
	return list
}
