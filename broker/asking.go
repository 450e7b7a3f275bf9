package broker

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/broker/code"
	"github.com/hapaxmq/hapax/broker/unique"
	"github.com/hapaxmq/hapax/ledger"
)

// WindowView is what operators see of how a topic keeps each message once. What is
// counted is counted since the node was started or, if that was later, since the
// window was opened: with its first settings, or with other budgets.
type WindowView struct {
	Identity   string `json:"identity"`   // hapax.identity
	Scope      string `json:"scope"`      // hapax.scope
	Window     string `json:"window"`     // its bounds and its kind, in words
	Duplicates string `json:"duplicates"` // hapax.duplicates
	Conflicts  string `json:"conflicts"`  // hapax.conflicts; "" if there can be none
	Missing    string `json:"missing"`    // hapax.missing
	Mode       string `json:"mode"`       // hapax.mode
	Full       string `json:"full"`       // hapax.window.full
	State      string `json:"state"`      // "warming" (it reads what is there, and records pass), "enforced", "counting" (and no more, in shadow) or "failed"
	Failed     string `json:"failed,omitempty"`
	Short      string `json:"warming_full,omitempty"` // what helps one that stays warming, for its memory or disk is used up

	From  []int64   `json:"enforced_from,omitempty"`      // by partition: the offset from which on it keeps each once, or in shadow counts; none: it always has
	Set   time.Time `json:"set"`                          // since when it has its identity, its scope, its kind, and bounds by what it has bounds by
	Anew  string    `json:"begun_anew_because,omitempty"` // why it was begun then in the place of another: what that had left out is not known here
	Began time.Time `json:"began"`                        // when it was turned on or, where there were records before, the time of the oldest that it read
	Since time.Time `json:"since"`                        // every id is remembered whose first record came since then, of those that were there when it was set, or came later
	Reach float64   `json:"reach_seconds"`

	Records WindowRecords `json:"records"`
	Ages    []WindowAge   `json:"ages"`         // of duplicates, the youngest first
	Slack   int64         `json:"age_slack_ms"` // ages are at most this much too large; 0: nobody knows by how much

	Live    int64  `json:"live_ids"`
	Cold    int64  `json:"cold_ids"`                 // of these, on disk
	Early   int64  `json:"ids_forgotten_early"`      // before their window ended, for a budget was reached; since the window was turned on
	Refused int64  `json:"batches_refused"`          // because a budget was reached
	Relief  string `json:"refused_relief,omitempty"` // what helps against that
	Memory  int64  `json:"memory_bytes"`             // of the ids
	Disk    int64  `json:"disk_bytes"`               // of the ids, beside the log
	Log     int64  `json:"log_bytes_kept"`           // of the log's older files, for what the window may not have on disk: if it has failed they stay
}

// WindowRecords counts records by what the window said of them.
type WindowRecords struct {
	Unique     int64 `json:"unique"`
	Duplicates int64 `json:"duplicates"`
	Conflicts  int64 `json:"conflicts"` // a known id with another value
	Missing    int64 `json:"missing"`   // no id
	Unasked    int64 `json:"unasked"`   // passed while the window was warming or, in shadow, of no use: the others are too low by what they were
}

// WindowAge counts duplicates whose first copy came more than Above milliseconds before,
// and up to UpTo: those too that were found while what was there was read, to warm the
// window or after a crash.
type WindowAge struct {
	Above      int64 `json:"above_ms"`
	UpTo       int64 `json:"up_to_ms,omitempty"` // 0: any age
	Duplicates int64 `json:"duplicates"`
}

// window is a view of a topic's window; nil if it has none.
func (v viewer) window(t *topic) *WindowView {
	if t.window == nil {
		return nil
	}
	view := viewOfWindow(t, v.b.time.now())
	view.Log = keptFor(&v.b.windows, t.window)
	return &view
}

