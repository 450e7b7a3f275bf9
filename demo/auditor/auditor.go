// Package auditor tells what is wrong with the books of a payment gateway. It knows which
// payments were accepted, and which effects happened: rows of wallets, what the bank and a
// mail server wrote down. It knows nothing of messages, nor of who sees to it that none
// takes effect twice.
package auditor

import (
	"cmp"
	"slices"
)

// Payment is one that was accepted: its customer was told so.
type Payment struct {
	ID       string
	Customer string
	Cents    int64
}

// Effect is something that happened for a payment, such as a credit. Each payment is due
// one of each kind, of its amount.
type Effect struct {
	Kind    string
	Payment string
	Cents   int64
}

// Finding is a payment that did not have one effect of a kind, of its amount.
type Finding struct {
	Kind    string
	Payment string
	Times   int   // how often it happened
	Cents   int64 // how much too much; below zero: too little
}

// Sum is what is to be said of a kind of effect.
type Sum struct {
	Happened int   `json:"happened"`    // effects in all
	Doubled  int   `json:"doubled"`     // payments that had more than one
	Lost     int   `json:"lost"`        // payments that had none
	Unknown  int   `json:"unknown"`     // effects of no payment
	Wrong    int64 `json:"wrong_cents"` // what was paid too much, and too little
}

// Right tells whether every payment had its effect.
func (s Sum) Right() bool { return s.Doubled == 0 && s.Lost == 0 && s.Unknown == 0 && s.Wrong == 0 }

// Audit compares payments, whose ids differ, with the effects of one kind.
func Audit(kind string, payments []Payment, effects []Effect) (s Sum, found []Finding) {
	type booked struct {
		times int
		cents int64
	}
	of := make(map[string]booked, len(payments))
	for _, e := range effects {
		if e.Kind == kind {
			b := of[e.Payment]
			of[e.Payment] = booked{b.times + 1, b.cents + e.Cents}
			s.Happened++
		}
	}
	for _, p := range payments {
		b := of[p.ID]
		delete(of, p.ID)
		f := Finding{kind, p.ID, b.times, b.cents - p.Cents}
		switch {
		case b.times > 1:
			s.Doubled++
		case b.times == 0:
			s.Lost++
		}
		if f.Times != 1 || f.Cents != 0 {
			found = append(found, f)
		}
		s.Wrong += max(f.Cents, -f.Cents)
	}
	for id, b := range of {
		found = append(found, Finding{kind, id, b.times, b.cents})
		s.Unknown += b.times
		s.Wrong += max(b.cents, -b.cents)
	}
	slices.SortFunc(found, func(a, b Finding) int { return cmp.Compare(a.Payment, b.Payment) })
	return s, found
}

// Total is what is counted of a customer's payments.
type Total struct {
	Customer string
	Payments int
	Cents    int64
}

// Miscounted tells how many payments are counted too often or not at all, by totals of each
// customer. Two errors of one customer can hide each other, as in all totals.
func Miscounted(payments []Payment, totals []Total) (n int) {
	off := map[string]int{}
	for _, p := range payments {
		off[p.Customer]--
	}
	for _, t := range totals {
		off[t.Customer] += t.Payments
	}
	for _, by := range off {
		n += max(by, -by)
	}
	return n
}

// Move is a customer's new address. The moves of a customer have rising numbers.
type Move struct {
	Number   int
	Customer string
	Address  string
}

// SetBack tells how often a customer who had moved was seen at an older address again,
// by all addresses that were seen, in their order.
func SetBack(seen []Move) (n int) {
	newest := map[string]int{}
	for _, m := range seen {
		if m.Number < newest[m.Customer] {
			n++
		}
		newest[m.Customer] = max(newest[m.Customer], m.Number)
	}
	return n
}

// Misplaced tells how many customers are not at the address that they moved to last.
func Misplaced(moves []Move, at map[string]string) (n int) {
	last := map[string]Move{}
	for _, m := range moves {
		if m.Number >= last[m.Customer].Number {
			last[m.Customer] = m
		}
	}
	for customer, m := range last {
		if at[customer] != m.Address {
			n++
		}
	}
	return n
}
