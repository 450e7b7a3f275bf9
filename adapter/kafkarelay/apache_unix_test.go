//go:build unix

package kafkarelay_test

import (
	"testing"

	"github.com/hapaxmq/hapax/internal/relaytest"
)

// TestApacheKafka is what is promised of brokers of ours, at one of Apache's: each
// database in its turn, for the broker is killed.
func TestApacheKafka(t *testing.T) {
	n := startKafka(t)
	for name, at := range relaytest.Places() {
		t.Run(name, func(t *testing.T) {
			for what, promise := range map[string]func(*testing.T, *node, *relaytest.Box){
				"S42Record": published, "S43LateCommit": lateCommit, "S44Killed": killed, "S44Refused": refused, "S44TwoRelays": twoRelays,
			} {
				switch {
				case name == "sqlite" && what == "S43LateCommit": // it has one writer
					continue
				case what == "S44TwoRelays" && name != "pgxdb": // it takes its time to start again
					continue
				}
				t.Run(what, func(t *testing.T) { promise(t, n, relaytest.NewBox(t, at(t))) })
			}
		})
	}
	for name, at := range relaytest.OwnPlaces() {
		if name == "pgxdb" { // its relays are taken through S44TwoRelays
			continue
		}
		t.Run("S44Restarts/"+name, func(t *testing.T) {
			place, database := at(t)
			restarts(t, n, relaytest.NewBox(t, place), database)
		})
	}
}
