package ledger

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/window"
)

// sequenceLap is set in a sequence frame that repeats producers; admitPositions
// means there what it does in admit frames.
const sequenceLap = 1 << 2

// payload encodes what the batch changed: the positions it noted, and what is
// remembered now of each producer that changed. It is nil if nothing did, and
// valid until the next call.
func (s *sequences) payload() []byte {
	s.body = append(s.body[:0], 0)
	if len(s.positions.runs) > 0 {
		s.body[0] |= admitPositions
		s.body = s.positions.appendPositions(s.body)
	}
	s.body = binary.AppendUvarint(s.body, uint64(s.window))
	empty := len(s.positions.runs) == 0
	for p := range s.rows.Changed {
		s.body = appendProducer(s.body, p)
		empty = false
	}
	if empty {
		return nil
	}
	return s.body
}

func appendProducer(b []byte, p window.Producer) []byte {
	b = append(b, p.Fingerprint[:]...)
	b = binary.AppendUvarint(b, uint64(p.Epoch))
	b = binary.AppendUvarint(b, p.Highest)
	b = binary.LittleEndian.AppendUint32(b, p.Last)
	for _, word := range p.Numbers {
		b = binary.LittleEndian.AppendUint64(b, word)
	}
	return b
}

// readProducer decodes a producer into p, whose Numbers say how many words of
// them there are.
func readProducer(r *reader, p *window.Producer) {
	p.Fingerprint = r.fingerprint()
	epoch := r.uvarint("epoch")
	if epoch > 1<<32-1 {
		r.fail("epoch of 32 bits")
	}
	p.Epoch = uint32(epoch)
	p.Highest = r.uvarint("number")
	if b := r.bytes(4, "time"); b != nil {
		p.Last = binary.LittleEndian.Uint32(b)
	}
	for i := range p.Numbers {
		p.Numbers[i] = r.fixed("numbers")
	}
}

// sequenceHead is the beginning of a sequence frame; what follows are producers.
type sequenceHead struct {
	source   string
	runs     []run
	disorder uint64
	lap      lap // zero: it is of a batch
}

// readSequences decodes it in a file of the log with this number.
func readSequences(r *reader, file uint64) (h sequenceHead) {
	flags := r.byte("flags")
	if flags&^(admitPositions|sequenceLap) != 0 {
		r.fail("known flags")
	}
	if flags&admitPositions != 0 {
		h.source, h.runs = readPositions(r)
	}
	h.disorder = r.uvarint("window")
	if flags&sequenceLap != 0 {
		if h.lap.file = r.uvarint("file"); h.lap.file == 0 || h.lap.file > file {
			r.fail("file that is there by then")
		}
		h.lap.next = r.fixed("fingerprint")
	}
	return h
}

// sequences applies a frame: what it says of a producer replaces what was
// remembered.
func (r *replay) sequences(b *reader) error {
	h := readSequences(b, r.f.number)
	if b.err != nil {
		return b.err
	}
	if want := r.l.o.Sequences.Window; h.disorder != uint64(want) {
		return fmt.Errorf("the ledger's sequence window is %d numbers, not %d (0 is strict): open it with what it has, or use another directory", h.disorder, want)
	}
	s, err := r.l.useSequences()
	if err != nil {
		return err
	}
	none := func(bool) (imprint, bool) { return imprint{}, true }
	if err := r.positions(b, h.source, h.runs, none); err != nil {
		return err
	}
	r.f.producers = true
	p := window.Producer{Numbers: make([]uint64, max(s.window/64, 1))}
	for len(b.b) > 0 {
		if readProducer(b, &p); b.err != nil {
			return b.err
		}
		err := s.rows.Restore(p)
		if errors.Is(err, window.ErrProducers) {
			return fmt.Errorf("%w: the log remembers more producers than MaxProducers of %d; raise it", hapax.ErrFull, r.l.o.Sequences.MaxProducers)
		}
		if err != nil {
			return err
		}
	}
	if h.lap.file > 0 {
		s.lap = h.lap
		s.lap.found = place{r.f.number, r.at}
		s.lap.finish(r.j)
	}
	return nil
}
