package broker

import (
	"encoding/binary"
	"maps"
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
	window   uint64 // the number of its window, 0 for none
	from     uint64 // the first file of the log that has what the window may not have, 0 for the frame's own
}

func (m *topicMade) encode() []byte {
	b := appendString(m.id[:], m.name)
	b = binary.AppendUvarint(b, uint64(len(m.runs)))
	for _, r := range m.runs {
		b = r.append(b)
	}
	b = binary.AppendUvarint(appendSettings(b, m.settings), m.window)
	return binary.AppendUvarint(b, m.from)
}

func readTopicMade(b []byte) (m topicMade, err error) {
	r := reader{b: b}
	copy(m.id[:], r.bytes(16))
	m.name = r.string()
	for range r.uvarint(uint64(len(r.b))) {
		m.runs = append(m.runs, r.run())
	}
	m.settings = r.settings()
	m.window, m.from = r.uvarint(maxNumber), r.uvarint(maxNumber)
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
	window   uint64 // the number of the window that begins with them, 0 for none
}

// maxNumber bounds the numbers of windows and files.
const maxNumber = 1<<63 - 1

func (c *topicConfigured) encode() []byte {
	return binary.AppendUvarint(appendSettings(c.id[:], c.settings), c.window)
}

func readTopicConfigured(b []byte) (c topicConfigured, err error) {
	r := reader{b: b}
	copy(c.id[:], r.bytes(16))
	c.settings = r.settings()
	c.window = r.uvarint(maxNumber)
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
