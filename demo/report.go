package demo

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/hapaxmq/hapax/demo/auditor"
)

// Report is what the auditor found in both columns.
type Report struct {
	Seed     uint64        `json:"seed"`
	Took     time.Duration `json:"-"`
	Seconds  float64       `json:"seconds"`
	Naive    Column        `json:"naive"`
	Hapax    Column        `json:"hapax"`
	Faults   []Fault       `json:"faults"`
	Problems []string      `json:"problems"` // why the run failed; none if it did not

	windows bool // the topics of Hapax keep each message once
}

// Column is what was found in one.
type Column struct {
	Payments    int         `json:"payments"`  // accepted
	Delivered   int         `json:"delivered"` // messages, as often as they came to a consumer
	Credits     auditor.Sum `json:"credits"`
	Mails       auditor.Sum `json:"mails"`
	Settlements auditor.Sum `json:"settlements"`
	Keyless     auditor.Sum `json:"mails_without_keys"`
	Miscounted  int         `json:"miscounted"` // payments, by analytics
	SetBack     int         `json:"set_back"`   // how often an old address was seen again
	Misplaced   int         `json:"misplaced"`  // customers whose address is an old one
}

// Lost is how many effects are missing.
func (c Column) Lost() int {
	return c.Credits.Lost + c.Mails.Lost + c.Settlements.Lost + c.Keyless.Lost
}

// Wrong is by how many cents wallets and the bank are wrong together.
func (c Column) Wrong() int64 { return c.Credits.Wrong + c.Settlements.Wrong }

// Fault is what a kind of fault did.
type Fault struct {
	Name   string `json:"name"`
	Struck int    `json:"struck"` // how often, in each column
	Naive  Damage `json:"naive"`
	Hapax  Damage `json:"hapax"`
}

// Damage counts payments and moves that had effects more than once, or not at all, or of
// another amount.
type Damage struct {
	Credits     int `json:"credits"`
	Mails       int `json:"mails"`
	Settlements int `json:"settlements"`
	Keyless     int `json:"mails_without_keys"`
	Miscounted  int `json:"miscounted"`
	SetBack     int `json:"set_back"`
}

// report audits what both columns have done by now.
func (c *conductor) report(ctx context.Context, waves []wave) (r Report, err error) {
	r.Seed, r.windows = c.o.Seed, c.ground.own
	var struck []*fault
	for _, w := range waves {
		if w.fault != nil {
			struck = append(struck, w.fault)
		}
	}
	for _, k := range kinds() {
		f := Fault{Name: k.name}
		for _, s := range struck {
			if s.name == k.name {
				f.Struck++
			}
		}
		r.Faults = append(r.Faults, f)
	}
	for _, col := range c.columns {
		to, damage := &r.Naive, func(i int) *Damage { return &r.Faults[i].Naive }
		if col.name == columnHapax {
			to, damage = &r.Hapax, func(i int) *Damage { return &r.Faults[i].Hapax }
		}
		if err := c.audit(ctx, col, to, struck, damage); err != nil {
			return r, err
		}
	}
	return r, nil
}

// audit gives the auditor a column's payments and effects, and says by which faults its
// findings are.
func (c *conductor) audit(ctx context.Context, col *column, to *Column, struck []*fault, damage func(kind int) *Damage) error {
	payments, moves := col.client.told()
	effects := c.offices.effects(col.name)
	credits, err := col.books.credits(ctx)
	if err != nil {
		return err
	}
	effects = append(effects, credits...)
	totals, err := col.books.totals(ctx)
	if err != nil {
		return err
	}
	homes, err := col.books.homes(ctx)
	if err != nil {
		return err
	}
	to.Payments = len(payments)
	to.Miscounted = auditor.Miscounted(payments, totals)
	to.Misplaced = auditor.Misplaced(moves, homes)
	seen, delivered := c.tally.seen(col.name)
	to.Delivered = delivered
	to.SetBack = auditor.SetBack(movesOf(seen, moves))
	kindOf := func(name string) int {
		return slices.IndexFunc(kinds(), func(k kind) bool { return k.name == name })
	}
	for kind, sum := range map[string]*auditor.Sum{effectCredit: &to.Credits, effectMail: &to.Mails, effectSettlement: &to.Settlements, effectKeyless: &to.Keyless} {
		found, findings := auditor.Audit(kind, payments, effects)
		*sum = found
		for _, f := range struck {
			d := damage(kindOf(f.name))
			count := map[string]*int{effectCredit: &d.Credits, effectMail: &d.Mails, effectSettlement: &d.Settlements, effectKeyless: &d.Keyless}[kind]
			for _, finding := range findings {
				if slices.Contains(f.ids, finding.Payment) {
					*count++
				}
			}
		}
	}
	for _, f := range struck {
		d := damage(kindOf(f.name))
		of := slices.DeleteFunc(slices.Clone(seen), func(id string) bool { return !slices.Contains(f.ids, id) })
		d.SetBack += auditor.SetBack(movesOf(of, moves))
		d.Miscounted += auditor.Miscounted(
			slices.DeleteFunc(slices.Clone(payments), func(p auditor.Payment) bool { return p.Customer != f.customer }),
			slices.DeleteFunc(slices.Clone(totals), func(t auditor.Total) bool { return t.Customer != f.customer }))
	}
	return nil
}

// movesOf are those with these ids, as often and in that order.
func movesOf(ids []string, moves []auditor.Move) (all []auditor.Move) {
	for _, id := range ids {
		var number int
		if _, err := fmt.Sscanf(id, "m-%d", &number); err != nil {
			continue
		}
		if i := slices.IndexFunc(moves, func(m auditor.Move) bool { return m.Number == number }); i >= 0 {
			all = append(all, moves[i])
		}
	}
	return all
}

// judge says why the run failed, if it did.
func (r *Report) judge() {
	r.Seconds = r.Took.Seconds()
	if wrong := r.Hapax.wrong(r.windows); wrong != "" {
		r.Problems = append(r.Problems, "the column of Hapax is not perfect: "+wrong)
	}
	if r.Naive.wrong(true) == "" {
		r.Problems = append(r.Problems, "the naive column is perfect: the faults were not real")
	}
}

// wrong says what is wrong with a column. What was sent without a key may be doubled, but
// not lost; addresses may be old ones for a while.
func (c Column) wrong(windows bool) string {
	var all []string
	say := func(n int, what string) {
		if n > 0 {
			all = append(all, fmt.Sprintf("%d %s", n, what))
		}
	}
	say(c.Credits.Doubled, "credited twice")
	say(c.Mails.Doubled, "e-mails doubled")
	say(c.Settlements.Doubled, "settled twice")
	say(c.Lost(), "lost")
	say(c.Credits.Unknown+c.Mails.Unknown+c.Settlements.Unknown+c.Keyless.Unknown, "of no payment")
	say(c.Miscounted, "miscounted")
	if windows {
		say(c.Misplaced, "addresses wrong")
	}
	if c.Wrong() > 0 {
		all = append(all, "money wrong by "+money(c.Wrong()))
	}
	return strings.Join(all, ", ")
}

func money(cents int64) string { return fmt.Sprintf("%d.%02d", cents/100, cents%100) }
