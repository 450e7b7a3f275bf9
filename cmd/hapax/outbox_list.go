package main

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"text/tabwriter"
	"unicode/utf8"

	"github.com/hapaxmq/hapax/outbox/relay"
)

// outboxList is hapax outbox list.
type outboxList struct {
	outboxPlace

	Most int  `name:"most" default:"100" placeholder:"N" help:"How many records that were set aside are listed (default 100)."`
	JSON bool `name:"json" help:"Print JSON."`
}

func (*outboxList) examples() string {
	return `  hapax outbox list --database postgres://app@db.example.org/shop
  hapax outbox list --database sqlite:shop.db --json | jq '.set_aside[].id'

A record is set aside if the broker refuses it, however often it comes; those of its
order key wait behind it. Mend the cause and hapax outbox retry its position, or give it
up with hapax outbox discard.
`
}

// outboxView is what hapax outbox list tells as JSON.
type outboxView struct {
	Pending int64        `json:"pending"`        // not published yet, what is set aside too
	Faulty  int64        `json:"faulty"`         // of them, set aside
	Oldest  float64      `json:"oldest_seconds"` // age of the oldest of them
	Aside   []faultyView `json:"set_aside"`
}

// faultyView is a record that was set aside.
type faultyView struct {
	Position int64  `json:"position"`
	Topic    string `json:"topic"`
	ID       string `json:"id"`
	OrderKey string `json:"order_key,omitempty"`
	Binary   string `json:"order_key_hex,omitempty"` // of an order key that is no text
	Fault    string `json:"fault"`
}

func viewOf(f relay.Faulty) faultyView {
	v := faultyView{Position: f.Position, Topic: f.Topic, ID: f.ID, OrderKey: f.OrderKey, Fault: f.Fault}
	if !utf8.ValidString(f.OrderKey) {
		v.OrderKey, v.Binary = "", hex.EncodeToString([]byte(f.OrderKey))
	}
	return v
}

// Run tells what an outbox holds.
func (c *outboxList) Run(w *world) error {
	if c.Most < 1 {
		return usage("--most %d: want 1 or more", c.Most)
	}
	b, done, err := c.open(w.ctx)
	if err != nil {
		return err
	}
	defer done()
	held, err := b.Pending(w.ctx)
	if err != nil {
		return c.found(err)
	}
	faulty, err := b.Faulty(w.ctx, -1, c.Most)
	if err != nil {
		return err
	}
	view := outboxView{Pending: held.Records, Faulty: held.Faulty, Oldest: held.Oldest.Seconds(), Aside: []faultyView{}}
	for _, f := range faulty {
		view.Aside = append(view.Aside, viewOf(f))
	}
	if c.JSON {
		e := json.NewEncoder(w.stdout)
		e.SetIndent("", "  ")
		return e.Encode(view)
	}
	return c.print(w, view, held)
}

func (c *outboxList) print(w *world, view outboxView, held relay.Pending) error {
	text := "Nothing is pending.\n"
	if held.Records > 0 {
		text = fmt.Sprintf("%s pending, the oldest for %s; %s of them set aside.\n", counted(held.Records, "record is", "records are"), spanText(held.Oldest), count(held.Faulty))
	}
	if _, err := fmt.Fprint(w.stdout, text); err != nil || len(view.Aside) == 0 {
		return err
	}
	table := tabwriter.NewWriter(w.stdout, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(table, "\nPOSITION\tTOPIC\tID\tORDER KEY\tWHY") // Flush tells
	for _, f := range view.Aside {
		key := f.OrderKey
		if f.Binary != "" {
			key = "0x" + f.Binary
		}
		fmt.Fprintf(table, "%d\t%s\t%s\t%q\t%s\n", f.Position, f.Topic, f.ID, key, f.Fault)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if more := held.Faulty - int64(len(view.Aside)); more > 0 {
		_, err := fmt.Fprintf(w.stdout, "and %s more: see --most\n", count(more))
		return err
	}
	return nil
}