func viewOfWindow(t *topic, now time.Time) WindowView {
	w, r := t.window, t.rules.window
	l, _, err := w.opened()
	view := WindowView{
		Identity: t.settings[unique.SettingIdentity], Scope: r.Scope.String(), Window: r.Window.String(),
		Duplicates: r.Duplicates.String(), Missing: r.Missing.String(), Mode: "enforce", Full: fullText(r), State: "enforced",
		Records: WindowRecords{
			Unique: w.count.unique.Load(), Duplicates: w.count.duplicates.Load(),
			Conflicts: w.count.conflicts.Load(), Missing: w.count.missing.Load(), Unasked: w.count.unasked.Load(),
		},
		Refused: w.count.refused.Load(), Set: time.UnixMilli(w.begun).UTC(), Anew: w.because,
	}
	if r.Window.Time > 0 {
		view.Slack = sliceOf(r.Window).Milliseconds() + 1
	}
	if r.Digests() { // else there are none
		view.Conflicts = r.Conflicts.String()
	}
	if r.Shadow {
		view.Mode, view.State = "shadow", "counting"
	}
	if view.Refused > 0 {
		view.Relief = relief(r)
	}
	var s ledger.Stats
	if l != nil { // else it could not be opened
		s = l.Stats()
	}
	if err == nil {
		err = s.Failed
	}
	if err != nil {
		view.State, view.Failed = "failed", err.Error()
	}
	view.Live, view.Cold, view.Early, view.Memory, view.Disk = s.Live, s.LiveCold, s.EvictedLive, s.Memory, s.Disk
	if view.Began, view.Since = now.UTC(), now.UTC(); w.enforced.Load() {
		view.From, view.Began = w.since(), time.UnixMilli(w.whole).UTC() // which were set before
		view.Since = since(r, &s, view.Began, now).UTC()
	} else if err == nil {
		if view.State = "warming"; w.full.Load() {
			view.Short = relief(r)
		}
	}
	view.Reach = max(now.Sub(view.Since), 0).Seconds()
	view.Ages = agesOf(&s)
	return view
}

func agesOf(s *ledger.Stats) (all []WindowAge) {
	above := int64(0)
	for i, bound := range ledger.AgeBounds() {
		all = append(all, WindowAge{Above: above, UpTo: bound.Milliseconds(), Duplicates: s.Ages[i]})
		above = bound.Milliseconds()
	}
	return append(all, WindowAge{Above: above, Duplicates: s.Ages[len(all)]})
}

// sliceOf is what a window's ids are told apart by in time: see window.Generations.
func sliceOf(w hapax.Window) time.Duration {
	switch {
	case w.Kind == hapax.Tumbling:
		return w.Time
	case w.Count > 0 || w.Bytes > 0:
		return w.Time / 64
	}
	return w.Time / 128
}

// opened is what a window asks, and why it is of no use, if it is not.
func (w *window) opened() (*ledger.Ledger, *unique.Namer, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.ledger, w.namer, w.err
}

// since is from when on every id that came is remembered.
func since(r *unique.Rules, s *ledger.Stats, began, now time.Time) time.Time {
	from, w := timely(r, began, now), r.Window
	mayBeShort := r.Evict || s.EvictedLive > 0 || w.Bytes > 0 || w.Count > 0 && (s.Live >= w.Count || w.Kind == hapax.Tumbling)
	if mayBeShort && !s.Since.IsZero() {
		from = latest(from, s.Since.Add(time.Millisecond-1).Truncate(time.Millisecond)) // as it is told
	}
	return from
}

// timely is from when on every id is remembered that nothing but time lets go.
func timely(r *unique.Rules, began, now time.Time) time.Time {
	w := r.Window
	switch {
	case w.Time == 0:
		return began
	case w.Kind == hapax.Tumbling:
		return latest(began, time.Unix(0, now.UnixNano()-now.UnixNano()%int64(w.Time)))
	}
	return latest(began, now.Add(-w.Time))
}

