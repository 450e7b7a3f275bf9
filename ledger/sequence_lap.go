package ledger

import (
	"encoding/binary"
	"errors"
	"slices"

	"github.com/hapaxmq/hapax/window"
)

// lap is one way through all producers, in the order of their fingerprints, that
// repeats what is remembered of them in the log, so that no file before the one
// it began in is needed for them. It goes on a few producers at a time, as the
// log grows, and writes as much as has come in between: so there is no pause for
// it, and the log takes little more than four laps for its producers. Its frames
// say how far it has come, and opening goes on from there.
type lap struct {
	file uint64 // the newest when it began
	next uint64 // the upper half of the first fingerprint to come; 0: it is over
	at   int64  // the log's end when it last went on; 0: not since opening

	found place // its last frame that opening read
}

// place is a frame's.
type place struct {
	file   uint64
	offset int64
}

const (
	// lapStep is how much the log grows before a lap goes on.
	lapStep = 32 << 10
	// lapFrame is the size from which a frame of a lap is complete.
	lapFrame = 1 << 20
)

// repeat takes the lap on if it is time to, and returns how many bytes a whole
// one takes. It comes before a batch changes anything: it must not repeat what is
// not in the log yet.
func (s *sequences) repeat(j *journal) (int64, error) {
	if s == nil {
		return 0, nil
	}
	end := j.End()
	if s.lap.at == 0 {
		s.lap.at = end - min(j.since(s.lap.found), lapFrame)
	}
	owed := end - s.lap.at
	if owed < lapStep {
		return s.lapBytes(), nil
	}
	if s.lap.next != 0 || j.producersBehind() {
		if err := s.goOn(j, owed); err != nil {
			return 0, err
		}
	}
	s.lap.at = j.End()
	return s.lapBytes(), nil
}

// dropLogs deletes the files of the log that hold nothing live. If producers
// alone keep files that hold much more than a lap takes, it repeats them all at
// once: MaxDisk is reached, and there is no time to wait for a lap. There may be none.
func (s *sequences) dropLogs(j *journal) error {
	if j.lappedBehind() {
		return j.rollNow()
	}
	if s != nil && j.keptForProducers() >= 2*s.lapBytes()+minRoll {
		if err := s.wholeLap(j); err != nil {
			return err
		}
		return j.rollNow()
	}
	return j.drop()
}

// wholeLap repeats all producers in a new file.
func (s *sequences) wholeLap(j *journal) error {
	if err := j.rollNow(); err != nil {
		return err
	}
	s.lap.next = 0
	for {
		if err := errors.Join(s.goOn(j, lapFrame), j.Flush(j.End())); err != nil || s.lap.next == 0 {
			s.lap.at = j.End()
			return err
		}
	}
}

// keptForProducers is the bytes of the files that hold nothing else that is live.
func (j *journal) keptForProducers() (n int64) {
	for i, f := range j.files {
		switch {
		case !f.producers || len(f.gens) > 0:
		case i == len(j.files)-1:
			n += j.w.Size()
		default:
			n += f.size
		}
	}
	return n
}

// lappedBehind tells whether the last lap has made a file superfluous.
func (j *journal) lappedBehind() bool {
	return slices.ContainsFunc(j.files, func(f *logFile) bool {
		return f.producers && f.number < j.lapped && len(f.gens) == 0
	})
}

// lapBytes is what a whole lap writes, or a little more.
func (s *sequences) lapBytes() int64 {
	if s == nil {
		return 0
	}
	return int64(s.rows.Len()) * s.producerBytes()
}

// producerBytes is what a producer takes in a frame, or a little more.
func (s *sequences) producerBytes() int64 { return 32 + int64(max(s.window, 64)/8) }

// goOn repeats producers until so many bytes are written or the lap is over. If
// none is under way it begins one.
func (s *sequences) goOn(j *journal, owed int64) error {
	if s.lap.next == 0 {
		s.lap.file = j.newestNumber()
	}
	for owed > 0 {
		payload := s.part(min(owed, lapFrame))
		if err := j.remember(payload); err != nil {
			return err
		}
		owed -= int64(len(payload))
		if s.lap.finish(j) {
			return nil
		}
	}
	return nil
}

// part encodes the next producers of the lap in a frame of at least size bytes,
// if there are so many. It is valid until the next call.
func (s *sequences) part(size int64) []byte {
	s.body = binary.AppendUvarint(append(s.body[:0], sequenceLap), uint64(s.window))
	s.body = binary.AppendUvarint(s.body, s.lap.file)
	at := len(s.body)
	s.body = append(s.body, make([]byte, 8)...)
	for {
		s.lap.next = s.rows.Part(s.lap.next, func(p window.Producer) { s.body = appendProducer(s.body, p) })
		if s.lap.next == 0 || int64(len(s.body)) >= size {
			binary.LittleEndian.PutUint64(s.body[at:], s.lap.next)
			return s.body
		}
	}
}

// finish tells whether the lap is over; if so the files before it are soon not
// needed for producers.
func (p *lap) finish(j *journal) bool {
	if p.next == 0 {
		j.lapped = max(j.lapped, p.file)
	}
	return p.next == 0
}

// releaseLapped lets go of the files that the last lap has made superfluous. It
// comes before another file is begun, whose snapshot does not list these files,
// and is written only when the lap's frames are durable.
func (j *journal) releaseLapped() {
	for _, f := range j.files {
		f.producers = f.producers && f.number >= j.lapped
	}
}

// since is the bytes of the log from a place on.
func (j *journal) since(p place) (n int64) {
	for i, f := range j.files {
		if f.number < p.file {
			continue
		}
		if n += f.size; i == len(j.files)-1 {
			n += j.w.Size() - f.size
		}
		if f.number == p.file {
			n -= p.offset
		}
	}
	return n
}

// remember appends a sequence frame.
func (j *journal) remember(payload []byte) error {
	j.files[len(j.files)-1].producers = true
	return j.append(frameSequence, payload)
}

// producersBehind tells whether a file that is not the newest is needed for
// producers.
func (j *journal) producersBehind() bool {
	behind := j.files[:len(j.files)-1]
	return slices.ContainsFunc(behind, func(f *logFile) bool { return f.producers && f.number >= j.lapped })
}
