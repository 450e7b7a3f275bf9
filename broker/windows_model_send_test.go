package broker

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/broker/batch"
	"github.com/hapaxmq/hapax/broker/code"
	"github.com/hapaxmq/hapax/broker/unique"
	"github.com/hapaxmq/hapax/ledgertest"
)

// modelWriter sends batches.
type modelWriter struct {
	*writer
	codec         batch.Codec
	transactional bool
}

// newPlain is a writer without transactions, idempotent or not.
func (m *modelled) newPlain() *modelWriter {
	m.Helper()
	w := &modelWriter{writer: &writer{wire: m.wire()}, codec: batch.Codec(m.r.Intn(5))}
	w.become(batch.None, batch.None)
	if m.r.Intn(3) > 0 {
		w.become(1_000_000+m.r.Int63n(1_000_000), 0)
	}
	return w
}

// modelTransaction is open.
type modelTransaction struct {
	*modelWriter
	at     int32 // the partition of all its records; -1: any
	firsts map[hapax.Fingerprint]modelFirst
	wrote  []*modelRecord        // whose ids the window is told of when it commits
	stands map[int]*modelRecord  // all of its records that are in the topic
	beside map[int]modelStanding // in others
}

// draw makes some records for a partition. Where it is open whether an id is
// remembered, and what becomes of the record would not tell, there is none of it.
func (m *modelled) draw(partition int32, t *modelTransaction) (all []*modelRecord) {
	many := 1 + m.r.Intn(6)
	if m.mixed && m.keeps.Count+m.keeps.Bytes > 0 && t != nil && len(t.stands)+len(t.beside) > 0 {
		return nil // as it commits
	}
	if m.keeps.Count+m.keeps.Bytes > 0 && (m.mixed || t != nil || m.keeps.Bytes > 0 || m.keeps.Time > 0 || m.fates != dropping(m.fates.missing)) {
		many = 1 // by others of its batch an id may leave
	}
	for range many {
		x := &modelRecord{id: m.r.Intn(60), user: m.r.Intn(2), content: m.r.Intn(6) / 4, spelling: m.r.Intn(2), at: unique.Place{Partition: partition}}
		if m.fates.shadow && m.keeps.Kind == hapax.Renewed {
			x.spelling = 0 // whether it is renewed by another spelling is not said
		}
		if x.print = m.print(x); m.r.Intn(15) == 0 {
			x.id = -1
		} else if m.memory.Recall(x.print) == ledgertest.Open && (m.refuses() || t != nil || many > 1 && m.keeps.Count > 0) {
			continue
		}
		m.sent++
		x.number = m.sent
		all = append(all, x)
	}
	return all
}

// lacks is the header that a record without an id is without, and how that is told.
func (m *modelled) lacks(x *modelRecord) (header, told string) {
	const none = `: it has no header "%s"`
	switch {
	case x.id >= 0:
		return "", ""
	case m.scope == "header:user" && x.number%2 == 0:
		return "user", fmt.Sprintf("scope: %v"+none, hapax.ErrMissing, "user")
	}
	return "id", fmt.Sprintf("%v"+none, hapax.ErrMissing, "id")
}

func dropping(missing string) modelFates {
	return modelFates{duplicates: "drop", conflicts: "drop", missing: missing}
}

// encode makes a batch of records, which learn what they are to be read as, and what
// the window makes of them.
func (m *modelled) encode(w *modelWriter, partition int32, all []*modelRecord) []byte {
	m.Helper()
	h := batch.Header{
		Attributes: batch.Attributes(0).With(w.codec), BaseTimestamp: m.wall.Load(),
		ProducerID: w.producer.ID, ProducerEpoch: w.producer.Epoch, BaseSequence: w.next[partition],
	}
	if w.transactional {
		h.Attributes |= batch.Transactional
	}
	if h.ProducerID == batch.None {
		h.BaseSequence = batch.None
	}
	var records []batch.Record
	for i, x := range all {
		headers := []batch.RecordHeader{{Key: []byte("n"), Value: fmt.Append(nil, x.number)}}
		lacks, _ := m.lacks(x)
		for _, name := range []string{"user", "id"} {
			if n := map[string]int{"user": x.user, "id": x.id}[name]; name != lacks {
				headers = append(headers, batch.RecordHeader{Key: []byte(name), Value: fmt.Append(nil, n)})
			}
		}
		value := fmt.Sprintf(`{"id":%d,"of":%d}`, x.id, x.content)
		if x.spelling > 0 {
			value = fmt.Sprintf(`{ "of": %d, "id": %d }`, x.content, x.id)
		}
		r := batch.Record{OffsetDelta: int32(i), Key: fmt.Append(nil, "key of ", x.id), Value: []byte(value), Headers: batch.MakeHeaders(headers...)}
		_, x.text = textOf(&r)
		records = append(records, r)
	}
	var e batch.Encoder
	b, err := e.Append(nil, h, records)
	if err != nil {
		m.Fatal(err)
	}
	var ids unique.Reader
	if err := ids.Read(m.broker.topics.named(modelTopic).window.namer, partition, b, 0); err != nil {
		m.Fatal(err)
	}
	for _, entry := range ids.Entries {
		all[entry.Offset].entry = entry
	}
	return b
}

