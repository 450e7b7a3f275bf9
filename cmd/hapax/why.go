package main

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/hapaxmq/hapax/broker"
)

// whyCommand is hapax why.
type whyCommand struct {
	operator

	Topic string   `arg:"" help:"The topic."`
	ID    []string `arg:"" name:"id" help:"The id. Of several parts, such as of header:a+key or json:a,b, each by itself, in their order; of a CloudEvent its source and its id. For a field, text that is no JSON is a string: 7 is a number, '\"7\"' is a string. For value, the value of a record."`

	Partition *int32  `placeholder:"N" help:"The partition, where hapax.scope is partition."`
	Scope     *string `placeholder:"ID" help:"What records have in common, where hapax.scope is a header or a field."`
	Encoding  string  `placeholder:"NAME" help:"How id and scope are given: hex or base64, for those that are no text."`
	JSON      bool    `name:"json" help:"Print JSON."`
}

func (*whyCommand) examples() string {
	return `  hapax why orders 72d3162e-cc78-11e3-81ab-4c9367dc0958
  hapax why --scope tenant-7 orders 1001 --json
  hapax why --encoding hex orders 00ff17c8
  hapax why orders eu 1001                  hapax.identity=header:region+key
  hapax why --broker https://kafka.example.org:8443 --http-token token.txt orders 1001

It tells whether a topic with hapax.identity remembers an id: since when, where its
first record stands, how many copies came since, and until when. Of an id that is not
remembered it tells from when on it is sure that it did not come. Where hapax.identity
has fallbacks, header:id|key, the id is looked for as each of them.

The exit code is 0 if the id is remembered, 1 if it is not, and 2 if that could not
be told.
`
}

// Run asks the node.
func (c *whyCommand) Run(w *world) error {
	known, err := c.why(w)
	switch {
	case err != nil:
		return unasked{err}
	case !known:
		return errUnseen
	}
	return nil
}

func (c *whyCommand) why(w *world) (known bool, err error) {
	query := url.Values{"part": c.ID}
	if c.Partition != nil {
		query.Set("partition", strconv.Itoa(int(*c.Partition)))
	}
	if c.Scope != nil {
		query.Set("scope", *c.Scope)
	}
	if c.Encoding != "" {
		query.Set("encoding", c.Encoding)
	}
	body, err := c.ask(w, "/api/v1/topics/"+escaped(c.Topic)+"/ids", query)
	if err != nil {
		return false, err
	}
	var seen broker.IDView
	if err := json.Unmarshal(body, &seen); err != nil {
		return false, fmt.Errorf("read the answer: %w", err)
	}
	if c.JSON {
		_, err = w.stdout.Write(body)
	} else {
		_, err = fmt.Fprint(w.stdout, whyText(&seen))
	}
	return seen.Remembered, err
}

// escaped is a segment of a path. Dots alone would be no name.
func escaped(segment string) string {
	return strings.ReplaceAll(url.PathEscape(segment), ".", "%2E")
}

// whyText says in sentences what is known of an id.
func whyText(v *broker.IDView) string {
	var b strings.Builder
	parts := make([]string, len(v.ID))
	for i, part := range v.ID {
		parts[i] = plain(part)
	}
	name := fmt.Sprintf("%s: %s", v.Topic, strings.Join(parts, " + "))
	for i := range v.Seen {
		seenText(&b, name, v, &v.Seen[i])
	}
	if !v.Remembered {
		unseenText(&b, name+inScope(v), v)
	}
	w := &v.Window
	fmt.Fprintf(&b, "The window: %s, %s; one record of each id %s.\n", w.Identity, w.Window, scopeText(w.Scope))
	if len(w.From) > 0 && w.Mode != "shadow" {
		fmt.Fprintf(&b, "It was %s: copies are dealt with from offset %s on.\n", lateText(w), offsetsText(w.From))
	}
	if w.State == "warming" {
		fmt.Fprintf(&b, "It is %s.\n", stateAlone(w))
		if w.Anew != "" {
			fmt.Fprintf(&b, "It was %s.\n", lateText(w))
		}
	}
	if w.State == "failed" {
		fmt.Fprintf(&b, "It has %s.\n", stateAlone(w))
	}
	return b.String()
}

