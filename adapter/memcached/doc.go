// Package memcached is a [hapax.Ledger] in Memcached, by its commands add and cas. It is
// best effort, and who opens one says that this is known:
//
//	ledger, err := memcached.Open(memcache.New("127.0.0.1:11211"),
//		memcached.Options{Window: time.Hour, BestEffort: true})
//
// While the server keeps a message's key, exactly one copy holds its claim, an overtaken
// holder changes nothing, and what was committed is Duplicate until its window ends. But
// Memcached is a cache:
//
//   - It evicts keys when its memory is full, and a start forgets all. A message whose
//     key is gone is Fresh again, inside its window, and while somebody holds a claim on it.
//   - It tells no time. Leases are judged by the clocks of the clients, so a lease seems
//     to end earlier to a client whose clock is ahead, and tokens of a forgotten key may
//     go back by as much as clocks differ.
//   - With several servers a key moves when a server is added or taken away, and is
//     forgotten by it.
//
// It saves most of the work that duplicates cost. Where a second effect must not be, take
// a ledger that keeps what it is told.
package memcached
