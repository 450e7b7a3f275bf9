package audit

import (
	"fmt"
	"time"

	"github.com/hapaxmq/hapax"
)

// Options bound an [Audit]. The zero value is valid.
type Options struct {
	Memory int64 // bytes for what was seen; 4 GiB if zero, which holds about 100 million identities
	Worst  int   // identities to list with the most copies; 10 if zero
}

const (
	defaultMemory = 4 << 30
	defaultWorst  = 10
	maxShownID    = 200 // bytes kept of an id for people
	maxConflicts  = 10  // kept as examples
)

// Observation is one message as the audit sees it. Nothing of it is kept after
// Add but copies.
type Observation struct {
	Fingerprint hapax.Fingerprint // of the identity; must be a keyed hash
	Digest      hapax.Digest      // of the payload; zero to compare none
	Missing     bool              // the message has no identity: both above are ignored
	Time        time.Time         // event time; zero, or beyond the years 0 to 9999, for none
	Size        int64             // bytes the message takes in its source; a negative one counts as none
	Position    hapax.Position    // shown for conflicts
	ID          []byte            // the identity as people know it
}

// Audit collects what a [Report] says. It takes at most 40 bytes an identity
// (and 96 more for one that has copies) and is not for concurrent use. Its
// memory is on the Go heap but holds next to no pointers.
type Audit struct {
	options Options
	sights  sights
	repeats map[uint32]repeat // by sight, of identities that have copies
	worst   []offender
	clock   clock
	now     place // of the next message

	unique, duplicates, conflicts, missing int64

	examples  []ConflictExample
	sinceNew  [dimensions]distribution // ages of duplicates since the first sight
	sinceLast [dimensions]distribution // and since the last one
}

// repeat is what is known of an identity that came again.
type repeat struct {
	copies    int64 // conflicts are among them
	conflicts int64
	last      place
}

// repeatMemory is what a repeat costs in a map, at worst.
const repeatMemory = 96

// New returns an empty audit.
func New(o Options) *Audit {
	if o.Memory <= 0 {
		o.Memory = defaultMemory
	}
	if o.Worst <= 0 {
		o.Worst = defaultWorst
	}
	return &Audit{options: o, repeats: map[uint32]repeat{}}
}

// Add takes in the next message of the stream. Once the identities fill
// Options.Memory it returns [hapax.ErrFull] for every message that would need
// more, and has not taken it in: the report is then about the messages before.
func (a *Audit) Add(o Observation) error {
	if !o.Missing && a.Memory() > a.options.Memory {
		return fmt.Errorf("audit message %d: %w: %d identities take up the %d bytes of memory that it may use", a.now.message+1, hapax.ErrFull, a.unique, a.options.Memory)
	}
	here := a.now
	here.clock = a.clock.next(o.Time, here.message)
	if o.Missing {
		a.missing++
	} else if n, seen := a.sights.find(o.Fingerprint); seen {
		a.copied(n, &o, here)
	} else if err := a.sights.add(o.Fingerprint, fold(o.Digest), here); err != nil {
		return err
	} else {
		a.unique++
		a.clock.firstSight(o.Time)
	}
	a.now = place{clock: here.clock, message: here.message + 1, offset: here.offset + max(o.Size, 0)}
	return nil
}

// Memory is how many bytes the audit holds of what it saw.
func (a *Audit) Memory() int64 { return a.sights.memory() + int64(len(a.repeats))*repeatMemory }

// copied takes in a message whose identity is sight n.
func (a *Audit) copied(n uint32, o *Observation, here place) {
	first, digest := a.sights.at(n)
	r, again := a.repeats[n]
	last := first
	if again {
		last = r.last
	}
	conflict := digest != 0 && o.Digest != 0 && digest != fold(o.Digest)
	r.copies++
	r.last = here
	if conflict {
		r.conflicts++
		a.conflicts++
		if len(a.examples) < maxConflicts {
			a.examples = append(a.examples, ConflictExample{
				ID: shown(o.ID), First: first.message + 1, Message: here.message + 1,
				Source: o.Position.Source, Offset: o.Position.Offset,
			})
		}
	} else {
		a.duplicates++
		for d := range dimensions {
			a.sinceNew[d].add(d.age(first, here))
			a.sinceLast[d].add(d.age(last, here))
		}
	}
	a.repeats[n] = r
	a.rank(n, r, o.ID)
}

// offender is an identity that may be among those with the most copies.
type offender struct {
	sight uint32
	repeat
	id string
}

// rank keeps the identities with the most copies. Copies come one at a time, so
// whoever belongs here was looked at when it passed the least of them.
func (a *Audit) rank(sight uint32, r repeat, id []byte) {
	least := -1
	for i := range a.worst {
		if a.worst[i].sight == sight {
			a.worst[i].repeat = r
			return
		}
		if least < 0 || a.worst[i].copies < a.worst[least].copies {
			least = i
		}
	}
	switch entry := (offender{sight: sight, repeat: r}); {
	case len(a.worst) < a.options.Worst:
		entry.id = shown(id)
		a.worst = append(a.worst, entry)
	case r.copies > a.worst[least].copies:
		entry.id = shown(id)
		a.worst[least] = entry
	}
}

func shown(id []byte) string { return string(id[:min(len(id), maxShownID)]) }

// fold keeps 32 bits of a digest; zero stays the sign that there is none.
func fold(d hapax.Digest) uint32 {
	if d == 0 {
		return 0
	}
	return max(uint32(d^d>>32), 1)
}