// send sends a batch, and returns what its producer is told.
func (m *modelled) send(w *modelWriter, partition int32, b []byte) kmsg.ProduceResponseTopicPartition {
	m.Helper()
	req, version := kmsg.NewPtrProduceRequest(), int16(9)
	req.Acks, req.TimeoutMillis = -1, 1000
	if w.transactional {
		req.TransactionID = &w.id
		if version = 12; !w.newer {
			version = 9
			w.want(code.None, int16(w.add(modelTopic, partition)))
		}
	}
	req.Topics = []kmsg.ProduceRequestTopic{{Topic: modelTopic, Partitions: []kmsg.ProduceRequestTopicPartition{{Partition: partition, Records: b}}}}
	return ask[*kmsg.ProduceResponse](w.wire, version, req).Topics[0].Partitions[0]
}

// refused is why a batch is refused, if it is, and for which of its records, by their
// places in it.
func (m *modelled) refused(all []*modelRecord, t *modelTransaction) (c code.Error, wrong map[int32]string) {
	wrong = make(map[int32]string)
	for i, x := range all {
		if x.id < 0 && m.fates.missing == "reject" && !m.fates.shadow {
			_, wrong[int32(i)] = m.lacks(x)
		}
	}
	switch {
	case len(wrong) > 0:
		return code.InvalidRecord, wrong
	case !m.refuses():
		return code.None, wrong
	}
	within := make(map[hapax.Fingerprint]modelFirst)
	if t != nil {
		within = maps.Clone(t.firsts)
	}
	base := m.partition(all[0].at.Partition).Limit(false)
	for i, x := range all {
		if x.id < 0 {
			continue
		}
		was, known := within[x.print]
		if m.memory.Recall(x.print) == ledgertest.Kept {
			was, known = m.firsts[x.print], true
		}
		if x.at.Offset = base + int64(i); !known {
			within[x.print] = x.first()
			continue
		}
		switch v := m.matter(x, was); m.fates.of(v) {
		case "reject":
			wrong[int32(i)] = v.String()
		case "topic:" + m.gone:
			return code.InvalidConfig, nil
		}
	}
	if len(wrong) > 0 {
		c = code.InvalidRecord
	}
	return c, wrong
}

// some sends some records to a partition, and returns them if they were taken.
func (m *modelled) some(w *modelWriter, partition int32, t *modelTransaction) []*modelRecord {
	m.Helper()
	m.memory.SetTime(m.now())
	all := m.draw(partition, t)
	if len(all) == 0 {
		return nil
	}
	b, base := m.encode(w, partition, all), m.partition(partition).Limit(false)
	c, wrong := m.refused(all, t)
	times := 1
	if w.producer.ID != batch.None && m.r.Intn(5) == 0 {
		times++ // it did not get the answer
	}
	for range times {
		told := m.send(w, partition, slices.Clone(b))
		got := make(map[int32]string)
		for _, r := range told.ErrorRecords {
			got[r.RelativeOffset] = *r.ErrorMessage
		}
		offset := base
		if c != code.None {
			offset = -1
		}
		if told.ErrorCode != int16(c) || told.BaseOffset != offset || !maps.Equal(got, wrong) {
			m.Fatalf("%v at %d with %+v: told %v, %d, %v; want %v, %d, %v", all, base, m.fates, code.Error(told.ErrorCode), told.BaseOffset, got, c, offset, wrong)
		}
	}
	if end := m.partition(partition).Limit(false); c != code.None {
		if end != base {
			m.Fatalf("a batch that is refused takes offsets %d to %d", base, end)
		}
		return nil
	}
	w.next[partition] += int32(len(all))
	for i, x := range all {
		x.at.Offset = base + int64(i)
	}
	return all
}

// write sends records without a transaction.
func (m *modelled) write() {
	m.Helper()
	all := m.some(m.plain, int32(m.r.Intn(m.parts)), nil)
	for _, x := range all {
		v, was := hapax.Fresh, modelFirst{}
		if x.id >= 0 {
			v, was = m.admit(x)
		}
		if s, stands := m.deal(x, v, was.at); stands {
			m.stands[x.number] = s
		}
	}
	m.expect(all, m.stands)
}

