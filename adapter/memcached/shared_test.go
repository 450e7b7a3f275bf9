package memcached_test

import (
	"testing"
	"time"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/adapter/memcached"
	"github.com/hapaxmq/hapax/internal/servertest"
	"github.com/hapaxmq/hapax/ledgertest"
)

// TestShared: what several processes are promised as long as nothing is evicted.
func TestShared(t *testing.T) {
	t.Parallel()
	server := servertest.Memcached(t)
	ledgertest.RunShared(t, ledgertest.Shared{
		Create: func(testing.TB) string { return prefix() }, // whose keys end with their window
		Open: func(tb testing.TB, place, through string) hapax.Ledger {
			if through == "" {
				through = server
			}
			l, err := connect(through, memcached.Options{Window: 5 * time.Minute, TokenMemory: 5 * time.Minute, BestEffort: true, Prefix: place}, 0)
			if err != nil {
				tb.Fatal(err)
			}
			return l
		},
		Address: server,
	})
}
