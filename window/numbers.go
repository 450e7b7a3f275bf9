package window

import (
	"errors"
	"slices"
)

// Numbers is the pool of the 254 numbers that generations carry in the table. A
// number goes round:
//
//	free ─take▶ live ─retire▶ expired ─Sweep▶ swept ─Swept▶ free
//
// Entries with a number that has expired may be in the table until a sweep that
// began later has passed over all of it.
type Numbers struct {
	states [256]numberState
	of     [256]*Generation // the live ones'
	free   int
	live   int
}

// Claimed is the number of an entry that is reserved and not yet remembered. No
// generation has it, and it is always live.
const Claimed = 255

type numberState uint8

const (
	numberFree    numberState = iota
	numberLive                // of a generation of the window
	numberExpired             // entries with it may still be in the table
	numberSwept               // expired before the sweep under way began
)

// ErrNumbers says that every generation number is in use until the table
// has been swept: finish the sweep and call Swept.
var ErrNumbers = errors.New("window: no generation number is free before a sweep")

func newNumbers() Numbers { return Numbers{free: Claimed - 1} }

// take gives a generation a number, or [ErrNumbers].
func (n *Numbers) take(gen *Generation) error {
	number := slices.Index(n.states[1:Claimed], numberFree) + 1
	if number == 0 {
		return ErrNumbers
	}
	gen.Number = uint8(number)
	n.states[number], n.of[number] = numberLive, gen
	n.free--
	n.live++
	return nil
}

// retire takes a generation's number back, if it has one. The generation still
// tells it.
func (n *Numbers) retire(gen *Generation) {
	if gen.Number == 0 {
		return
	}
	n.states[gen.Number], n.of[gen.Number] = numberExpired, nil
	n.live--
}

// Sweep marks the numbers that the sweep beginning now will free.
func (n *Numbers) Sweep() {
	for i, s := range n.states {
		if s == numberExpired {
			n.states[i] = numberSwept
		}
	}
}

// Swept frees them: the sweep has passed over the whole table.
func (n *Numbers) Swept() {
	for i, s := range n.states {
		if s == numberSwept {
			n.states[i] = numberFree
			n.free++
		}
	}
}

// Free is how many numbers can be given out before a sweep.
func (n *Numbers) Free() int { return n.free }

// Crowded tells whether as many generations have a number as may.
func (n *Numbers) Crowded() bool { return n.live >= mostLive }

// Live is which numbers are live.
func (n *Numbers) Live() (live Live) {
	for i, s := range n.states {
		live[i] = s == numberLive
	}
	live[Claimed] = true
	return live
}

// ByNumber is the live generation with that number, or nil.
func (n *Numbers) ByNumber(number uint8) *Generation { return n.of[number] }
