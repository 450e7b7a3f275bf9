package broker

import (
	"encoding/binary"
	"maps"
	"math"
	"slices"
)

// run is some partitions with consecutive numbers.
type run struct{ first, count uint32 }

func (r run) append(b []byte) []byte {
	return binary.AppendUvarint(binary.AppendUvarint(b, uint64(r.first)), uint64(r.count))
}

func (r *reader) run() run {
	return run{first: uint32(r.uvarint(1<<32 - 1)), count: uint32(r.uvarint(maxPartitions))}
}

// topicMade says that a topic was made, or in a snapshot what it is.
type topicMade struct {
	id       [16]byte
	name     string
	runs     []run // of its partitions
	settings map[string]string
	window   windowState
}

func (m *topicMade) encode() []byte {
	b := appendString(m.id[:], m.name)
	b = binary.AppendUvarint(b, uint64(len(m.runs)))
	for _, r := range m.runs {
		b = r.append(b)
	}
	return m.window.append(appendSettings(b, m.settings))
}

func readTopicMade(b []byte) (m topicMade, err error) {
	r := reader{b: b}
	copy(m.id[:], r.bytes(16))
	m.name = r.string()
	for range r.uvarint(uint64(len(r.b))) {
		m.runs = append(m.runs, r.run())
	}
	m.settings = r.settings()
	m.window = r.windowState()
	total := uint64(0)
	for _, run := range m.runs {
		if total += uint64(run.count); run.count == 0 || total > maxPartitions {
			r.fail()
		}
	}
	if total == 0 {
		r.fail()
	}
	return m, r.end()
}

// topicConfigured says which settings a topic has of its own from now on.
type topicConfigured struct {
	id       [16]byte
	settings map[string]string
	window   windowState // that begins with them
}

// windowState is what the log says of a topic's window. The zero value is none.
type windowState struct {
	number   uint64  // never given twice
	begun    int64   // when it was, Unix ms
	because  string  // of which it took the place of another; "" if it did not
	from     uint64  // the first file of the log that has what the window may not have, 0 for the frame's own
	until    uint64  // once it has failed: the last one; else 0
	enforced bool    // else it is warming
	whole    int64   // of one that is: the time from which on it has had all ids, Unix ms
	since    []int64 // by partition: the offset from which on it is enforced; what is not there, from 0; if it warms again, from which on transactions were open then
}

func (s *windowState) append(b []byte) []byte {
	b = binary.AppendUvarint(b, s.number)
	if s.number == 0 {
		return b
	}
	b = appendString(binary.AppendUvarint(b, uint64(s.begun)), s.because)
	b = binary.AppendUvarint(b, s.from)
	b = binary.AppendUvarint(b, s.until)
	b = append(b, 0)
	if s.enforced {
		b[len(b)-1] = 1
	}
	b = binary.AppendUvarint(b, uint64(s.whole))
	b = binary.AppendUvarint(b, uint64(len(s.since)))
	for _, offset := range s.since {
		b = binary.AppendUvarint(b, uint64(offset))
	}
	return b
}

func (r *reader) windowState() (s windowState) {
	const most = math.MaxInt64
	if s.number = r.uvarint(most); s.number == 0 {
		return s
	}
	s.begun, s.because = int64(r.uvarint(most)), r.string()
	s.from, s.until = r.uvarint(most), r.uvarint(most)
	if b := r.bytes(1); b != nil {
		s.enforced = b[0] != 0
	}
	s.whole = int64(r.uvarint(most))
	for range r.uvarint(uint64(len(r.b))) {
		s.since = append(s.since, int64(r.uvarint(most)))
	}
	return s
}

// windowEnforced says that a topic's window is enforced from now on, or goes on, or
// that it warms again.
type windowEnforced struct {
	id     [16]byte
	window windowState
}

func (e *windowEnforced) encode() []byte { return e.window.append(e.id[:]) }

func readWindowEnforced(b []byte) (e windowEnforced, err error) {
	r := reader{b: b}
	copy(e.id[:], r.bytes(16))
	e.window = r.windowState()
	return e, r.end()
}

func (c *topicConfigured) encode() []byte {
	return c.window.append(appendSettings(c.id[:], c.settings))
}

func readTopicConfigured(b []byte) (c topicConfigured, err error) {
	r := reader{b: b}
	copy(c.id[:], r.bytes(16))
	c.settings = r.settings()
	c.window = r.windowState()
	return c, r.end()
}

// topicGrown says that a topic has more partitions, behind those it had.
type topicGrown struct {
	id  [16]byte
	run run
}

func (g *topicGrown) encode() []byte { return g.run.append(g.id[:]) }

func readTopicGrown(b []byte) (g topicGrown, err error) {
	r := reader{b: b}
	copy(g.id[:], r.bytes(16))
	g.run = r.run()
	return g, r.end()
}

func appendSettings(b []byte, settings map[string]string) []byte {
	b = binary.AppendUvarint(b, uint64(len(settings)))
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		b = appendString(appendString(b, name), settings[name])
	}
	return b
}

func (r *reader) settings() map[string]string {
	settings := make(map[string]string)
	for range r.uvarint(uint64(len(r.b))) {
		if name := r.string(); r.err == nil {
			settings[name] = r.string()
		}
		if r.err != nil {
			break
		}
	}
	return settings
}
