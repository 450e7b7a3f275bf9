package group

import "github.com/hapaxmq/hapax/broker/code"

// unknownGroup is the first version of OffsetCommit that may say that a group is
// not there.
const unknownGroup = 9

// CommitRequest is one group's part of OffsetCommit, version 2 to 10, or of
// TxnOffsetCommit, version 0 to 5. The caller has looked up the topics, and for a
// transaction that it is open and the producer's own.
type CommitRequest struct {
	Version    int16 // of OffsetCommit
	Group      string
	Member     string // "" if it is not said
	Instance   string
	Generation int32    // -1 if it is not said
	Producer   int64    // whose transaction it is; [NoProducer] if none
	Retention  int64    // ms, before version 5; negative: by the settings
	Offsets    []Offset // At and Expires are set here
}

// DecideCommit checks a commit. The codes are those of r.Offsets, one each; the
// event has those that pass, and is nil if none does. The one thing that this
// changes is that the member showed life.
func (s *Groups) DecideCommit(r CommitRequest, now int64) ([]code.Error, Event) {
	codes := make([]code.Error, len(r.Offsets))
	if c := s.checkCommit(r, now); c != code.None {
		for i := range codes {
			codes[i] = c
		}
		return codes, nil
	}
	e := Committed{Group: r.Group, Producer: r.Producer, Offsets: make([]Offset, 0, len(r.Offsets))}
	for i, o := range r.Offsets {
		if len(o.Metadata) > s.set.MaxOffsetMetadata {
			codes[i] = code.OffsetMetadataTooLarge
			continue
		}
		o.At, o.Expires = now, 0
		if r.Retention >= 0 && r.Producer < 0 {
			o.Expires = now + r.Retention
		}
		e.Offsets = append(e.Offsets, o)
	}
	if len(e.Offsets) == 0 {
		return codes, nil
	}
	return codes, e
}

func (s *Groups) checkCommit(r CommitRequest, now int64) code.Error {
	transaction := r.Producer >= 0
	g := s.byName[r.Group]
	// Outside of transactions "" is a group's id too: readers used it before there
	// were groups.
	switch {
	case r.Group == "" && transaction || len(r.Group) > s.set.MaxGroupName:
		return code.InvalidGroupID
	case g == nil && r.Generation >= 0 && !transaction && r.Version >= unknownGroup:
		return code.GroupIDNotFound
	case g == nil && r.Generation >= 0:
		return code.IllegalGeneration
	case g == nil && len(s.byName) >= s.set.MaxGroups:
		return code.PolicyViolation
	case g == nil:
		return code.None
	}
	c := g.mayCommit(r)
	if m := g.members.byID[r.Member]; c == code.None && m != nil && !transaction {
		t := newTurn(g, now, &s.set)
		t.touch(m)
		s.end(t)
	}
	return c
}

// mayCommit holds a commit against the members. Who names none may commit only to
// a group that has none, as an administrator or a reader outside of groups does;
// in transactions old clients never name any.
func (g *group) mayCommit(r CommitRequest) code.Error {
	transaction := r.Producer >= 0
	switch {
	case r.Generation < 0 && g.state == Empty:
		return code.None
	case g.consumers != nil:
		return g.consumers.mayCommit(r)
	case r.Generation >= 0 || r.Member != "" || r.Instance != "":
		if _, c := g.identify(r.Member, r.Instance); c != code.None {
			return c
		}
		if r.Generation != g.generation {
			return code.IllegalGeneration
		}
	case !transaction:
		return code.UnknownMemberID
	}
	if !transaction && g.state == CompletingRebalance {
		return code.RebalanceInProgress
	}
	return code.None
}

// consumerCommit is the first version of OffsetCommit that knows member epochs.
const consumerCommit = 9

// mayCommit holds a commit against consumers, whose epochs go as generations.
func (c *consumers) mayCommit(r CommitRequest) code.Error {
	transaction := r.Producer >= 0
	partitions := make([]Partition, len(r.Offsets))
	for i := range r.Offsets {
		partitions[i] = r.Offsets[i].Partition
	}
	refused := c.vouch(r.Member, r.Generation, partitions)
	switch {
	case refused == code.UnknownMemberID:
	case !transaction && r.Version < consumerCommit:
		return code.UnsupportedVersion
	case refused == code.StaleMemberEpoch && transaction:
		return code.IllegalGeneration // clients know no other with transactions
	}
	return refused
}
