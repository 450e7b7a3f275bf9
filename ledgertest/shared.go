package ledgertest

import (
	"strings"
	"testing"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/internal/processtest"
)

// Shared makes ledgers that several processes use at once, for [RunShared].
type Shared struct {
	// Create makes a place that holds nothing, and removes it with tb. Its name is all
	// that another process needs.
	Create func(tb testing.TB) (place string)
	// Open opens the ledger of a place, until tb ends: at its server, or at another
	// address that leads there.
	Open func(tb testing.TB, place, address string) hapax.Ledger
	// Address is that of the server, "127.0.0.1:6379", if it has one: connections to it
	// are cut, and freeze.
	Address string
}

// RunShared examines a ledger that several processes share, one subtest a promise. They
// claim the same messages, are killed and stopped at every step of handling one, and their
// connections are lost. The ledger remembers for a minute at least, keeps receipts, and
// commits again what it has committed.
//
// The exam runs the test binary again, as the other process: a test that calls RunShared
// must come to it in every process alike, and leave what it sets up to [Shared.Create] and
// [Shared.Open].
func RunShared(t *testing.T, s Shared) {
	var of errand
	if mine, other := processtest.Task(t, &of); other {
		if mine {
			of.perform(t, s)
		}
		return
	}
	for _, c := range []struct {
		name string
		run  func(*colleague)
	}{
		{"of two processes one runs each message", crowds},
		{"a message runs again when its dead holder's lease has ended", deadHolder},
		{"a holder that is stopped for longer than its lease loses it", stoppedHolder},
		{"a connection cut in a commit loses and doubles nothing", cutCommit},
		{"a batch asks no more often than a message", batchTrips},
		{"a server that answers nobody for a while loses nothing", outage},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.run(newColleague(t, s))
		})
	}
}

// errand is what another process does.
type errand struct {
	Place, File string
	Do          string // "crowd", "stop", or a step to die at
}

// start starts another process of this exam.
func (c *colleague) start(do string) *processtest.Process {
	c.Helper()
	exam := c.Name()[:strings.LastIndexByte(c.Name(), '/')]
	return processtest.Start(c, exam, errand{Place: c.place, File: c.file, Do: do})
}

// perform does what another process is for.
func (of errand) perform(t *testing.T, s Shared) {
	orders := processtest.Orders()
	c := &colleague{TB: t, shared: s, place: of.Place, file: of.File, lease: brief}
	l := c.open("")
	switch of.Do {
	case "crowd":
		c.lease = long
		processtest.Say("ready")
		<-orders
		processtest.Say(c.crowd(l))
	case "stop":
		c.sleep(l, orders)
	default:
		c.upTo(l, of.Do)
	}
}
