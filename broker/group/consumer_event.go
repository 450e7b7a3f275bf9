package group

import "encoding/binary"

// Append implements [Event]. v is a varint (zigzag where it may be negative), s a
// text behind its length, and a list has its length before it:
//
//	byte kind · s group · v epoch · v target's epoch · 8 basis, little endian · v time
//	list of s id                                                                      left
//	list of s id · s instance · s rack · s client's id · s host · s pattern
//	        · s assignor · v rebalance timeout · list of s topic                      profiles
//	list of s id · partitions                                                         targets
//	list of s id · v epoch · v epoch before · byte stage · held · held                holdings
//
// Partitions come by topic: list of 16 topic's id · list of v number; so do those that
// are held, assigned ones first, then those to be given back: list of 16 topic's id
// · list of v number · v epoch since when.
func (e Changed) Append(b []byte) []byte {
	b = appendText(append(b, e.kind()), e.Group)
	b = binary.AppendVarint(b, int64(e.Epoch))
	b = binary.AppendVarint(b, int64(e.TargetEpoch))
	b = binary.LittleEndian.AppendUint64(b, e.Basis)
	b = binary.AppendVarint(b, e.At)
	b = appendTexts(b, e.Left)
	b = binary.AppendUvarint(b, uint64(len(e.Profiles)))
	for i := range e.Profiles {
		b = e.Profiles[i].append(b)
	}
	b = binary.AppendUvarint(b, uint64(len(e.Targets)))
	for _, t := range e.Targets {
		b = appendByTopic(appendText(b, t.Member), t.Partitions, func(b []byte, p Partition) (Partition, []byte) { return p, b })
	}
	b = binary.AppendUvarint(b, uint64(len(e.Holdings)))
	for i := range e.Holdings {
		b = e.Holdings[i].append(b)
	}
	return b
}

func (p *Profile) append(b []byte) []byte {
	for _, s := range []string{p.Member, p.Instance, p.Rack, p.ClientID, p.ClientHost, p.Pattern, p.Assignor} {
		b = appendText(b, s)
	}
	return appendTexts(binary.AppendVarint(b, int64(p.RebalanceTimeout)), p.Topics)
}

func (m *Moved) append(b []byte) []byte {
	b = appendText(b, m.Member)
	b = binary.AppendVarint(b, int64(m.Epoch))
	b = binary.AppendVarint(b, int64(m.Previous))
	b = append(b, byte(m.Stage))
	for _, all := range [][]Held{m.Assigned, m.Revoking} {
		b = appendByTopic(b, all, func(b []byte, h Held) (Partition, []byte) {
			return h.Partition, binary.AppendVarint(b, int64(h.Since))
		})
	}
	return b
}

func appendTexts(b []byte, all []string) []byte {
	b = binary.AppendUvarint(b, uint64(len(all)))
	for _, s := range all {
		b = appendText(b, s)
	}
	return b
}

// appendByTopic appends runs of entries of one topic each. The function tells an
// entry's partition, and appends the rest of it.
func appendByTopic[T any](b []byte, all []T, rest func([]byte, T) (Partition, []byte)) []byte {
	var runs, n uint64
	var topic [16]byte
	var body, run []byte
	flush := func() {
		if n > 0 {
			body = append(binary.AppendUvarint(append(body, topic[:]...), n), run...)
			runs, n, run = runs+1, 0, run[:0]
		}
	}
	for _, entry := range all {
		p, tail := rest(nil, entry)
		if p.Topic != topic {
			flush()
			topic = p.Topic
		}
		run = append(binary.AppendVarint(run, int64(p.Index)), tail...)
		n++
	}
	flush()
	return append(binary.AppendUvarint(b, runs), body...)
}

func (r *reader) changed() Changed {
	e := Changed{Group: r.text(), Epoch: r.int32(), TargetEpoch: r.int32(), Basis: r.fixed64(), At: r.int64()}
	e.Left = r.texts()
	e.Profiles = list(r, 9, r.profile)
	e.Targets = list(r, 2, func() Target { return Target{r.text(), byTopic(r, func(p Partition) Partition { return p })} })
	e.Holdings = list(r, 6, r.moved)
	return e
}

func (r *reader) fixed64() uint64 {
	if b := r.take(8); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

func (r *reader) texts() []string { return list(r, 1, r.text) }

func (r *reader) profile() (p Profile) {
	for _, s := range []*string{&p.Member, &p.Instance, &p.Rack, &p.ClientID, &p.ClientHost, &p.Pattern, &p.Assignor} {
		*s = r.text()
	}
	p.RebalanceTimeout, p.Topics = r.int32(), r.texts()
	return p
}

func (r *reader) moved() Moved {
	m := Moved{Member: r.text(), Holding: Holding{Epoch: r.int32(), Previous: r.int32(), Stage: Stage(r.byte())}}
	r.bad = r.bad || m.Stage > Waiting
	held := func(p Partition) Held { return Held{p, r.int32()} }
	m.Assigned, m.Revoking = byTopic(r, held), byTopic(r, held)
	return m
}

// byTopic reads what appendByTopic appended.
func byTopic[T any](r *reader, rest func(Partition) T) (all []T) {
	list(r, 18, func() struct{} {
		topic := r.topic()
		all = append(all, list(r, 1, func() T { return rest(Partition{topic, r.int32()}) })...)
		return struct{}{}
	})
	return all
}
