package brokertest

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// place is a partition.
type place struct {
	topic     string
	partition int32
}

func (p place) String() string { return fmt.Sprintf("%s/%d", p.topic, p.partition) }

// spot is where a record is.
type spot struct {
	place
	offset int64
}

func (s spot) String() string { return fmt.Sprintf("%s@%d", s.place, s.offset) }

// deal is what is to take effect as a whole: the number'th transaction of a writer, or
// a record of one that has no transactions.
type deal struct {
	writer string
	number int
}

func (d deal) String() string { return fmt.Sprintf("%s-%d", d.writer, d.number) }

// line is a record's value: one of a deal. Of one that copies, input is the offset in
// "in" of what it copies; of a keyed one, its key.
type line struct {
	deal
	record, of int
	input      int64
}

func (l line) String() string {
	return fmt.Sprintf("%s %d %d %d %d", l.writer, l.number, l.record, l.of, l.input)
}

func lineOf(value string) (l line, err error) {
	_, err = fmt.Sscanf(value, "%2s %d %d %d %d", &l.writer, &l.number, &l.record, &l.of, &l.input)
	return l, err
}

// seal is the value behind which a partition holds no more.
const seal = "seal"

// outcome is what a writer knows of its deal.
type outcome int

const (
	aborted   outcome = iota // or never asked to commit
	unknown                  // asked to commit, and no answer
	committed                // and told so
)

func (o outcome) String() string { return [...]string{"aborted", "unknown", "committed"}[o] }

// dealt is a transaction as its writer knows it.
type dealt struct {
	outcome      outcome
	asked        bool // to commit
	of           int
	begun, ended time.Duration
}

// ack is what a writer was told of a record.
type ack struct {
	spot
	at time.Duration
}

// Finding is a promise that was not kept.
type Finding struct {
	Promise string // in a few words, the same for all of its kind
	Account string // what happened
}

// history is what writers did and were told, and what went wrong so far.
type history struct {
	timeline *timeline
	patience time.Duration // how long calm may last before all that waits has gone on

	mu       sync.Mutex
	more     *sync.Cond // told is more, or something went wrong
	told     int        // acknowledgements of records and ends
	done     map[string]int
	acked    map[line]ack
	givenUp  map[line]bool // by their client, which goes on: they may come late, or not at all
	deals    map[deal]*dealt
	findings []Finding
	harness  error // it could not go on by itself
}

func newHistory(t *timeline, patience time.Duration) *history {
	h := &history{timeline: t, patience: patience, done: map[string]int{}, acked: map[line]ack{}, givenUp: map[line]bool{}, deals: map[deal]*dealt{}}
	h.more = sync.NewCond(&h.mu)
	return h
}

// find notes what is wrong with the broker.
func (h *history) find(promise, format string, args ...any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.findLocked(promise, format, args...)
}

func (h *history) findLocked(promise, format string, args ...any) {
	account := fmt.Sprintf(format, args...)
	if !strings.Contains(account, "\n") {
		now := h.timeline.now()
		account = fmt.Sprintf("%s, at %.3f s\n%s", account, now.Seconds(), h.timeline.around(now, now))
	}
	h.findings = append(h.findings, Finding{promise, account})
	h.more.Broadcast()
}

// broken notes that the harness cannot go on.
func (h *history) broken(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.harness == nil {
		h.harness = err
	}
	h.more.Broadcast()
}

// over tells whether something went wrong. It must hold mu.
func (h *history) over() bool { return len(h.findings) > 0 || h.harness != nil }

func (h *history) wrong() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.over()
}

func (h *history) begin(id deal, of int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.deals[id] = &dealt{of: of, begun: h.timeline.now()}
}

// ask notes that a deal is about to be committed: from now on it may be.
func (h *history) ask(id deal) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.deals[id].asked = true
	h.deals[id].outcome = unknown
}

func (h *history) end(id deal, o outcome) {
	h.mu.Lock()
	defer h.mu.Unlock()
	x := h.deals[id]
	x.outcome, x.ended = o, h.timeline.now()
	if o == committed {
		h.done[id.writer]++
	}
	h.told++
	h.more.Broadcast()
}

// ack notes that a record was acknowledged.
func (h *history) ack(l line, at spot) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.acked[l] = ack{at, h.timeline.now()}
	if plain(l.writer) {
		h.done[l.writer]++
	}
	h.told++
	h.more.Broadcast()
}

// giveUp notes that a client tells its writer of no outcome.
func (h *history) giveUp(l line) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.givenUp[l] = true
}

func (h *history) isGivenUp(l line) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.givenUp[l]
}

// await returns when writers were told n more things, or something went wrong.
func (h *history) await(n int) {
	late := time.AfterFunc(h.patience, func() { h.find("what waits goes on", "nothing is acknowledged in %v", h.patience) })
	defer late.Stop()
	h.mu.Lock()
	defer h.mu.Unlock()
	for target := h.told + n; h.told < target && !h.over(); {
		h.more.Wait()
	}
}

// awaitEach returns when each of the writers has done something more, or something
// went wrong.
func (h *history) awaitEach(writers []string) {
	late := time.AfterFunc(h.patience, func() { h.find("what waits goes on", "a writer gets nothing done in %v of calm", h.patience) })
	defer late.Stop()
	h.mu.Lock()
	defer h.mu.Unlock()
	before := maps.Clone(h.done)
	for _, w := range writers {
		for h.done[w] == before[w] && !h.over() {
			h.more.Wait()
		}
	}
}

// mayShow tells why a record must not be read committed, if it must not.
func (h *history) mayShow(l line) (why string) {
	if plain(l.writer) {
		return ""
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	x := h.deals[l.deal]
	switch {
	case x == nil:
		return "nobody wrote it"
	case !x.asked:
		return "its writer has not asked for the transaction to be committed"
	case x.outcome == aborted:
		return "its transaction was aborted"
	}
	return ""
}

// plain tells whether a writer has no transactions.
func plain(writer string) bool { return strings.HasPrefix(writer, "p") }

// count is how many records were acknowledged, and how transactions ended.
func (h *history) count() (acked, done, undone, unclear int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	var n [committed + 1]int
	for _, x := range h.deals {
		n[x.outcome]++
	}
	return len(h.acked), n[committed], n[aborted], n[unknown]
}

// result is what was found, as it is now.
func (h *history) result() ([]Finding, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.findings), h.harness
}
