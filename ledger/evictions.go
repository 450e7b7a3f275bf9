package ledger

import (
	"encoding/binary"
	"log/slog"
	"time"

	"github.com/hapaxmq/hapax/window"
)

// evictions are what has left the window early, which is durable: a file of the log, or
// a cold one, may hold it beside what has not.
type evictions struct {
	total int64             // identities
	files map[uint64]uint64 // generations, of which the log may have something up to that file

	last logged // of the frames that tell of them

	untold int64 // identities
	told   int64 // when others were, Unix nanoseconds
}

// logged is a place in a log: the end of a frame. The zero value is none.
type logged struct {
	j   *journal
	end int64
}

// tellEvery is how often evictions are told of, if there are any.
const tellEvery = 10 * time.Second

// tellIfDue is tell if there are any, and none were told of for a while. The first ones
// are told of at once, and the rest by maintain, also if no more leave.
func (e *evictions) tellIfDue(log *slog.Logger, dir string, now int64) {
	if e.untold > 0 && now-e.told >= int64(tellEvery) {
		e.tell(log, dir, now)
	}
}

// tell warns of identities that have left early since it was told before.
func (e *evictions) tell(log *slog.Logger, dir string, now int64) {
	log.Warn("identities left before their window ended", "dir", dir, "count", e.untold)
	e.untold, e.told = 0, now
}

// log has the log, if there is one, say that a generation has left the window early.
func (e *evictions) log(j *journal, gen *window.Generation) error {
	if j == nil {
		return nil
	}
	file := j.newestNumber()
	e.add(gen.ID, file)
	err := j.append(frameEvicted, e.frame(gen.ID, file))
	e.last = logged{j, j.End()}
	return err
}

// durable is called under mu, and what it returns is not: that returns once the log has on
// disk what had left early by the first call. What else knew of it may go then.
func (e *evictions) durable() func() error {
	last := e.last
	return func() error {
		if last.j == nil {
			return nil
		}
		return last.j.Sync(last.end)
	}
}

func (e *evictions) add(id, file uint64) {
	if e.files == nil {
		e.files = make(map[uint64]uint64)
	}
	e.files[id] = file
}

func (e *evictions) frame(id, file uint64) []byte {
	b := binary.AppendUvarint(nil, id)
	b = binary.AppendUvarint(b, file)
	return binary.AppendUvarint(b, uint64(e.total))
}

// snapshot adds what there is to know of them to a new file of the log, and forgets
// generations of which nothing is left.
func (e *evictions) snapshot(j *journal, cold *coldFiles) error {
	if e.total == 0 {
		return nil
	}
	for id, file := range e.files {
		if j.files[0].number > file && cold.log(id) == 0 {
			delete(e.files, id)
		}
	}
	if len(e.files) == 0 {
		return j.append(frameEvicted, e.frame(0, 0))
	}
	for id, file := range e.files {
		if err := j.append(frameEvicted, e.frame(id, file)); err != nil {
			return err
		}
	}
	return nil
}

// evictAgain ends a generation that left early, while the log is read.
func evictAgain(l *Ledger, b *reader) {
	id, file, total := b.uvarint("generation"), b.uvarint("file"), b.uvarint("identities")
	if b.err != nil {
		return
	}
	l.evictions.total = max(l.evictions.total, int64(total))
	if id == 0 {
		return
	}
	l.evictions.add(id, file)
	if gen := l.gens.Drop(id); gen != nil {
		l.ended([]*window.Generation{gen}, false)
		l.publish()
	}
}
