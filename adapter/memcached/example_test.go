package memcached_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/bradfitz/gomemcache/memcache"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/adapter/memcached"
)

// Save most of the work of duplicates, where doing some of it twice harms nobody.
func Example() {
	seen, err := memcached.Open(memcache.New("127.0.0.1:11211"), memcached.Options{Window: time.Hour, BestEffort: true})
	if err != nil {
		log.Fatal(err)
	}
	thumbnail := hapax.Request{Scope: "thumbnails", Identity: hapax.Identity("picture 42"), Lease: time.Minute}
	result, err := hapax.Do(context.Background(), seen, thumbnail, func(context.Context, hapax.Claim) (hapax.Receipt, error) {
		return nil, nil // draw it
	})
	fmt.Println(result.Outcome, err)
}
