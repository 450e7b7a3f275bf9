package group

import "slices"

// goal is what a member is led to.
type goal struct {
	epoch      int32       // of the target
	partitions []Partition // what the member shall have, in order
	owned      []Partition // what it says that it has, in order; nil: it does not say
	free       func(Partition) bool
}

// reconcile leads a member as far as it can go now: first it gives back what it
// shall not have; that done, it is at the target's epoch, and gets what is free.
func (h Holding) reconcile(to goal) Holding {
	switch {
	case h.settled(to.epoch):
		return h
	case h.Stage == Revoking && to.keeps(h.Revoking):
		return h
	case h.Stage == Revoking:
		return h.step(h.Epoch+1, to)
	default:
		return h.step(h.Epoch, to)
	}
}

// step is one step from what h may read, at an epoch.
func (h Holding) step(epoch int32, to goal) Holding {
	var kept, lost []Held
	for _, held := range h.Assigned {
		if has(to.partitions, held.Partition) {
			kept = append(kept, held)
		} else {
			lost = append(lost, held)
		}
	}
	if len(lost) > 0 && to.keeps(lost) {
		h.enter(epoch)
		h.Stage, h.Assigned, h.Revoking = Revoking, kept, lost
		return h
	}
	stage := Settled
	for _, p := range to.partitions {
		switch _, ok := find(h.Assigned, p); {
		case ok:
		case to.free(p):
			kept = append(kept, Held{p, to.epoch})
		default:
			stage = Waiting
		}
	}
	slices.SortFunc(kept, compareHeld)
	h.enter(to.epoch)
	h.Stage, h.Assigned, h.Revoking = stage, kept, nil
	return h
}

func (h *Holding) enter(epoch int32) {
	if epoch != h.Epoch {
		h.Previous, h.Epoch = h.Epoch, epoch
	}
}

// keeps reports whether the member still has some of what it lost. It has if it
// does not say.
func (to goal) keeps(lost []Held) bool {
	if to.owned == nil {
		return true
	}
	return slices.ContainsFunc(lost, func(held Held) bool { return has(to.owned, held.Partition) })
}