// early tells whether an id that is not remembered may have been let go before its
// window ended: others were, and the window is shorter for it still, or has let none go
// for its time.
func early(r *unique.Rules, w *WindowView, now time.Time) bool {
	from := timely(r, w.Began, now)
	return w.Early > 0 && (w.Since.After(from) || !from.After(w.Began))
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// IDView is what a topic's window knows of an id.
type IDView struct {
	Topic      string   `json:"topic"`
	ID         []string `json:"id"`                 // as it was asked about, part by part
	Encoding   string   `json:"encoding,omitempty"` // of id and scope: hex or base64; else they are text
	Scope      string   `json:"scope,omitempty"`    // the one that was asked about
	Remembered bool     `json:"remembered"`

	// Of an id that is remembered: by each alternative of hapax.identity that knows it,
	// of which there may be several only where it has fallbacks.
	Seen []SeenView `json:"seen,omitempty"`

	// Of one that is not.
	Open  int  `json:"open_transactions"`       // that have a record with it, the first of which to commit has it
	Early bool `json:"perhaps_forgotten_early"` // others have been let go before their window ended

	Window WindowView `json:"window"`
}

// SeenView is what is known of an id that is remembered.
type SeenView struct {
	As        string     `json:"as,omitempty"` // the alternative of hapax.identity, where there are several
	First     time.Time  `json:"first"`        // when its first record came
	Partition *int32     `json:"first_partition,omitempty"`
	Offset    *int64     `json:"first_offset,omitempty"`
	Copies    int64      `json:"copies"`            // that came since
	Expires   *time.Time `json:"expires,omitempty"` // unless a bound of count or bytes lets it go before
}

// mostAsked is how many ids are looked up at once: each may read all of a ledger.
const mostAsked = 2

// asking answers what is known of ids.
type asking struct {
	viewer
	turns chan struct{} // of those who look up
}

func newAsking(v viewer) *asking { return &asking{v, make(chan struct{}, mostAsked)} }

// about answers GET /api/v1/topics/{topic}/ids/{id}, and …/ids?part=A&part=B.
func (a *asking) about(r *http.Request) (any, error) {
	select {
	case a.turns <- struct{}{}:
		defer func() { <-a.turns }()
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
	q, err := readAsked(r)
	if err != nil {
		return nil, err
	}
	return a.id(r.Context(), &q)
}

func (a *asking) id(ctx context.Context, q *asked) (view IDView, err error) {
	t := a.b.topics.named(q.view.Topic)
	switch {
	case t == nil:
		return view, noTopicCalled(q.view.Topic)
	case t.window == nil:
		return view, refuse(code.ResourceNotFound, "topic %q remembers no ids, and keeps records as they come: set %s and %s for it to keep each once",
			q.view.Topic, unique.SettingIdentity, unique.SettingWindowMs)
	}
	l, namer, err := t.window.opened()
	if err != nil {
		return view, fmt.Errorf("topic %q: %w", q.view.Topic, err)
	}
	named, err := q.fingerprints(t, namer)
	if err != nil {
		return view, err
	}
	view = q.view
	for _, n := range named {
		seen, known, err := l.Lookup(ctx, n.Fingerprint)
		if errors.Is(err, hapax.ErrClosed) {
			err = errors.New("its window has just been closed, or opened with other settings: ask again")
		}
		if err != nil {
			return view, fmt.Errorf("topic %q: %w", q.view.Topic, err)
		}
		if known {
			view.Seen = append(view.Seen, seenView(n.As, &seen))
		}
	}
	view.Remembered, view.Window = len(view.Seen) > 0, *a.window(t)
	view.Open = a.b.windows.pending.with(t.window, named)
	view.Early = !view.Remembered && early(t.rules.window, &view.Window, a.b.time.now())
	return view, nil
}

// with is how many open transactions have one of some ids of a window.
func (o *openIDs) with(w *window, ids []unique.Named) (n int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, t := range o.of {
		if slices.ContainsFunc(ids, func(id unique.Named) bool { _, ok := t.ids[w][id.Fingerprint]; return ok }) {
			n++
		}
	}
	return n
}

func seenView(as string, s *ledger.Sighting) SeenView {
	v := SeenView{As: as, First: s.First.UTC(), Copies: s.Copies}
	if n, err := strconv.ParseInt(s.Position.Source, 10, 32); err == nil {
		v.Partition, v.Offset = new(int32(n)), &s.Position.Offset
	}
	if !s.Expires.IsZero() {
		v.Expires = new(s.Expires.UTC())
	}
	return v
}
