package measure

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"slices"
	"syscall"
)

// Pass is one contestant's turn in a round. It returns its figure.
type Pass func(round int) (float64, error)

// Rounds gives every contestant one turn a round, in an order that is reversed
// from round to round, with a sync and a garbage collection before each turn.
// It returns the figures of each contestant, by round.
func Rounds(rounds int, contestants []Pass) ([][]float64, error) {
	figures := make([][]float64, len(contestants))
	order := make([]int, len(contestants))
	for i := range order {
		order[i] = i
	}
	for round := range rounds {
		for _, i := range order {
			Settle()
			figure, err := contestants[i](round)
			if err != nil {
				return nil, fmt.Errorf("round %d: %w", round+1, err)
			}
			figures[i] = append(figures[i], figure)
		}
		slices.Reverse(order)
	}
	return figures, nil
}

// Settle leaves no write and no garbage of earlier work to the next one.
func Settle() {
	syscall.Sync()
	runtime.GC()
}

// OneCore runs f with one processor for all goroutines, and Cores with n.
func OneCore(f func() error) error { return Cores(1, f) }

// Cores runs f with n processors.
func Cores(n int, f func() error) error {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(n))
	return f()
}

// Median returns the median of figures, which must not be empty.
func Median(figures []float64) float64 {
	sorted := slices.Sorted(slices.Values(figures))
	middle := len(sorted) / 2
	if len(sorted)%2 == 0 {
		return (sorted[middle-1] + sorted[middle]) / 2
	}
	return sorted[middle]
}

// Ratio returns the median of the rounds' ratios a/b: what was slow for a whole
// round was so for both.
func Ratio(a, b []float64) float64 {
	ratios := make([]float64, len(a))
	for i := range a {
		ratios[i] = a[i] / b[i]
	}
	return Median(ratios)
}

// FreeMemory gives what was let go back to the system.
func FreeMemory() { debug.FreeOSMemory() }
