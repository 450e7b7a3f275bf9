package ledger

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/window"
)

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

// snapshotFrame is the size from which a frame of a snapshot is complete.
const snapshotFrame = 1<<20 - window.MaxDisorder/8 - 64

// snapshot appends what is remembered of all producers. It flushes, so that the
// snapshot of many takes no memory.
func (s *sequences) snapshot(j *journal) error {
	if s == nil {
		return nil
	}
	head := binary.AppendUvarint([]byte{0}, uint64(s.window))
	s.body = append(s.body[:0], head...)
	var err error
	write := func() bool {
		if err = j.append(frameSequence, s.body); err == nil {
			err = j.w.Flush()
		}
		s.body = append(s.body[:0], head...)
		return err == nil
	}
	for p := range s.rows.All {
		s.body = appendProducer(s.body, p)
		if len(s.body) >= snapshotFrame && !write() {
			return err
		}
	}
	if len(s.body) > len(head) {
		write()
	}
	return err
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

// readSequences decodes the beginning of a sequence frame; what follows are
// producers.
func readSequences(r *reader) (source string, runs []run, disorder uint64) {
	flags := r.byte("flags")
	if flags&^admitPositions != 0 {
		r.fail("known flags")
	}
	if flags&admitPositions != 0 {
		source, runs = readPositions(r)
	}
	return source, runs, r.uvarint("window")
}

// sequences applies a frame: what it says of a producer replaces what was
// remembered.
func (r *replay) sequences(b *reader) error {
	source, runs, disorder := readSequences(b)
	if b.err != nil {
		return b.err
	}
	if want := r.l.o.Sequences.Window; disorder != uint64(want) {
		return fmt.Errorf("the ledger's sequence window is %d numbers, not %d (0 is strict): open it with what it has, or use another directory", disorder, want)
	}
	s, err := r.l.useSequences()
	if err != nil {
		return err
	}
	if err := r.positions(b, source, runs); err != nil {
		return err
	}
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
	return nil
}
