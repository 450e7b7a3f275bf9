package clients

import "testing"

// TestTransactionsUnderKill: the broker is killed while a member reads, transforms
// and writes in transactions. A program that ends by that is started again, as
// whoever runs it would do. Who reads committed sees the outcome of each record once.
//
// kafka-python 3.0 is left out, for what it does with Apache Kafka too: if the broker
// refuses the connection over which it is to ask its coordinator for something, it
// forgets the request and waits for the answer, without end
// (Sender._maybe_send_pending_request); and it may commit offsets of a transaction in
// which not all records are that it was to write.
func TestTransactionsUnderKill(t *testing.T) {
	t.Parallel()
	each(t, "transform", func(t *testing.T, c client) {
		if c.cannot("killed broker") {
			t.Skipf("%s does not get over a broker's death", c.name)
		}
		const kills = 3
		n := start(t)
		from, to := "in", "out"
		n.topic(from, partitions)
		n.topic(to, partitions)
		g := newGathering(t, n, from)
		g.readCommitted(n, to)
		r := &revived{gathering: g, begin: func() *member {
			return g.watch("it", c.run(t, n, "transform", "group", from, to, "id"))
		}}
		g.keepWriting()
		r.awaitMore(200)
		for range kills {
			n.kill()
			r.awaitMore(200)
		}
		g.stopWriting()
		r.awaitAll(g.written)
		t.Logf("%d kills, %d starts", kills, r.starts)
		for number, times := range g.handled {
			if times != 1 {
				t.Errorf("record %d came out %d times", number, times)
			}
		}
	})
}

// revived is a member whose program is started again when it is over.
type revived struct {
	*gathering
	begin  func() *member
	member *member
	starts int
}

// awaitMore returns when n more records than now are handled.
func (r *revived) awaitMore(n int) {
	r.Helper()
	r.mu.Lock()
	count := len(r.handled) + n
	r.mu.Unlock()
	r.awaitAll(count)
}

// awaitAll returns when so many records are handled.
func (r *revived) awaitAll(count int) {
	r.Helper()
	const most = 20
	for done := false; !done; {
		if r.member == nil || r.over() {
			if r.starts++; r.starts > most {
				r.Fatalf("it was started %d times", most)
			}
			r.member = r.begin()
		}
		r.await("it goes on, or ends", func() bool {
			done = len(r.handled) >= count
			return done || r.over()
		})
	}
}

// over tells whether the program has ended.
func (r *revived) over() bool {
	select {
	case <-r.member.ended:
		return true
	default:
		return false
	}
}
