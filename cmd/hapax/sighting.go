package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/ledger"
	"github.com/hapaxmq/hapax/uniq"
)

// sighting is a [ledger.Sighting] as JSON.
type sighting struct {
	ID          string     `json:"id,omitempty"`
	Fingerprint string     `json:"fingerprint"`
	State       string     `json:"state"`
	First       *time.Time `json:"first,omitempty"`
	Expires     *time.Time `json:"expires,omitempty"`
	Source      string     `json:"source,omitempty"`
	Path        string     `json:"path,omitempty"` // of the source, if it is a file
	Offset      *int64     `json:"offset,omitempty"`
	Copies      int64      `json:"copies,omitempty"`
	Epoch       uint32     `json:"epoch,omitempty"` // of a producer
	Highest     *uint64    `json:"highest,omitempty"`
	Last        *time.Time `json:"last,omitempty"`

	leaves string // when it is forgotten, in words
}

// What is known of an identity.
const (
	isRemembered = "remembered"
	isClaimed    = "claimed"
	isUnknown    = "not remembered"
)

const statesHelp = `In JSON "state" is "remembered", "claimed" (its work is under way) or "not
remembered". "first" is when it was first seen, from "offset" in "source", which is
the file "path" if it is one. "expires" is when time ends it, or its claim; without
that, time does not.
`

// sightings tells what a ledger knows of identities.
type sightings struct {
	ledger *ledger.Ledger
	info   ledger.Info
	paths  map[string]string // of sources that are files
}

func newSightings(l *ledger.Ledger, info ledger.Info) *sightings {
	s := &sightings{l, info, map[string]string{}}
	for _, c := range l.Checkpoints() {
		if note, err := uniq.ParseNote(c.Note); err == nil && note.Path != "" {
			s.paths[c.Source] = note.Path
		}
	}
	return s
}

// lookUp asks the ledger about a message's id or, if it keeps numbers, about its
// producer.
func (a *sightings) lookUp(ctx context.Context, id identified) (sighting, error) {
	if !strings.HasPrefix(a.info.Identity, "sequence:") {
		s, known, err := a.ledger.Lookup(ctx, id.fingerprint)
		s.Fingerprint = id.fingerprint
		return a.of(id.text, s, known), err
	}
	p, known, err := a.ledger.Producer(id.fingerprint)
	s := sighting{ID: id.text, Fingerprint: id.fingerprint.String(), State: isUnknown}
	if known {
		last := p.Last.UTC()
		s.State, s.Epoch, s.Highest, s.Last = isRemembered, p.Epoch, &p.Highest, &last
	}
	return s, err
}

func (a *sightings) of(id string, s ledger.Sighting, known bool) sighting {
	out := sighting{ID: id, Fingerprint: s.Fingerprint.String(), State: isUnknown}
	if !known {
		return out
	}
	out.State, out.Copies, out.leaves = isRemembered, s.Copies, leaves(a.info.Window, s.Expires)
	if s.Verdict == hapax.InFlight {
		out.State, out.leaves = isClaimed, "until "+s.Expires.UTC().Format(time.RFC3339)
	}
	if !s.First.IsZero() {
		first := s.First.UTC()
		out.First = &first
	}
	if !s.Expires.IsZero() {
		expires := s.Expires.UTC()
		out.Expires = &expires
	}
	if s.Position.Source != "" {
		out.Source, out.Path, out.Offset = s.Position.Source, a.paths[s.Position.Source], &s.Position.Offset
	}
	return out
}

// leaves says when an identity is forgotten: of several bounds of a window the first
// one reached counts.
func leaves(w hapax.Window, expires time.Time) string {
	var bounds []string
	if !expires.IsZero() {
		bounds = append(bounds, expires.UTC().Format(time.RFC3339))
	}
	ids, messages := "other ids", "other messages"
	if w.Kind == hapax.Tumbling {
		ids, messages = "ids of its window", "messages of its window"
	}
	if w.Count > 0 {
		bounds = append(bounds, fmt.Sprintf("after %s %s", count(w.Count), ids))
	}
	if w.Bytes > 0 {
		bounds = append(bounds, fmt.Sprintf("after %s of %s", bytesText(w.Bytes), messages))
	}
	if len(bounds) == 0 {
		return "never expires"
	}
	return "expires " + strings.Join(bounds, " or ")
}

func (s sighting) String() string {
	name := s.ID
	if name == "" {
		name = s.Fingerprint
	}
	switch {
	case s.State == isUnknown:
		return name + ": " + isUnknown
	case s.Highest != nil:
		return fmt.Sprintf("%s: highest number %d, epoch %d, last seen %s", name, *s.Highest, s.Epoch, s.Last.Format(time.RFC3339))
	case s.State == isClaimed:
		return name + ": claimed " + s.leaves
	}
	text := name + ": first seen"
	if s.First != nil {
		text += " " + s.First.Format(time.RFC3339Nano)
	}
	switch {
	case s.Path != "":
		text += fmt.Sprintf(" from %s at %d", s.Path, *s.Offset)
	case s.Offset != nil:
		text += fmt.Sprintf(" from %s at %d", s.Source, *s.Offset)
	}
	if s.Copies > 0 {
		text += fmt.Sprintf(", %d copies since", s.Copies)
	}
	return text + ", " + s.leaves
}
