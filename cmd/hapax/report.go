package main

import (
	"fmt"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"golang.org/x/term"

	"github.com/hapaxmq/hapax/audit"
)

// width is how many columns standard output has; 80 if nobody knows.
func (w *world) width() int {
	if f, ok := w.stdout.(*os.File); ok {
		if columns, _, err := term.GetSize(int(f.Fd())); err == nil && columns > 40 {
			return columns
		}
	}
	return 80
}

// auditText is a report for people.
func auditText(r *audit.Report, width int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "messages    %s, %s\n", count(r.Messages), bytesText(r.Bytes))
	fmt.Fprintf(&b, "unique      %s\n", count(r.Unique))
	fmt.Fprintf(&b, "duplicates  %s%s\n", count(r.Duplicates), shareText(r.Duplicates, r.Messages))
	fmt.Fprintf(&b, "conflicts   %s%s\n", count(r.Conflicts), note(r.Conflicts > 0, "ids that came again with another payload; not in ages and windows (see --conflicts)"))
	fmt.Fprintf(&b, "without id  %s\n", count(r.Missing))
	if c := r.Clock; c != nil {
		fmt.Fprintf(&b, "time        %s to %s\n", c.From.Format(time.RFC3339), c.To.Format(time.RFC3339))
		fmt.Fprintf(&b, "            longest step %s at message %s, latest message %s behind its time\n",
			millis(c.StepMillis), count(c.StepMessage), millis(c.LagMillis))
		if c.Timeless > 0 {
			fmt.Fprintf(&b, "            %s without a time\n", count(c.Timeless))
		}
	}
	if r.Duplicates > 0 {
		histogram(&b, r.Ages[0], width)
		windows(&b, r.Ages)
	}
	offenders(&b, r.Offenders, width)
	conflicts(&b, r.ConflictExamples)
	return b.String()
}

func note(when bool, text string) string {
	if !when {
		return ""
	}
	return ", " + text
}

func shareText(part, whole int64) string {
	if part == 0 {
		return ""
	}
	return fmt.Sprintf(", %.3g %% of all", 100*float64(part)/float64(whole))
}

func millis(n int64) string { return spanText(time.Duration(n) * time.Millisecond) }

// value writes a number of a dimension's unit.
func value(a audit.Ages, n int64) string {
	switch a.By {
	case "time":
		return millis(n)
	case "bytes":
		return bytesText(n)
	}
	return count(n)
}

// histogram draws how many duplicates came how late.
func histogram(b *strings.Builder, a audit.Ages, width int) {
	what := map[string]string{"time": "time", "count": "messages between", "bytes": "bytes between"}[a.By]
	fmt.Fprintf(b, "\nAge of duplicates (%s since the first copy)\n", what)
	var most int64
	labels, longest := make([]string, len(a.Histogram)), 0
	for i, bucket := range a.Histogram {
		most = max(most, bucket.Duplicates)
		labels[i] = "up to " + value(a, bucket.To)
		longest = max(longest, len([]rune(labels[i])))
	}
	room := float64(max(width-longest-18, 10))
	for i, bucket := range a.Histogram {
		fmt.Fprintf(b, "  %-*s  %12s  %s\n", longest, labels[i], count(bucket.Duplicates),
			bar(float64(bucket.Duplicates)/float64(most)*room))
	}
}

// bar is a bar of that many columns, to an eighth.
func bar(columns float64) string {
	eighths := int(columns*8 + 0.5)
	if columns > 0 {
		eighths = max(eighths, 1)
	}
	text := strings.Repeat("█", eighths/8)
	if rest := eighths % 8; rest > 0 {
		text += string([]rune(" ▏▎▍▌▋▊▉")[rest])
	}
	return text
}

// windows lists what would catch the duplicates, and at what cost.
func windows(b *strings.Builder, all []audit.Ages) {
	b.WriteString("\nWindows that would catch them\n")
	t := tabwriter.NewWriter(b, 0, 0, 2, ' ', 0)
	fmt.Fprint(t, "  share\tby\twindow\trenewed\tcatches\tidentities\tRAM\tRAM if cold\tdisk\n")
	for _, a := range all {
		for _, w := range a.Windows {
			fmt.Fprintf(t, "  %g %%\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", 100*w.Share, a.By, value(a, w.Window), value(a, w.Renewed),
				count(w.Duplicates), count(w.Identities), bytesText(w.HotMemory), bytesText(w.ColdMemory), bytesText(w.Disk))
		}
	}
	_ = t.Flush() // into memory
}

func offenders(b *strings.Builder, list []audit.Offender, width int) {
	if len(list) == 0 {
		return
	}
	b.WriteString("\nMost copies\n")
	t := tabwriter.NewWriter(b, 0, 0, 2, ' ', 0)
	fmt.Fprint(t, "  copies\tconflicts\tfirst message\tlast message\tid\n")
	for _, o := range list {
		id := []rune(o.ID)
		fmt.Fprintf(t, "  %s\t%s\t%s\t%s\t%s\n", count(o.Copies), count(o.Conflicts), count(o.First), count(o.Last),
			string(id[:min(len(id), max(width-50, 20))]))
	}
	_ = t.Flush() // into memory
}

func conflicts(b *strings.Builder, list []audit.ConflictExample) {
	if len(list) == 0 {
		return
	}
	b.WriteString("\nConflicts, for example\n")
	for _, c := range list {
		fmt.Fprintf(b, "  %s:%d  other payload than message %s: %s\n", c.Source, c.Offset, count(c.First), c.ID)
	}
}