// transact goes on with a transaction, or begins or ends one.
func (m *modelled) transact() {
	m.Helper()
	n := m.r.Intn(3)
	t := m.open[n]
	if t == nil {
		t = &modelTransaction{
			modelWriter: &modelWriter{writer: m.writer(fmt.Sprint("writer", n), m.r.Intn(2) == 0, 86_400_000), codec: batch.Codec(m.r.Intn(5)), transactional: true},
			firsts:      map[hapax.Fingerprint]modelFirst{}, stands: map[int]*modelRecord{}, beside: map[int]modelStanding{},
			at: int32(m.r.Intn(m.parts)),
		}
		if m.keeps.Count == 0 && m.keeps.Bytes == 0 {
			t.at = -1 // which ids come first is all the same
		}
		m.open[n] = t
	}
	if m.r.Intn(3) > 0 || len(t.stands)+len(t.beside) == 0 {
		at := t.at
		if at < 0 {
			at = int32(m.r.Intn(m.parts))
		}
		m.writeWithin(t, at)
		return
	}
	commit := m.r.Intn(3) > 0
	m.memory.SetTime(m.now())
	asks := time.Now()
	for c := code.ConcurrentTransactions; c != code.None; {
		if c = t.end(commit); c != code.None && (c != code.ConcurrentTransactions || time.Since(asks) > 10*time.Second) {
			m.Fatal(c)
		}
	}
	if delete(m.open, n); commit {
		m.committed(t)
	}
}

// writeWithin sends records in a transaction.
func (m *modelled) writeWithin(t *modelTransaction, partition int32) {
	m.Helper()
	all := m.some(t.modelWriter, partition, t)
	want := make(map[int]modelStanding)
	for _, x := range all {
		v, was := hapax.Fresh, modelFirst{}
		if x.id >= 0 {
			v, was = m.admitWithin(t, x)
		}
		s, stands := m.deal(x, v, was.at)
		switch want[x.number] = s; {
		case stands && s.topic == modelTopic:
			t.stands[x.number] = x
		case stands:
			t.beside[x.number] = s
		}
	}
	m.expect(all, want)
}

// admitWithin is admit in a transaction: the window is told of what it knows, and of
// the rest when it ends.
func (m *modelled) admitWithin(t *modelTransaction, x *modelRecord) (v hapax.Verdict, was modelFirst) {
	m.Helper()
	if !m.fates.shadow && m.knows(x) {
		return m.admit(x)
	}
	was, again := t.firsts[x.print]
	if !again {
		t.firsts[x.print] = x.first()
	}
	if m.fates.shadow || !again {
		t.wrote = append(t.wrote, x)
		return hapax.Fresh, was
	}
	return m.matter(x, was), was
}

// reopened takes over that of open transactions a node that was opened knows the ids
// that stand in the log.
func (m *modelled) reopened() {
	m.plain.reconnect(m.node)
	m.memory.Rewind(m.now())
	for _, t := range m.open {
		t.reconnect(m.node)
		t.wrote = slices.Collect(maps.Values(t.stands))
		t.wrote = slices.DeleteFunc(t.wrote, func(x *modelRecord) bool { return x.id < 0 })
		t.inOrder()
		t.firsts = make(map[hapax.Fingerprint]modelFirst)
		for _, marked := range []bool{false, true} {
			t.wrote = slices.DeleteFunc(t.wrote, func(x *modelRecord) bool { return (x.mark != "") == marked && m.isCopy(t, x) })
		}
	}
}

// isCopy tells whether a node that was opened takes a record of an open transaction for
// a copy: it is marked, and the record that it names is known. Else it has its id.
func (m *modelled) isCopy(t *modelTransaction, x *modelRecord) bool {
	was, known := t.firsts[x.print]
	if x.mark != "" && known && x.mark == markOf(was.at) {
		return true
	}
	first := m.firsts[x.print]
	switch recall := m.memory.Recall(x.print); {
	case x.mark == "" || x.mark != markOf(first.at):
	case recall == ledgertest.Kept:
		return true
	default: // it may have left, and nobody has noticed
		ids := m.broker.windows.pending.of[t.producer.ID].parts[m.partition(x.at.Partition).Number()]
		if ids == nil || !slices.ContainsFunc(ids.ids, func(id openID) bool { return id.offset == x.at.Offset }) {
			return true
		}
	}
	if !known {
		t.firsts[x.print] = x.first()
	}
	return false
}

func (t *modelTransaction) inOrder() {
	slices.SortFunc(t.wrote, func(a, b *modelRecord) int {
		return cmp.Or(cmp.Compare(a.at.Partition, b.at.Partition), cmp.Compare(a.at.Offset, b.at.Offset))
	})
}

// committed judges a transaction that has committed.
func (m *modelled) committed(t *modelTransaction) {
	m.Helper()
	t.inOrder()
	maps.Copy(m.stands, t.beside)
	for _, x := range t.stands {
		m.stands[x.number] = modelStanding{modelTopic, x.at, x.text}
	}
	for _, x := range t.wrote {
		v, was := m.admit(x)
		s, stands := m.deal(x, v, was.at)
		if m.stands[x.number] = s; !stands {
			delete(m.stands, x.number)
		} else if s.topic != modelTopic && !m.readable(x.at) {
			m.stands[x.number] = modelStanding{topic: anywhere} // it was deleted, and all of its batch or not
		}
	}
	m.expect(t.wrote, m.stands)
}

// abandon leaves open transactions to whoever comes next, and nobody does.
func (m *modelled) abandon() { clear(m.open) }

// settle aborts what was left open.
func (m *modelled) settle() {
	m.Helper()
	m.abandon()
	for n := range 3 {
		m.writer(fmt.Sprint("writer", n), false, 1000)
	}
}
