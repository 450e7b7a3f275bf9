package ledgertest

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"iter"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/ledger"
)

// diary is the smallest ledger that passes the exam of admits, in memory only
// and exact to the identity, and many that do not: bug names the one thing it
// does wrong.
type diary struct {
	mu     sync.Mutex
	o      ledger.Options
	bug    string
	shelf  *shelf // claims
	notes  map[hapax.Fingerprint]*note
	source map[string]*reading
	order  int64 // of sights
	ids    int64
	size   int64
	mark   int64 // watermark
	latest int64 // time never goes back
	stats  ledger.Stats
	closed bool
}

type note struct {
	fp        hapax.Fingerprint
	digest    hapax.Digest
	time      int64 // of the last sight that counts
	order     int64
	ids, size int64 // that came before, and up to it
}

type reading struct {
	checkpoint ledger.Checkpoint
	confirmed  bool
	met        map[int64]meeting
}

// meeting is what a position was told.
type meeting struct {
	fp      hapax.Fingerprint
	verdict hapax.Verdict
}

func openDiary(bug string) func(string, ledger.Options) (Admitter, error) {
	return func(_ string, o ledger.Options) (Admitter, error) {
		if err := o.Window.Validate(); err != nil {
			return nil, err
		}
		if o.Clock == nil {
			o.Clock = time.Now
		}
		return &diary{o: o, bug: bug, mark: -1 << 62, notes: map[hapax.Fingerprint]*note{}, source: map[string]*reading{},
			shelf: &shelf{window: 1000 * time.Hour, state: shelfState{records: map[hapax.Fingerprint]record{}}}}, nil
	}
}

// now moves time on.
func (d *diary) now() int64 {
	d.latest = max(d.latest, d.o.Clock().UnixNano())
	if d.bug == "clock steps back" {
		d.latest = d.o.Clock().UnixNano()
	}
	d.shelf.now = time.Unix(0, d.latest)
	return d.latest
}

// known is the note of fp, if it has not left its window.
func (d *diary) known(fp hapax.Fingerprint) *note {
	n := d.notes[fp]
	if n != nil && d.over(n) {
		delete(d.notes, fp)
		return nil
	}
	return n
}

// clear lets go what has left its window.
func (d *diary) clear() {
	d.now()
	maps.DeleteFunc(d.notes, func(_ hapax.Fingerprint, n *note) bool { return d.over(n) })
}

func (d *diary) over(n *note) bool {
	w, now := d.o.Window, d.latest
	if w.EventTime {
		now = d.mark
	}
	span, count := int64(w.Time), w.Count
	switch d.bug {
	case "window short":
		span -= span / 500
	case "window long":
		span += span / 50
	case "count off by one":
		count++
	}
	began, ids := n.time, n.ids
	if w.Kind == hapax.Tumbling && w.Time > 0 {
		began -= floorMod(began, int64(w.Time))
	}
	others := d.ids - ids - 1
	if w.Kind == hapax.Tumbling && w.Count > 0 {
		others = d.ids - ids/w.Count*w.Count
		if others == w.Count {
			others--
		}
	}
	if w.Kind == hapax.Renewed && w.Count > 0 {
		others = 0
		for _, o := range d.notes {
			if o.order > n.order {
				others++
			}
		}
	}
	return w.Time > 0 && now-began >= span || w.Count > 0 && others >= count || w.Bytes > 0 && d.size-n.size >= w.Bytes
}

func (d *diary) expires(n *note) time.Time {
	began := n.time
	if d.o.Window.Kind == hapax.Tumbling {
		began -= floorMod(began, int64(d.o.Window.Time))
	}
	return time.Unix(0, began+int64(d.o.Window.Time))
}

func (d *diary) refuse(ctx context.Context) error {
	if d.closed {
		return hapax.ErrClosed
	}
	return ctx.Err()
}

func (d *diary) AdmitOne(ctx context.Context, e *ledger.Entry) error {
	b := ledger.Batch{Entries: []ledger.Entry{*e}}
	err := d.Admit(ctx, &b)
	*e = b.Entries[0]
	return err
}

