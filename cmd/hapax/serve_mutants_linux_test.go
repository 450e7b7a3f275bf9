package main

import (
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/hapaxmq/hapax/internal/brokertest"
)

// TestServeMutants demands that torture finds some planted faults.
func TestServeMutants(t *testing.T) {
	t.Parallel()
	for _, m := range brokertest.Mutants() {
		if slices.Contains([]string{
			"records are acknowledged before the sync",
			"the last stable offset is ignored",
			"producers are not known after a restart",
		}, m.Name) {
			t.Run(m.Name, func(t *testing.T) {
				t.Parallel()
				findMutant(t, m, 2*time.Minute)
			})
		}
	}
}

// TestTortureMutants demands that torture finds all planted faults, and nothing where
// there is none.
func TestTortureMutants(t *testing.T) {
	tortureTime(t)
	for _, m := range brokertest.Mutants() {
		t.Run(m.Name, func(t *testing.T) { findMutant(t, m, 5*time.Minute) })
	}
	sound := brokertest.Sound()
	t.Run(sound.Name, func(t *testing.T) {
		torture(t, brokertest.Course{Seed: 1, Length: time.Minute}, mutantBroker(t, sound)())
	})
}

// findMutant demands that a fault is found in a length of time.
func findMutant(t *testing.T, m brokertest.Mutant, limit time.Duration) {
	t.Helper()
	report, err := brokertest.Find(t.Context(), mutantBroker(t, m), 1, limit)
	if err != nil {
		t.Fatal(err)
	}
	t.Log(report)
	if len(report.Findings) == 0 {
		t.Errorf("it is not found in %v", limit)
	}
}

func mutantBroker(t *testing.T, m brokertest.Mutant) func() brokertest.Broker {
	t.Helper()
	exe := buildMutant(t, m)
	return func() brokertest.Broker { return hapaxBroker(t, exe, nil) }
}

func buildMutant(t *testing.T, m brokertest.Mutant) (exe string) {
	t.Helper()
	exe = filepath.Join(t.TempDir(), "hapax")
	if err := m.Build(t.Context(), moduleRoot, exe); err != nil {
		t.Fatal(err)
	}
	return exe
}

// moduleRoot is where the tests of this package find the source.
const moduleRoot = "../.."
