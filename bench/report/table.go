package report

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
)

// Report is all that a run measured.
type Report struct {
	Machine []Fact `json:"machine"`
	Lines   []Line `json:"lines"`
}

// Fact is something to know of the machine, or of a peer.
type Fact struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// JSON writes r for machines.
func (r *Report) JSON(w io.Writer) error {
	out := json.NewEncoder(w)
	out.SetIndent("", "  ")
	return out.Encode(r)
}

// Markdown writes r as tables for people.
func (r *Report) Markdown(w io.Writer) error {
	facts := [][]string{{"machine", ""}}
	for _, f := range r.Machine {
		facts = append(facts, []string{f.Name, f.Value})
	}
	lines := [][]string{{"work", "hapax", "beside", "", "ratio", "bound", "met"}}
	var notes []string
	for i := range r.Lines {
		l := &r.Lines[i]
		work := l.Work
		if l.Note != "" {
			notes = append(notes, l.Note)
			work += fmt.Sprintf(" (%d)", len(notes))
		}
		lines = append(lines, l.cells(work))
	}
	if _, err := fmt.Fprintf(w, "%s\n%s", markdown(facts), markdown(lines)); err != nil {
		return err
	}
	for i, note := range notes {
		if _, err := fmt.Fprintf(w, "\n(%d) %s\n", i+1, note); err != nil {
			return err
		}
	}
	return nil
}

func (l *Line) cells(work string) []string {
	ratio, mark := "", ""
	if l.Ratio != 0 {
		ratio = number(l.Ratio) + " ×"
	}
	if met, ok := l.Met(); ok {
		mark = map[bool]string{true: "yes", false: "**no**"}[met]
	}
	ours := l.Ours.String()
	if l.Error != "" {
		ours = "not measured: " + strings.ReplaceAll(l.Error, "\n", " ")
	}
	return []string{work, ours, l.Peer, l.Their.String(), ratio, l.Bound.String(), mark}
}

// markdown lays out rows, the first of which is the header, in aligned columns.
func markdown(rows [][]string) string {
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], len([]rune(cell)), 3)
		}
	}
	var b strings.Builder
	for at, row := range rows {
		for i, cell := range row {
			cell = strings.ReplaceAll(cell, "|", "\\|")
			fmt.Fprintf(&b, "| %s%s ", cell, strings.Repeat(" ", max(0, widths[i]-len([]rune(cell)))))
		}
		b.WriteString("|\n")
		if at > 0 {
			continue
		}
		for _, w := range widths {
			b.WriteString("|" + strings.Repeat("-", w+2))
		}
		b.WriteString("|\n")
	}
	return b.String()
}