func (d *diary) Admit(ctx context.Context, b *ledger.Batch) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.refuse(ctx); err != nil {
		return err
	}
	fresh := map[hapax.Fingerprint]bool{}
	for _, e := range b.Entries {
		if d.notes[e.Fingerprint] == nil {
			fresh[e.Fingerprint] = true
		}
	}
	if err := d.room(len(fresh), b.Source); err != nil {
		return err
	}
	first := d.order
	for i := range b.Entries {
		e := &b.Entries[i]
		e.Verdict = d.judge(b.Source, *e)
		if d.bug == "blind inside a batch" && e.Verdict == hapax.Duplicate && d.notes[e.Fingerprint].order > first {
			e.Verdict = hapax.Fresh
		}
		d.count(e.Verdict)
	}
	return nil
}

const noteSize = 32 // bytes

func (d *diary) room(n int, source string) error {
	if d.o.MaxSources > 0 && source != "" && d.source[source] == nil && len(d.source) >= d.o.MaxSources {
		return hapax.ErrFull
	}
	if n == 0 || d.o.MaxMemory == 0 || int64(len(d.notes)+n)*noteSize <= d.o.MaxMemory {
		return nil
	}
	d.clear()
	over := len(d.notes) + n - int(d.o.MaxMemory/noteSize)
	if over <= 0 {
		return nil
	}
	if !d.o.Evict || over > len(d.notes) {
		return hapax.ErrFull
	}
	oldest := slices.SortedFunc(maps.Values(d.notes), func(a, b *note) int { return cmp.Compare(a.order, b.order) })
	for _, n := range oldest[:max(over, len(oldest)/2)] {
		delete(d.notes, n.fp)
		d.stats.EvictedLive++
	}
	return nil
}

func (d *diary) time(e ledger.Entry) int64 {
	if d.o.Window.EventTime {
		return e.Time
	}
	return d.latest
}

func (d *diary) write(e ledger.Entry) {
	d.order++
	d.notes[e.Fingerprint] = &note{fp: e.Fingerprint, digest: e.Digest, time: d.time(e), order: d.order, ids: d.ids, size: d.size}
	d.ids++
}

func (d *diary) count(v hapax.Verdict) {
	s := &d.stats
	counter := map[hapax.Verdict]*int64{hapax.Fresh: &s.Fresh, hapax.Duplicate: &s.Duplicates, hapax.Redelivered: &s.Redelivered,
		hapax.InFlight: &s.InFlight, hapax.Conflict: &s.Conflicts, hapax.Late: &s.Late}
	if d.bug != "conflicts uncounted" || v != hapax.Conflict {
		*counter[v]++
	}
}

func (d *diary) reading(source string) *reading {
	if d.source[source] == nil {
		d.source[source] = &reading{met: map[int64]meeting{}}
	}
	return d.source[source]
}

func (d *diary) Confirm(ctx context.Context, c ledger.Checkpoint) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := cmp.Or(d.refuse(ctx), d.room(0, c.Source)); err != nil {
		return err
	}
	if len(c.Note) > 64<<10 {
		return errors.New("confirm: note too large")
	}
	r := d.reading(c.Source)
	c.Note = bytes.Clone(c.Note)
	r.checkpoint, r.confirmed = c, true
	return nil
}

func (d *diary) Checkpoint(source string) (ledger.Checkpoint, bool) {
	r := d.source[source]
	if r == nil || !r.confirmed {
		return ledger.Checkpoint{}, false
	}
	return r.checkpoint, true
}

func (d *diary) Checkpoints() (all []ledger.Checkpoint) {
	for source := range d.source {
		if c, ok := d.Checkpoint(source); ok {
			all = append(all, c)
		}
	}
	return all
}

