package redisdb_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/adapter/redisdb"
)

// Send an e-mail once, though its message arrives twice, in whichever process.
func Example() {
	ctx := context.Background()
	client := redis.NewClient(&redis.Options{Addr: "127.0.0.1:6379", ContextTimeoutEnabled: true})
	defer client.Close()
	sent, err := redisdb.Open(ctx, client, redisdb.Options{Window: 7 * 24 * time.Hour, Durable: true})
	if err != nil {
		log.Fatal(err)
	}
	welcome := hapax.Request{Scope: "mail", Identity: hapax.Identity("signup 42"), Lease: 30 * time.Second}
	result, err := hapax.Do(ctx, sent, welcome, func(context.Context, hapax.Claim) (hapax.Receipt, error) {
		return hapax.Receipt("250 queued as 7F3A"), nil // what the mail server said
	})
	fmt.Println(result.Outcome, err)
}
