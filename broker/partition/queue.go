package partition

// appended is an append that may not be durable yet.
type appended struct {
	end int64 // the partition's behind it
	log int64 // the log's behind it
}

// queue is a ring of them, oldest first. What is durable is taken out when somebody
// reads, and before the ring grows: so what waits for a sync bounds it.
type queue struct {
	ring []appended // a power of two, or none
	at   int        // of the first
	n    int
}

// push adds one. A ring that is full is settled first, and grows if that makes no
// room.
func (q *queue) push(a appended, settle func()) {
	if q.n == len(q.ring) {
		settle()
	}
	if q.n == len(q.ring) {
		larger := make([]appended, max(2*len(q.ring), 4))
		for i := range q.n {
			larger[i] = q.ring[(q.at+i)&(len(q.ring)-1)]
		}
		q.ring, q.at = larger, 0
	}
	q.ring[(q.at+q.n)&(len(q.ring)-1)] = a
	q.n++
}

func (q *queue) front() (appended, bool) {
	if q.n == 0 {
		return appended{}, false
	}
	return q.ring[q.at], true
}

func (q *queue) pop() {
	q.at = (q.at + 1) & (len(q.ring) - 1)
	q.n--
}