func (d *diary) Claim(ctx context.Context, r hapax.Request) (hapax.Claim, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.refuse(ctx); err != nil {
		return hapax.Claim{}, err
	}
	d.now()
	fp := d.shelf.fingerprint(r)
	if n := d.known(fp); n != nil {
		v := d.judgeNew(ledger.Entry{Fingerprint: fp, Digest: r.Digest, Time: d.latest})
		d.count(v)
		return hapax.Claim{Fingerprint: fp, Verdict: v, Receipt: d.shelf.state.records[fp].receipt}, nil
	}
	if old := d.shelf.state.records[fp]; old.committed {
		delete(d.shelf.state.records, fp) // it left the window
	}
	live := 0
	for _, r := range d.shelf.state.records {
		if !r.committed && d.shelf.now.Before(r.deadline) {
			live++
		}
	}
	if _, held := d.shelf.state.records[fp]; !held && d.o.MaxClaims > 0 && live >= d.o.MaxClaims {
		return hapax.Claim{}, hapax.ErrFull
	}
	if d.o.MaxLease > 0 && r.Lease > d.o.MaxLease {
		return hapax.Claim{}, errors.New("lease too long")
	}
	if !d.o.Digests {
		r.Digest = 0
	}
	c, err := d.shelf.Claim(ctx, r)
	if err == nil {
		d.count(c.Verdict)
	}
	return c, err
}

func (d *diary) Extend(ctx context.Context, c hapax.Claim, by time.Duration) (hapax.Claim, error) {
	if d.o.MaxLease > 0 && by > d.o.MaxLease {
		return c, errors.New("lease too long")
	}
	return d.shelf.Extend(ctx, c, by)
}

func (d *diary) Commit(ctx context.Context, c hapax.Claim, r hapax.Receipt) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.now()
	if err := d.shelf.Commit(ctx, c, r); err != nil {
		return err
	}
	if d.known(c.Fingerprint) == nil {
		d.write(ledger.Entry{Fingerprint: c.Fingerprint, Digest: c.Digest, Time: max(d.latest, d.mark)})
	}
	d.boundReceipts()
	return nil
}

func (d *diary) Release(ctx context.Context, c hapax.Claim) error { return d.shelf.Release(ctx, c) }

func (d *diary) Lookup(ctx context.Context, fp hapax.Fingerprint) (ledger.Sighting, bool, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.refuse(ctx); err != nil {
		return ledger.Sighting{}, false, err
	}
	d.now()
	if n := d.known(fp); n != nil {
		return d.sighting(n), true, nil
	}
	if r, ok := d.shelf.state.records[fp]; ok && !r.committed && d.shelf.now.Before(r.deadline) {
		return ledger.Sighting{Fingerprint: fp, Verdict: hapax.InFlight, Token: r.token}, true, nil
	}
	return ledger.Sighting{}, false, nil
}

func (d *diary) sighting(n *note) ledger.Sighting {
	s := ledger.Sighting{Fingerprint: n.fp, Verdict: hapax.Duplicate, Digest: n.digest, First: time.Unix(0, n.time)}
	if d.o.Window.Time > 0 {
		s.Expires = d.expires(n)
	}
	return s
}

func (d *diary) Forget(ctx context.Context, fp hapax.Fingerprint) (bool, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.refuse(ctx); err != nil {
		return false, err
	}
	d.now()
	known := d.known(fp) != nil
	if d.bug != "forgets nothing" {
		delete(d.notes, fp)
		delete(d.shelf.state.records, fp)
	}
	return known, nil
}

func (d *diary) All() iter.Seq2[ledger.Sighting, error] {
	return func(yield func(ledger.Sighting, error) bool) {
		d.mu.Lock()
		err := d.refuse(context.Background())
		d.clear()
		all := slices.Collect(maps.Values(d.notes))
		d.mu.Unlock()
		if err != nil {
			yield(ledger.Sighting{}, err)
			return
		}
		for i, n := range all {
			if d.bug == "lists all but one" && i == 0 {
				continue
			}
			if !yield(d.sighting(n), nil) {
				return
			}
		}
	}
}

func (d *diary) Stats() ledger.Stats {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.closed {
		d.clear()
	}
	s := d.stats
	s.Live, s.Memory = int64(len(d.notes)), int64(len(d.notes)*noteSize)
	for _, r := range d.shelf.state.records {
		if !r.committed && d.shelf.now.Before(r.deadline) {
			s.Claims++
		}
	}
	return s
}

func (d *diary) Sync(ctx context.Context) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.refuse(ctx)
}

func (d *diary) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = true
	return nil
}
