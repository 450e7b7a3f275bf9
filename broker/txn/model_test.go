package txn

import (
	"slices"

	"github.com/hapaxmq/hapax/broker/code"
)

// The naive model: a list of all that was logged, with the message that caused
// each entry. What is true of an id is found by reading the list from its
// beginning. It says what a request must be answered, and whether it may log.

// message is a request on its way from a client.
type message struct {
	from     *client
	api      string // "init", "partitions", "group", "produce", "offsets", "end"
	version  int16
	producer Producer
	part     uint32
	group    string
	commit   bool
	txn      int // the client's own count of transactions
}

// logged is an entry of the log. Timeouts, operators and expiry have no message.
type logged struct {
	event *Event
	by    *message
}

// view is what the model knows of an id.
type view struct {
	known    bool
	holder   Producer
	previous Producer // may ask again
	owner    *client  // whose the holder is
	last     string   // how the last transaction under the holder's init ended
	open     bool
	opener   *message
	started  int64
	updated  int64
	parts    []uint32
	groups   []string
}

func viewOf(log []logged, id string) view {
	v := view{holder: NoProducer(), previous: NoProducer()}
	for _, l := range log {
		if l.event.ID == id {
			v.read(l)
		}
	}
	return v
}

func (v *view) read(l logged) {
	e := l.event
	v.updated = e.Time
	switch e.Kind {
	case Held:
		*v = view{known: true, holder: e.Producer, previous: NoProducer(), updated: e.Time}
	case Added:
		if !v.open {
			v.open, v.opener, v.started = true, l.by, e.Time
		}
		v.parts, v.groups = append(v.parts, e.Partitions...), append(v.groups, e.Groups...)
		v.previous = NoProducer()
		return
	case Ended:
		holder, last := v.holder, map[bool]string{true: "commit", false: "abort"}[e.End.Commit]
		*v = view{
			known: true, holder: e.Producer, previous: NoProducer(),
			owner: v.owner, last: last, updated: e.Time,
		}
		if l.by == nil {
			v.previous = holder
		}
	case Forgotten:
		*v = view{holder: NoProducer(), previous: NoProducer()}
	}
	switch {
	case l.by == nil:
	case l.by.api == "init":
		v.owner, v.last, v.previous = l.by.from, "", l.by.producer
	case l.by.version >= 5:
		v.previous = l.by.producer
	}
}

// answer is what a message must get: a code, and whether something is logged.
type answer struct {
	code code.Error
	logs bool
}

func (v *view) answer(m *message) answer {
	again := v.known && m.producer != NoProducer() && m.producer == v.previous
	switch m.api {
	case "init":
		return v.init(m, again)
	case "end":
		if again && m.version >= 5 && v.last == "abort" && m.commit {
			return answer{code.ProducerFenced, false}
		}
		if again && m.version >= 5 && v.last != "" {
			return v.endAgain(m)
		}
	}
	if refused := v.refusal(m); refused != code.None {
		return answer{refused, false}
	}
	hasPart, hasGroup := v.open && slices.Contains(v.parts, m.part), v.open && slices.Contains(v.groups, m.group)
	switch m.api {
	case "partitions":
		return answer{code.None, !hasPart}
	case "group":
		return answer{code.None, !hasGroup}
	case "produce":
		return adding(hasPart, m.version, 12)
	case "offsets":
		return adding(hasGroup, m.version, 5)
	}
	return v.end(m)
}

func (v *view) init(m *message, again bool) answer {
	switch {
	case again:
		return answer{code.None, false}
	case m.producer != NoProducer() && m.producer != v.holder:
		return answer{code.ProducerFenced, false}
	}
	return answer{code.None, true}
}

// refusal is for whom does not hold the id.
func (v *view) refusal(m *message) code.Error {
	switch {
	case !v.known || m.producer.ID != v.holder.ID:
		return code.InvalidProducerIDMapping
	case m.producer == v.holder:
		return code.None
	case m.api == "produce" || m.api == "offsets":
		return code.InvalidProducerEpoch
	}
	return code.ProducerFenced
}

// adding answers a write: since a version it adds, and before it must find.
func adding(has bool, version, since int16) answer {
	switch {
	case version >= since:
		return answer{code.None, !has}
	case has:
		return answer{code.None, false}
	case version == since-1:
		return answer{code.TransactionAbortable, false}
	}
	return answer{code.InvalidTxnState, false}
}

func (v *view) end(m *message) answer {
	switch {
	case v.open:
		return answer{code.None, true}
	case m.version >= 5 && !m.commit:
		return answer{code.None, true}
	case m.version >= 5 || v.last == "" || v.previous != NoProducer():
		return answer{code.InvalidTxnState, false}
	}
	return v.endAgain(m)
}

func (v *view) endAgain(m *message) answer {
	if m.commit == (v.last == "commit") {
		return answer{code.None, false}
	}
	return answer{code.InvalidTxnState, false}
}
