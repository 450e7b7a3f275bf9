//go:build unix

package brokertest

import (
	"context"
	"time"
)

// Find tortures a broker until something is found, or for a length of time.
func Find(ctx context.Context, make func() Broker, seed uint64, limit time.Duration) (all Report, err error) {
	for began := time.Now(); err == nil && len(all.Findings) == 0 && time.Since(began) < limit; seed++ {
		var one Report
		one, err = Course{Seed: seed, Length: 5 * time.Second}.Run(ctx, make())
		all = all.Add(one)
	}
	return all, err
}
