package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/ledger"
)

// sighting is a [ledger.Sighting] as JSON.
type sighting struct {
	ID          string     `json:"id,omitempty"`
	Fingerprint string     `json:"fingerprint"`
	Known       bool       `json:"known"`
	State       string     `json:"state,omitempty"` // duplicate: remembered; in flight: claimed
	First       *time.Time `json:"first,omitempty"`
	Expires     *time.Time `json:"expires,omitempty"`
	Source      string     `json:"source,omitempty"`
	Offset      *int64     `json:"offset,omitempty"`
	Copies      int64      `json:"copies,omitempty"`
	Epoch       uint32     `json:"epoch,omitempty"` // of a producer
	Highest     *uint64    `json:"highest,omitempty"`
	Last        *time.Time `json:"last,omitempty"`
}

// lookUp asks the ledger about a message's id or, if it keeps numbers, about its
// producer.
func lookUp(ctx context.Context, l *ledger.Ledger, info ledger.Info, id identified) (sighting, error) {
	if !strings.HasPrefix(info.Identity, "sequence:") {
		s, known, err := l.Lookup(ctx, id.fingerprint)
		s.Fingerprint = id.fingerprint
		return newSighting(id.text, s, known), err
	}
	p, known, err := l.Producer(id.fingerprint)
	s := sighting{ID: id.text, Fingerprint: id.fingerprint.String(), Known: known}
	if known {
		last := p.Last.UTC()
		s.State, s.Epoch, s.Highest, s.Last = "producer", p.Epoch, &p.Highest, &last
	}
	return s, err
}

func newSighting(id string, s ledger.Sighting, known bool) sighting {
	out := sighting{ID: id, Fingerprint: s.Fingerprint.String(), Known: known}
	if !known {
		return out
	}
	out.State, out.Copies = s.Verdict.String(), s.Copies
	if !s.First.IsZero() {
		first := s.First.UTC()
		out.First = &first
	}
	if !s.Expires.IsZero() {
		expires := s.Expires.UTC()
		out.Expires = &expires
	}
	if s.Position.Source != "" {
		out.Source, out.Offset = s.Position.Source, &s.Position.Offset
	}
	return out
}

func (s sighting) String() string {
	name := s.ID
	if name == "" {
		name = s.Fingerprint
	}
	if !s.Known {
		return name + ": not remembered"
	}
	if s.Highest != nil {
		return fmt.Sprintf("%s: highest number %d, epoch %d, last seen %s", name, *s.Highest, s.Epoch, s.Last.Format(time.RFC3339))
	}
	text := name + ": "
	if s.State == hapax.InFlight.String() {
		text += "claimed"
	} else {
		text += "first seen"
	}
	if s.First != nil {
		text += " " + s.First.Format(time.RFC3339Nano)
	}
	if s.Offset != nil {
		text += fmt.Sprintf(" from %s at %d", s.Source, *s.Offset)
	}
	if s.Copies > 0 {
		text += fmt.Sprintf(", %d copies since", s.Copies)
	}
	if s.Expires != nil {
		return text + ", expires " + s.Expires.Format(time.RFC3339)
	}
	return text + ", expires by count or never"
}