// lateText is why a window has been enforced later than its topic was made.
func lateText(w *broker.WindowView) string {
	if w.Anew == "" {
		return "turned on, or hapax.mode=enforce was set, later than the topic was made"
	}
	return fmt.Sprintf("begun anew at %s because %s", timeText(w.Set), w.Anew)
}

func inScope(v *broker.IDView) string {
	if v.Scope == "" {
		return ""
	}
	return " within " + plain(v.Scope)
}

func seenText(b *strings.Builder, name string, v *broker.IDView, seen *broker.SeenView) {
	if seen.As != "" {
		name += " as " + seen.As
	}
	fmt.Fprintf(b, "%s%s was first seen at %s", name, inScope(v), timeText(seen.First))
	if seen.Partition != nil && seen.Offset != nil {
		fmt.Fprintf(b, ", in partition %d at offset %d", *seen.Partition, *seen.Offset)
	}
	copies := copiesText(seen.Copies)
	if w := &v.Window; w.Anew != "" && seen.First.Before(w.Set) {
		copies = fmt.Sprintf("%s, but for those that were left out before %s, which are not counted.", strings.TrimSuffix(copies, "."), timeText(w.Set))
	}
	fmt.Fprintf(b, ".\n%s %s\n", copies, fatesText(&v.Window))
	if w := &v.Window; w.Mode != "shadow" && stoodFirst(w, seen) {
		b.WriteString("Copies that came before the offsets that are named below stand in the topic.\n")
	}
	if seen.Expires != nil {
		fmt.Fprintf(b, "It is remembered until %s", timeText(*seen.Expires))
	} else {
		b.WriteString("It is remembered")
	}
	if bounds := boundsText(v.Window.Window); bounds != "" {
		if seen.Expires != nil {
			b.WriteString(", or")
		}
		b.WriteString(" until " + bounds)
	}
	b.WriteString(".\n")
}

// stoodFirst tells whether an id's first record is from before its partition's copies were
// dealt with, or may be.
func stoodFirst(w *broker.WindowView, seen *broker.SeenView) bool {
	if len(w.From) == 0 || w.State == "warming" {
		return false
	}
	if seen.Partition == nil || seen.Offset == nil {
		return true
	}
	i := int(*seen.Partition)
	return i < len(w.From) && *seen.Offset < w.From[i]
}

func unseenText(b *strings.Builder, name string, v *broker.IDView) {
	fmt.Fprintf(b, "%s is not remembered.\n", name)
	w := &v.Window
	switch v.Open {
	case 0:
	case 1:
		b.WriteString("An open transaction has a record with it, and it is remembered once that commits.\n")
	default:
		fmt.Fprintf(b, "%s open transactions have records with it, and it is remembered once one of them commits.\n", count(int64(v.Open)))
	}
	for _, part := range v.ID {
		if strings.Contains(w.Identity, "json:") && v.Encoding == "" && part != "" && part[0] != '"' && json.Valid([]byte(part)) {
			fmt.Fprintf(b, "In a field %s is no string: for that ask about '\"%[1]s\"'.\n", part)
		}
	}
	if w.State == "warming" {
		return // nobody knows yet
	}
	what := "It did not come"
	if v.Open > 0 {
		what = "No other came"
	}
	fmt.Fprintf(b, "%s since %s.\n", what, reachText(w))
	if n := w.Records.Missing; n > 0 {
		fmt.Fprintf(b, "%s without an id since the node was started or the window began. Such records %s.\n", counted(n, "record came", "records came"), missingText(w))
	}
	if w.Refused > 0 {
		fmt.Fprintf(b, "It may have come in a batch that was refused, for the window's memory or disk was used up: %s since the node was started or the window began. What helps: %s.\n", counted(w.Refused, "was", "were"), w.Relief)
	}
	if v.Early {
		fmt.Fprintf(b, "It may have come before, and have been forgotten early: %s ids have left before their window ended since it was turned on, for the window's memory or disk was used up.\n", count(w.Early))
	}
}

