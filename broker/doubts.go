package broker

import (
	"context"
	"slices"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/broker/unique"
)

// doubt is about records of a batch that are in conflict by their bytes, in a topic
// where that is only counted: whether they say the same as the first ones, as JSON, is
// looked into later, beside all else.
type doubt struct {
	topic   *topic
	w       *window
	records []doubted
}

type doubted struct {
	id    hapax.Fingerprint
	value []byte
}

const (
	// mostDoubts are batches that wait to be looked into. Conflicts of others are taken
	// for what they seem.
	mostDoubts = 64
	// mostDoubted are records of one of them, and mostDoubtful the bytes of their values.
	mostDoubted  = 1000
	mostDoubtful = 1 << 20
)

// doubts tells whether conflicts are counted once they were looked into.
func (s *sieve) doubts() bool { return s.rules.Digests() && !comparesFirsts(s.rules) }

// settle counts the conflicts of a batch that was appended, or has that done. Its
// bytes are used no more then.
func (s *sieve) settle() {
	if s.conflicts == 0 {
		return
	}
	d := doubt{topic: s.topic, w: s.w}
	ids := make(map[int32]hapax.Fingerprint, s.conflicts)
	for i := range s.ids.Entries {
		if e := &s.ids.Entries[i]; e.Verdict == hapax.Conflict {
			ids[int32(e.Offset-s.base)] = e.Fingerprint
		}
	}
	size := 0
	for scan := s.ids.Records(); scan.Next() && len(d.records) < mostDoubted; {
		id, ok := ids[scan.Record.OffsetDelta]
		if !ok || !unique.IsJSON(scan.Record.Value) {
			continue
		}
		if size += len(scan.Record.Value); size > mostDoubtful {
			break
		}
		d.records = append(d.records, doubted{id, slices.Clone(scan.Record.Value)})
	}
	if len(d.records) > 0 {
		select {
		case s.ws.doubts <- d:
			s.conflicts -= int64(len(d.records))
		default:
		}
	}
	s.w.count.conflicts.Add(s.conflicts)
	s.conflicts = 0
}

// runDoubts looks into doubts, until ctx ends.
func runDoubts(ctx context.Context, ws *windows) {
	for {
		select {
		case <-ctx.Done():
			return
		case d := <-ws.doubts:
			same, err := d.same(ws)
			if err != nil {
				ws.files.log.Warn("records in conflict cannot be compared with the first ones, and are counted as they seem", "topic", d.topic.name, "error", err)
			}
			d.w.count.duplicates.Add(same)
			d.w.count.conflicts.Add(int64(len(d.records)) - same)
		}
	}
}

// same is how many of the records say the same as the first ones.
func (d *doubt) same(ws *windows) (n int64, err error) {
	ids := make([]hapax.Fingerprint, len(d.records))
	for i := range d.records {
		ids[i] = d.records[i].id
	}
	was := make(firsts)
	if err := d.w.lookUp(was, ids, d.topic.rules.window.Window.Kind); err != nil {
		return 0, err
	}
	if err := ws.files.follow(); err != nil { // what is appended is to be read
		return 0, err
	}
	reading := contents{ws: ws, topic: d.topic}
	for _, r := range d.records {
		first, known := was[r.id]
		if !known {
			continue
		}
		value, ok, err := reading.value(first.Place)
		if err != nil {
			return n, err
		}
		if ok && unique.SameContent(r.value, value) {
			n++
		}
	}
	return n, nil
}
