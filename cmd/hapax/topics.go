package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/hapaxmq/hapax/broker"
)

// topicsCommand is hapax topics.
type topicsCommand struct {
	operator

	Topics []string `arg:"" optional:"" name:"topic" help:"Topics. None: all."`
	JSON   bool     `name:"json" help:"Print JSON."`
}

func (*topicsCommand) examples() string {
	return `  hapax topics
  hapax topics orders payments
  hapax topics --json | jq '.[] | select(.window) | {name, records: .window.records}'

Records and duplicates by age are counted since the node was started, or since the
window was opened if that was later; by age those too that it found when it read what
was there. Ids gone early are counted since the window was turned on. A window reaches
back to the time since which it remembers every id that came.
`
}

// Run lists topics.
func (c *topicsCommand) Run(w *world) error {
	body, err := c.ask(w, "/api/v1/topics", nil)
	if err != nil {
		return err
	}
	var all []broker.TopicView
	if err := json.Unmarshal(body, &all); err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	for _, name := range c.Topics {
		if !slices.ContainsFunc(all, func(t broker.TopicView) bool { return t.Name == name }) {
			return fmt.Errorf("there is no topic %q: hapax topics lists those that there are", name)
		}
	}
	if len(c.Topics) > 0 {
		all = slices.DeleteFunc(all, func(t broker.TopicView) bool { return !slices.Contains(c.Topics, t.Name) })
	}
	if c.JSON {
		e := json.NewEncoder(w.stdout)
		e.SetIndent("", "  ")
		return e.Encode(all)
	}
	_, err = fmt.Fprint(w.stdout, topicsText(all))
	return err
}

func topicsText(all []broker.TopicView) string {
	if len(all) == 0 {
		return "There are no topics.\n"
	}
	var b strings.Builder
	for i := range all {
		if i > 0 && (all[i].Window != nil || all[i-1].Window != nil) {
			b.WriteByte('\n')
		}
		topicText(&b, &all[i])
	}
	if slices.ContainsFunc(all, func(t broker.TopicView) bool { return t.Window != nil }) {
		b.WriteString("\nRecords are counted since the node was started or, if that was later, their window began; ages since it was last opened.\n")
	}
	return b.String()
}

func topicText(b *strings.Builder, t *broker.TopicView) {
	offsets, size := int64(0), int64(0)
	for _, p := range t.Partitions {
		offsets += p.High - p.Start
		size += p.Bytes
	}
	fmt.Fprintf(b, "%s  %s, %s, %s\n", t.Name, counted(int64(len(t.Partitions)), "partition", "partitions"), counted(offsets, "offset", "offsets"), bytesText(size))
	if t.Window != nil {
		windowText(b, t.Window)
	}
}

// counted is a number of something.
func counted(n int64, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return count(n) + " " + many
}

// reachesText is how far back all ids are remembered. Some may be from before that, of
// which others are gone or were never there.
func reachesText(w *broker.WindowView) string {
	reach := time.Duration(w.Reach * float64(time.Second))
	switch {
	case w.State == "warming":
		return "not back yet: it has not read all that is there"
	case reach < time.Millisecond && w.Live > 0:
		return fmt.Sprintf("back to %s: that all are remembered is sure only of those that come from now on", timeText(w.Since))
	}
	return fmt.Sprintf("back to %s, %s", timeText(w.Since), spanText(reach))
}

// windowText is the table of a window, and the ages of its duplicates.
func windowText(b *strings.Builder, w *broker.WindowView) {
	table := tabwriter.NewWriter(b, 0, 0, 2, ' ', 0)
	row := func(name, format string, args ...any) {
		_, _ = fmt.Fprintf(table, "  "+name+"\t"+format+"\n", args...) // into memory
	}
	row("window", "%s, %s; one record of each id %s", w.Identity, w.Window, scopeText(w.Scope))
	row("state", "%s", stateText(w))
	row("unique", "%s", count(w.Records.Unique))
	row("duplicates", "%s", share(w.Records.Duplicates, w, w.Duplicates))
	if w.Conflicts != "" {
		row("conflicts", "%s", share(w.Records.Conflicts, w, w.Conflicts))
	}
	row("without id", "%s", share(w.Records.Missing, w, w.Missing))
	if w.Records.Unasked > 0 {
		row("unasked", "%s, by which the others are too low: they passed while the window was warming, full or failed", count(w.Records.Unasked))
	}
	row("remembered", "%s, of which %s on disk only", count(w.Live), count(w.Cold))
	if w.Early > 0 {
		row("gone early", "%s, for memory or disk was used up", count(w.Early))
	}
	if w.Refused > 0 {
		row("refused", "%s, for memory or disk was used up: %s", counted(w.Refused, "batch", "batches"), w.Relief)
	}
	row("reaches", "%s", reachesText(w))
	row("memory", "%s", bytesText(w.Memory))
	row("disk", "%s", bytesText(w.Disk))
	if w.State == "failed" && w.Log > 0 {
		row("log", "%s of it stay, for what the window has yet to read", bytesText(w.Log))
	}
	_ = table.Flush() // into memory
	agesText(b, w)
}