// reachText is since when a window knows of what came. What it read when it was turned on
// were the records that were there: of those that another one had left out nobody knows.
func reachText(w *broker.WindowView) string {
	switch {
	case len(w.From) > 0 && w.Since.Before(w.Set) && w.Anew != "":
		return fmt.Sprintf("%s, when the window was begun anew, and no record that was there then has it, back to %s; copies that were left out before are not known", timeText(w.Set), timeText(w.Since))
	case len(w.From) > 0 && w.Since.Before(w.Set):
		return fmt.Sprintf("%s, when the window was turned on, and no record that was there then has it, back to %s", timeText(w.Set), timeText(w.Since))
	case w.Since.Equal(w.Began):
		return timeText(w.Since) + ", which is when the window began"
	}
	return timeText(w.Since) + ", which is as far as the window reaches back"
}

// offsetsText is an offset of each partition, of the first ones if there are many.
func offsetsText(from []int64) string {
	const most = 10
	var texts []string
	for partition, offset := range from[:min(len(from), most)] {
		texts = append(texts, fmt.Sprintf("%d of partition %d", offset, partition))
	}
	if len(from) > most {
		texts = append(texts, "…")
	}
	return strings.Join(texts, ", ")
}

// timeText is a time to the millisecond, as the node's log has it.
func timeText(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.999Z07:00") }

func copiesText(n int64) string {
	switch n {
	case 0:
		return "No copy came since."
	case 1:
		return "1 copy came since."
	}
	return count(n) + " copies came since."
}

// fatesText says what becomes of copies, and of what is none for its value alone.
func fatesText(w *broker.WindowView) string {
	if w.Mode == "shadow" {
		return "Copies are kept, for the window only counts them: hapax.mode=shadow."
	}
	text := "Copies " + fateText(w.Duplicates)
	if w.Duplicates == "reject" {
		text += ", and not counted here"
	}
	text += "."
	if w.Conflicts == "" {
		return text
	}
	fate := fateText(w.Conflicts)
	if w.Conflicts == w.Duplicates {
		fate, _, _ = strings.Cut(fate, ",")
		fate += " too"
	}
	return text + fmt.Sprintf("\nRecords with a known id and another value %s: %s in the topic since the node was started or the window began.", fate, count(w.Records.Conflicts))
}

// fateText says what becomes of records.
func fateText(policy string) string {
	switch policy {
	case "drop":
		return "are dropped, and their producers see success"
	case "mark":
		return "are kept, with a header that names the first one"
	case "accept":
		return "are kept"
	case "reject":
		return "are refused, with all of their batch"
	}
	if topic, ok := strings.CutPrefix(policy, "topic:"); ok {
		return "go to topic " + topic
	}
	return "are dealt with by " + policy
}

// missingText says what becomes of records without an id.
func missingText(w *broker.WindowView) string {
	if w.Mode == "shadow" {
		return "are kept, for the window only counts them: hapax.mode=shadow"
	}
	return fateText(w.Missing)
}

// boundsText is which other bounds than time let an id go.
func boundsText(window string) string {
	bounds, kind, _ := strings.Cut(window, ", ")
	tumbling := kind == "tumbling"
	var others []string
	for _, bound := range strings.Split(bounds, " or ") {
		number, unit, ok := strings.Cut(bound, " ")
		n, err := strconv.ParseInt(number, 10, 64)
		switch {
		case !ok || err != nil:
		case unit == "ids" && tumbling: // those of an earlier one are gone
			others = append(others, count(n)+" ids have come to its window and one more comes")
		case unit == "bytes" && tumbling:
			others = append(others, bytesText(n)+" of records have come to its window and one more comes")
		case unit == "ids":
			others = append(others, count(n)+" other ids came")
		case unit == "bytes":
			others = append(others, bytesText(n)+" of other records came")
		}
	}
	return strings.Join(others, " or ")
}

func scopeText(scope string) string {
	switch scope {
	case "topic":
		return "in the topic"
	case "partition":
		return "in each partition"
	}
	return "among those with the same " + scope
}

// plain is text that may be anything, as it can be printed.
func plain(text string) string {
	if strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) || r == unicode.ReplacementChar }) {
		return strconv.Quote(text)
	}
	return text
}
