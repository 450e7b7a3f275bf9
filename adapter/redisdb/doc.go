// Package redisdb is a [hapax.Ledger] in Redis 7 or newer, or in Valkey: one server,
// one behind Sentinel, or a Redis Cluster, through go-redis.
//
//	client := redis.NewClient(&redis.Options{Addr: "127.0.0.1:6379", ContextTimeoutEnabled: true})
//	ledger, err := redisdb.Open(ctx, client, redisdb.Options{Window: 7 * 24 * time.Hour})
//
// A message is one key; each step is one script and one round trip, which on a single
// server it shares with what other goroutines ask at the same moment. What leases and
// windows are measured by is the server's clock, and nobody else's.
//
// # What holds, and what voids it
//
// Between copies of a message exactly one holds a claim, and what was committed is
// Duplicate until its window ends, as long as the server forgets nothing:
//
//   - A server that evicts keys forgets at will. Open refuses one, unless
//     [Options.BestEffort] says that this is known.
//   - A server that dies forgets what it has not synced: with appendonly yes and
//     appendfsync always nothing that was answered, with everysec about a second, without
//     a file all. [Options.Durable] makes Open demand the first.
//   - Replication is asynchronous. A replica that becomes primary lacks what had not
//     reached it: those messages are Fresh again.
//   - The server's clock, set ahead, ends leases and windows early; it is what the
//     machine's wall clock shows.
//
// Tokens are the server's microseconds, or the last one and one more, whichever is
// higher. They rise as long as the message's key lives, which is for
// [Options.TokenMemory] after its lease ended; and beyond that, and over a failover that
// lost the key, as long as the new server's clock is not behind the old one's.
//
// A client that sets ContextTimeoutEnabled holds to the deadlines of contexts. One that
// does not waits for its ReadTimeout.
package redisdb
