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
}

func (m *topicMade) encode() []byte {
	b := appendString(m.id[:], m.name)
	b = binary.AppendUvarint(b, uint64(len(m.runs)))
	for _, r := range m.runs {
		b = r.append(b)
	}
	return appendSettings(b, m.settings)
}

func readTopicMade(b []byte) (m topicMade, err error) {
	r := reader{b: b}
	copy(m.id[:], r.bytes(16))
	m.name = r.string()
	for range r.uvarint(uint64(len(r.b))) {
		m.runs = append(m.runs, r.run())
	}
	m.settings = r.settings()
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
}

func (c *topicConfigured) encode() []byte {
	return appendSettings(c.id[:], c.settings)
}

func readTopicConfigured(b []byte) (c topicConfigured, err error) {
	r := reader{b: b}
	copy(c.id[:], r.bytes(16))
	c.settings = r.settings()
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
