package audit

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// The widths that a report can be drawn in.
const (
	minWidth = 60
	maxWidth = 120
)

// WriteText writes r for people, in lines of at most width characters (60 to
// 120; what lies outside is moved inside). It contains no control characters
// but line feeds, whatever the ids hold.
func (r *Report) WriteText(w io.Writer, width int) error {
	t := text{width: min(max(width, minWidth), maxWidth)}
	t.counts(r)
	t.clock(r.Clock)
	if r.Duplicates > 0 {
		t.histogram(&r.Ages[0], r.Duplicates)
		t.windows(r)
	}
	t.offenders(r.Offenders)
	t.conflicts(r.ConflictExamples)
	_, err := w.Write(t.Bytes())
	if err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	return nil
}

type text struct {
	bytes.Buffer
	width int
}

func (t *text) line(format string, args ...any) {
	t.WriteString(strings.TrimRight(fmt.Sprintf(format, args...), " "))
	t.WriteByte('\n')
}

// rows writes a line for each row, a column as wide as its widest cell; the
// first and last columns are left-aligned, the others right.
func (t *text) rows(rows [][]string) {
	var widths []int
	for _, row := range rows {
		for i, cell := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	for _, row := range rows {
		var line strings.Builder
		for i, cell := range row {
			pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			line.WriteString("  ")
			if i == 0 || i == len(widths)-1 {
				line.WriteString(cell + pad)
			} else {
				line.WriteString(pad + cell)
			}
		}
		t.line("%s", cut(line.String(), t.width))
	}
}

func (t *text) counts(r *Report) {
	rows := [][]string{{"messages", number(r.Messages), "", size(r.Bytes)}}
	add := func(name string, n int64, note string) {
		rows = append(rows, []string{name, number(n), percent(n, r.Messages), note})
	}
	add("unique", r.Unique, "")
	add("duplicates", r.Duplicates, "")
	note := ""
	if r.Conflicts > 0 {
		note = "old id, other payload; not in ages and windows"
	}
	add("conflicts", r.Conflicts, note)
	add("without id", r.WithoutID, "")
	t.rows(rows)
}

func (t *text) clock(c *Clock) {
	if c == nil {
		return
	}
	t.line("\nEvent times")
	rows := [][]string{{"from", c.From.Format(time.RFC3339)}, {"to", c.To.Format(time.RFC3339)}}
	if c.Timeless > 0 {
		rows = append(rows, []string{"without", number(c.Timeless) + " messages"})
	}
	if c.LagMillis > 0 {
		rows = append(rows, []string{"behind", "at most " + duration(c.LagMillis) + ": a window by event time must be that much longer"})
	}
	const year = 365 * 24 * 3600 * 1000
	if c.StepMillis >= year {
		rows = append(rows, []string{"forward", fmt.Sprintf("by %s in message %s: a wrong time makes later ages too short", duration(c.StepMillis), number(c.StepMessage))})
	}
	t.rows(rows)
}

// histogram draws the ages, with the share of duplicates up to each row's end.
func (t *text) histogram(a *Ages, duplicates int64) {
	t.line("\nAge of duplicates, by %s, and the share up to it", a.By)
	var most, sum int64
	buckets := merged(a.Histogram)
	rows := make([][]string, 0, len(buckets))
	label := 0
	for _, b := range buckets {
		most = max(most, b.Duplicates)
		sum += b.Duplicates
		row := []string{span(a, b), number(b.Duplicates), percent(sum, duplicates)}
		rows = append(rows, row)
		label = max(label, utf8.RuneCountInString(row[0])+utf8.RuneCountInString(row[1])+utf8.RuneCountInString(row[2]))
	}
	room := t.width - label - 4*2 - 4
	for i, b := range buckets {
		rows[i] = append(rows[i], bar(b.Duplicates, most, room))
	}
	t.rows(rows)
}

// merged makes one bucket of empty ones in a row.
func merged(all []Bucket) []Bucket {
	var m []Bucket
	for _, b := range all {
		if last := len(m) - 1; b.Duplicates == 0 && last >= 0 && m[last].Duplicates == 0 {
			m[last].To = b.To
		} else {
			m = append(m, b)
		}
	}
	return m
}

// windows is the table of what would catch the duplicates.
func (t *text) windows(r *Report) {
	for i := range r.Ages {
		a := &r.Ages[i]
		if len(a.Windows) == 0 {
			continue
		}
		rows := [][]string{{"catches", "window", "if renewed", "ids inside", "memory", "if cold", "disk", ""}}
		for _, w := range a.Windows {
			rows = append(rows, []string{
				share(w.Share), a.value(w.Window), a.value(w.Renewed), number(w.Identities),
				size(w.HotMemory), size(w.ColdMemory), size(w.Disk), "",
			})
		}
		t.line("\nA window by %s", a.By)
		t.rows(rows)
	}
}

func (t *text) offenders(list []Offender) {
	if len(list) == 0 {
		return
	}
	t.line("\nMost copies")
	rows := [][]string{{"copies", "conflicts", "first at", "last at", "id"}}
	for _, o := range list {
		rows = append(rows, []string{number(o.Copies), number(o.Conflicts), number(o.First), number(o.Last), printable(o.ID)})
	}
	t.rows(rows)
}

func (t *text) conflicts(list []ConflictExample) {
	if len(list) == 0 {
		return
	}
	t.line("\nConflicts")
	rows := [][]string{{"message", "first at", "where", "id"}}
	for _, c := range list {
		where := fmt.Sprintf("%s:%d", printable(c.Source), c.Offset)
		rows = append(rows, []string{number(c.Message), number(c.First), where, printable(c.ID)})
	}
	t.rows(rows)
}

// bar draws n of most in at most room characters, to an eighth of one. What is
// not zero is seen.
func bar(n, most int64, room int) string {
	if n == 0 || most == 0 {
		return ""
	}
	eighths := max(int(float64(n)/float64(most)*float64(room*8)+0.5), 1)
	full, rest := eighths/8, eighths%8
	drawn := strings.Repeat("█", full)
	if rest > 0 {
		drawn += string([]rune("▏▎▍▌▋▊▉")[rest-1])
	}
	return drawn
}

// printable is s with nothing that moves a cursor or hides.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return '·'
		}
		return r
	}, s)
}

// cut shortens s to width characters and says so.
func cut(s string, width int) string {
	s = strings.TrimRight(s, " ")
	if utf8.RuneCountInString(s) <= width {
		return s
	}
	return string([]rune(s)[:width-1]) + "…"
}