func stateText(w *broker.WindowView) string {
	return stateAlone(w) + anewText(w)
}

// anewText is when and why a window was begun in the place of another.
func anewText(w *broker.WindowView) string {
	switch {
	case w.Anew == "":
		return ""
	case w.Mode == "shadow": // in which copies always pass
		return fmt.Sprintf("; begun anew at %s because %s", timeText(w.Set), w.Anew)
	case w.State == "warming":
		return fmt.Sprintf("; begun anew at %s because %s; copies pass until it is warm", timeText(w.Set), w.Anew)
	}
	return fmt.Sprintf("; begun anew at %s because %s; copies passed until it was warm", timeText(w.Set), w.Anew)
}

func stateAlone(w *broker.WindowView) string {
	switch w.State {
	case "failed":
		if w.Mode == "shadow" {
			return "failed, and records pass uncounted until that is mended and the node is started again, or hapax.identity is taken from it and set anew: " + w.Failed
		}
		return "failed, and the topic takes nothing until that is mended and the node is started again, or hapax.identity is taken from it and set anew: " + w.Failed
	case "warming":
		text := "warming: records pass until it has read those that are there"
		if w.Short != "" {
			text = "warming, and full: records pass until there is room to read those that are there: " + w.Short
		}
		if w.Mode == "shadow" {
			text += "; then it only counts: hapax.mode=shadow"
		}
		return text
	case "counting":
		return "only counting: hapax.mode=shadow"
	}
	return w.State
}

// share is a number of records, and what becomes of them.
func share(n int64, w *broker.WindowView, fate string) string {
	text := count(n)
	if all := w.Records.Unique + w.Records.Duplicates + w.Records.Conflicts + w.Records.Missing; n > 0 {
		text += fmt.Sprintf("  %.3g %%", 100*float64(n)/float64(all))
	}
	if w.Mode == "shadow" {
		return text
	}
	return text + "  (" + fate + ")"
}

// barLength is that of the longest bar.
const barLength = 40

// agesText draws the ages of duplicates, from the youngest to the oldest that there
// are, with how many of all are no older.
func agesText(b *strings.Builder, w *broker.WindowView) {
	ages, all, most := w.Ages, int64(0), int64(0)
	for len(ages) > 0 && ages[0].Duplicates == 0 {
		ages = ages[1:]
	}
	for len(ages) > 0 && ages[len(ages)-1].Duplicates == 0 {
		ages = ages[:len(ages)-1]
	}
	if len(ages) == 0 {
		return
	}
	for _, a := range ages {
		all += a.Duplicates
		most = max(most, a.Duplicates)
	}
	b.WriteString("  duplicates by age, and how many are no older")
	if w.Slack > 0 {
		fmt.Fprintf(b, "; ages are up to %s too large", spanText(time.Duration(w.Slack)*time.Millisecond))
	} else {
		b.WriteString("; ages are too large by up to what a slice of the window took to come")
	}
	b.WriteByte('\n')
	table := tabwriter.NewWriter(b, 0, 0, 2, ' ', 0)
	younger := int64(0)
	for _, a := range ages {
		younger += a.Duplicates
		_, _ = fmt.Fprintf(table, "    %s\t%s\t%.3g %%", ageText(a), count(a.Duplicates), 100*float64(younger)/float64(all)) // into memory
		if a.Duplicates > 0 {
			_, _ = fmt.Fprintf(table, "\t%s", strings.Repeat("█", int((a.Duplicates*barLength+most-1)/most)))
		}
		_, _ = fmt.Fprintln(table)
	}
	_ = table.Flush() // into memory
}

// ageText is between which ages duplicates are.
func ageText(a broker.WindowAge) string {
	above, upTo := spanText(time.Duration(a.Above)*time.Millisecond), spanText(time.Duration(a.UpTo)*time.Millisecond)
	switch {
	case a.UpTo == 0:
		return "above " + above
	case a.Above == 0:
		return "up to " + upTo
	}
	return above + " to " + upTo
}

// spanText is a length of time to two digits or so.
func spanText(d time.Duration) string {
	for _, unit := range []struct {
		name   string
		length time.Duration
	}{{"d", 24 * time.Hour}, {"h", time.Hour}, {"m", time.Minute}, {"s", time.Second}} {
		if n := float64(d) / float64(unit.length); n >= 10 {
			return fmt.Sprintf("%.0f%s", n, unit.name)
		} else if n >= 1 {
			return strings.TrimSuffix(fmt.Sprintf("%.1f", n), ".0") + unit.name
		}
	}
	return fmt.Sprintf("%dms", d.Milliseconds())
}
