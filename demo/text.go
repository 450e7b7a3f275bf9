package demo

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"
)

// Paint says how text is marked on a terminal. The zero value marks nothing.
type Paint struct{ On bool }

func (p Paint) mark(code, text string) string {
	if !p.On {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

func (p Paint) bad(text string) string   { return p.mark("31", text) }
func (p Paint) good(text string) string  { return p.mark("32", text) }
func (p Paint) bold(text string) string  { return p.mark("1", text) }
func (p Paint) quiet(text string) string { return p.mark("2", text) }

// cell is a number of the table, right-aligned, marked if it is about what went wrong.
func (p Paint) cell(text string, judged, wrong bool) string {
	text = fmt.Sprintf("%12s", text)
	switch {
	case wrong:
		return p.bad(text)
	case judged:
		return p.good(text)
	}
	return text
}

// Table is both columns side by side.
func (r *Report) Table(p Paint) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n", p.bold(fmt.Sprintf("%-34s%12s%12s", "", columnNaive, columnHapax)))
	row := func(name string, judged bool, of func(Column) int64, text func(int64) string) {
		naive, hapax := of(r.Naive), of(r.Hapax)
		fmt.Fprintf(&b, "%-34s%s%s\n", name, p.cell(text(naive), judged, judged && naive > 0), p.cell(text(hapax), judged, judged && hapax > 0))
	}
	number := func(n int64) string { return fmt.Sprint(n) }
	count := func(name string, judged bool, of func(Column) int) {
		row(name, judged, func(c Column) int64 { return int64(of(c)) }, number)
	}
	count("payments accepted", false, func(c Column) int { return c.Payments })
	count("messages delivered", false, func(c Column) int { return c.Delivered })
	count("wallets credited", false, func(c Column) int { return c.Credits.Happened })
	count("  twice or more", true, func(c Column) int { return c.Credits.Doubled })
	count("e-mails sent", false, func(c Column) int { return c.Mails.Happened })
	count("  twice or more", true, func(c Column) int { return c.Mails.Doubled })
	count("settled with the bank", false, func(c Column) int { return c.Settlements.Happened })
	count("  twice or more", true, func(c Column) int { return c.Settlements.Doubled })
	count("miscounted by analytics", true, func(c Column) int { return c.Miscounted })
	count("lost", true, Column.Lost)
	row("money wrong", true, Column.Wrong, money)
	count("addresses wrong", true, func(c Column) int { return c.Misplaced })
	count("  an old one seen again", false, func(c Column) int { return c.SetBack })
	count("e-mails by a server without keys", false, func(c Column) int { return c.Keyless.Happened })
	count("  twice or more (at least once)", false, func(c Column) int { return c.Keyless.Doubled })
	return b.String()
}

// FaultTable is what each fault did, in 80 columns.
func (r *Report) FaultTable(p Paint) string {
	var b strings.Builder
	title := "what the world did, and what came of it"
	if n := r.Faults[0].Struck; n > 1 {
		title = fmt.Sprintf("what the world did, %d times each", n)
	}
	fmt.Fprintf(&b, "%s\n", p.bold(fmt.Sprintf("%-41s%-27s%s", title, columnNaive, columnHapax)))
	for _, f := range r.Faults {
		fmt.Fprintf(&b, "%s\n", f.line(p))
	}
	return b.String()
}

func (f Fault) line(p Paint) string {
	naive, hapax := fmt.Sprintf("%-27s", f.Naive), f.Hapax.String()
	if f.Naive == (Damage{}) {
		naive = p.quiet(naive)
	} else {
		naive = p.bad(naive)
	}
	if f.Hapax == (Damage{}) {
		hapax = p.good(hapax)
	} else {
		hapax = p.bad(hapax)
	}
	return fmt.Sprintf("%-41s%s%s", f.Name, naive, hapax)
}

// String lists what was wrong, such as "2 credits, 1 e-mail".
func (d Damage) String() string {
	n := d.Credits
	if n > 0 && d == (Damage{Credits: n, Mails: n, Settlements: n, Keyless: n, Miscounted: n}) {
		if n == 1 {
			return "everything twice"
		}
		return fmt.Sprintf("everything twice, of %d", n)
	}
	var all []string
	for _, of := range []struct {
		n         int
		one, many string
	}{
		{d.Credits, "credit", "credits"},
		{d.Mails, "e-mail", "e-mails"},
		{d.Keyless, "e-mail", "e-mails"},
		{d.Settlements, "settlement", "settlements"},
		{d.Miscounted, "count", "counts"},
		{d.SetBack, "set back", "set back"},
	} {
		switch {
		case of.n == 1:
			all = append(all, "1 "+of.one)
		case of.n > 1:
			all = append(all, fmt.Sprintf("%d %s", of.n, of.many))
		}
	}
	if len(all) == 0 {
		return "nothing"
	}
	return strings.Join(all, ", ")
}

// Verdict is the whole of it in a sentence.
func (r *Report) Verdict() string {
	if len(r.Problems) > 0 {
		return strings.Join(r.Problems, "; ")
	}
	n := 0
	for _, f := range r.Faults {
		n += f.Struck
	}
	text := fmt.Sprintf("Each of %d faults hit both columns. By hand, with care: %s. Hapax: each payment credited, settled, counted and told of by e-mail, once.",
		n, r.Naive.wrong(true))
	if !r.windows {
		text += " The topics have no windows here: what is written again by hand sets old addresses again."
	}
	return wrap(text, 78)
}

// wrap breaks text into lines of so many characters.
func wrap(text string, width int) string {
	var b strings.Builder
	at := 0
	for i, word := range strings.Fields(text) {
		n := utf8.RuneCountInString(word)
		switch {
		case i == 0:
		case at+1+n > width:
			b.WriteByte('\n')
			at = 0
		default:
			b.WriteByte(' ')
			at++
		}
		b.WriteString(word)
		at += n
	}
	return b.String()
}

// Live shows progress on a terminal of 80 by 24, in place.
type Live struct {
	Out   io.Writer
	Paint Paint

	drawn  int      // lines
	faults []string // the last ones
}

// Show is [Options].Watch.
func (l *Live) Show(p Progress) {
	if p.Fault != "" {
		l.faults = append(l.faults, p.Fault)
	}
	l.faults = l.faults[max(0, len(l.faults)-4):]
	var b strings.Builder
	b.WriteString(progress(p, l.Paint) + "\n\n" + p.Report.Table(l.Paint) + "\n")
	for _, name := range l.faults {
		for _, f := range p.Report.Faults {
			if f.Name == name {
				b.WriteString(f.line(l.Paint) + "\n")
			}
		}
	}
	l.Clear()
	text := strings.ReplaceAll(b.String(), "\n", "\x1b[K\n")
	_, _ = io.WriteString(l.Out, text) // nobody watches, then
	l.drawn = strings.Count(text, "\n")
}

// Clear goes back to where it began to draw.
func (l *Live) Clear() {
	if l.drawn > 0 {
		_, _ = fmt.Fprintf(l.Out, "\x1b[%dA\x1b[J", l.drawn)
	}
	l.drawn = 0
}

func progress(p Progress, paint Paint) string {
	const width = 24
	done := width * p.Waves / p.Of
	return fmt.Sprintf("%s%s %3d %%  seed %d  %v", paint.good(strings.Repeat("━", done)), paint.quiet(strings.Repeat("━", width-done)),
		100*p.Waves/p.Of, p.Report.Seed, p.Took.Round(time.Second))
}

// Line is progress in a line.
func (p Progress) Line() string {
	fault := p.Fault
	if fault == "" {
		fault = "nothing fails"
	}
	return fmt.Sprintf("%2d of %d  %5.1fs  %s", p.Waves, p.Of, p.Took.Seconds(), fault)
}
