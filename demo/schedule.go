package demo

import (
	"fmt"
	"math/rand/v2"
)

// deed is what is done to a column when a fault strikes.
type deed int

const (
	kill        deed = iota + 1 // SIGKILL, and the part is started again
	throw                       // the handler returns an error
	evict                       // the group goes on without the part, as it does without one that is too slow
	loseAck                     // the connection is cut behind the broker's work, before its ack
	loseAnswer                  // the connection is cut behind the gateway's work, before its answer
	sendTwice                   // the client sends the request twice at once
	otherAmount                 // the client uses the id again, for another amount
	reread                      // a range is read again: the group's offset is set back by hand
	rewrite                     // a range is written again: its records are copied to the topic's end by hand
)

// kind is a kind of fault: who is struck, when, and by what.
type kind struct {
	name string
	part string
	step string
	do   deed
}

// kinds is what the world does.
func kinds() []kind {
	return []kind{
		{"a client's answer is lost, it asks again", partGateway, "", loseAnswer},
		{"a client asks twice at once", partGateway, "", sendTwice},
		{"a client reuses an id for another amount", partGateway, "", otherAmount},
		{"gateway killed between commit and answer", partGateway, beforeAnswer, kill},
		{"gateway killed between publish and mark", partGateway, afterPublish, kill},
		{"the broker's ack to the gateway is lost", partGateway, beforePublish, loseAck},
		{"wallet throws after its effect", partWallet, afterEffect, throw},
		{"wallet killed after its effect", partWallet, afterEffect, kill},
		{"wallet killed before its ack", partWallet, beforeAck, kill},
		{"wallet too slow with its ack", partWallet, beforeAck, evict},
		{"e-mail throws after its effect", partMail, afterEffect, throw},
		{"e-mail killed after its effect", partMail, afterEffect, kill},
		{"e-mail killed before its ack", partMail, beforeAck, kill},
		{"keyless e-mail killed after its effect", partKeyless, afterEffect, kill},
		{"keyless e-mail killed before its ack", partKeyless, beforeAck, kill},
		{"settlement killed after its effect", partSettlement, afterEffect, kill},
		{"settlement too slow with its ack", partSettlement, beforeAck, evict},
		{"analytics killed before its ack", partAnalytics, beforeAck, kill},
		{"addresses killed before its ack", partAddresses, beforeAck, kill},
		{"payments read again by hand", partWallet, "", reread},
		{"moves read again by hand", partAddresses, "", reread},
		{"payments written again by hand", partBroker, topicPayments, rewrite},
		{"moves written again by hand", partBroker, topicMoves, rewrite},
	}
}

// fault is one that strikes, both columns at the same payment or move.
type fault struct {
	kind
	of  string   // its id
	ids []string // of a range, in their order; else it alone

	customer string // whose payments they are
}

// wave is what is asked for at once. With a fault it is one payment, or one move.
type wave struct {
	payments []Payment
	moves    []Move
	fault    *fault
}

func paymentIDs(payments []Payment) (all []string) {
	for _, p := range payments {
		all = append(all, p.ID)
	}
	return all
}

func moveIDs(moves []Move) (all []string) {
	for _, m := range moves {
		all = append(all, m.ID)
	}
	return all
}

// size says how much is played.
type size struct {
	rounds int // each fault strikes once in a round
	calm   int // waves without a fault, in a round
	crowd  int // payments in such a wave
}

func fast() size { return size{rounds: 1, calm: 4, crowd: 8} }
func full() size { return size{rounds: 3, calm: 12, crowd: 8} }

// draft draws what happens.
type draft struct {
	*rand.Rand
	payments, moves int // so far
}

// schedule draws the waves of a seed. The last one is calm: all that comes before it in a
// topic has been handled when it is.
func schedule(seed uint64, s size, all []kind) (waves []wave) {
	d := &draft{Rand: rand.New(rand.NewPCG(seed, 0))}
	waves = append(waves, d.calm(s.crowd))
	for range s.rounds {
		var round []wave
		d.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		for _, k := range all {
			round = append(round, wave{fault: &fault{kind: k}})
		}
		for range s.calm {
			round = append(round, wave{})
		}
		d.Shuffle(len(round), func(i, j int) { round[i], round[j] = round[j], round[i] })
		for _, w := range round {
			if w.fault == nil {
				w = d.calm(s.crowd)
			} else {
				d.strike(&w)
			}
			waves = append(waves, w)
		}
	}
	return append(waves, d.calm(s.crowd))
}

func customers() []string { return []string{"ann", "bob", "cy", "dee"} }

func (d *draft) payment(customer string) Payment {
	d.payments++
	return Payment{fmt.Sprintf("p-%04d", d.payments), customer, 100 + d.Int64N(20_000)}
}

// move is that of one of two customers, so that a range has an old and a new address of each.
func (d *draft) move() Move {
	d.moves++
	return Move{fmt.Sprintf("m-%04d", d.moves), d.moves, customers()[d.moves%2], fmt.Sprintf("%d %s", 1+d.IntN(99), street(d.IntN(8)))}
}

func street(n int) string {
	return [...]string{"Elm Street", "Oak Road", "Mill Lane", "High Street", "Park Row", "Quay", "Church Hill", "Station Road"}[n]
}

func (d *draft) calm(crowd int) (w wave) {
	for range crowd {
		w.payments = append(w.payments, d.payment(customers()[d.IntN(len(customers()))]))
	}
	w.moves = append(w.moves, d.move())
	return w
}

// rangeLength is how many payments, or moves, a range that is replayed has.
const rangeLength = 4

// strike draws what a fault strikes: one payment, or one move, or the last of a range. Its
// payments are of a customer of their own, so that what is counted of that one is due to it.
func (d *draft) strike(w *wave) {
	f, n := w.fault, 1
	if f.ranges() {
		n = rangeLength
	}
	for range n {
		if f.part == partAddresses || f.step == topicMoves {
			w.moves = append(w.moves, d.move())
		} else {
			f.customer = fmt.Sprintf("guest-%d", d.payments-len(w.payments))
			w.payments = append(w.payments, d.payment(f.customer))
		}
	}
	f.ids = append(paymentIDs(w.payments), moveIDs(w.moves)...)
	f.of = f.ids[n-1]
}

// ranges tells whether it is about a range.
func (k kind) ranges() bool { return k.do == reread || k.do == rewrite }
