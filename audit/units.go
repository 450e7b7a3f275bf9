package audit

import (
	"fmt"
	"strconv"
	"strings"
)

// Whatever a window or a cost is rounded to is not below it, so that a window
// copied from the screen catches what it should.

// value is v in the unit of a.
func (a *Ages) value(v int64) string {
	switch a.Unit {
	case "ms":
		return duration(v)
	case "bytes":
		return size(v)
	}
	return number(v)
}

// span is what a bucket holds.
func span(a *Ages, b Bucket) string {
	if b.From == b.To {
		return a.value(b.From)
	}
	return a.value(b.From) + " to " + a.value(b.To)
}

// number is n with its thousands apart: 1,234,567.
func number(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// size is a count of bytes to three digits, rounded up: "999 B", "12.4 MB".
func size(n int64) string {
	if n < 1000 {
		return fmt.Sprintf("%d B", n)
	}
	units := []string{"KB", "MB", "GB", "TB", "PB", "EB"}
	unit, scale := 0, int64(1000)
	for unit < len(units)-1 && ceil(n, scale) >= 1000 {
		unit++
		scale *= 1000
	}
	parts := int64(1)
	for _, finer := range []int64{10, 100} {
		if ceil(n, scale/finer) < 1000 {
			parts = finer
		}
	}
	return decimal(ceil(n, scale/parts), parts) + " " + units[unit]
}

// duration is a number of milliseconds as time.ParseDuration reads it, rounded
// up to two units: "850ms", "8.3s", "3m9s", "20h57m".
func duration(ms int64) string {
	const second, minute, hour = 1000, 60 * 1000, 3600 * 1000
	switch tenths := ceil(ms, second/10); {
	case ms < second:
		return fmt.Sprintf("%dms", ms)
	case tenths < 600:
		return decimal(tenths, 10) + "s"
	case ceil(ms, second) < hour/second:
		return two(ceil(ms, second), "m", "s")
	}
	return two(ceil(ms, minute), "h", "m")
}

// two writes n of a small unit with sixty of them in a large one.
func two(n int64, large, small string) string {
	if n%60 == 0 {
		return fmt.Sprintf("%d%s", n/60, large)
	}
	return fmt.Sprintf("%d%s%d%s", n/60, large, n%60, small)
}

// decimal writes n parts of a whole that has 1, 10 or 100 of them.
func decimal(n, parts int64) string {
	whole := strconv.FormatInt(n/parts, 10)
	if n%parts == 0 {
		return whole
	}
	return whole + "." + strconv.FormatInt(parts+n%parts, 10)[1:]
}

// ceil is n/d, rounded up.
func ceil(n, d int64) int64 { return n/d + min(n%d, 1) }

// percent is n of all, to a tenth: what is not zero is not shown as zero.
func percent(n, all int64) string {
	switch p := float64(n) / float64(max(all, 1)) * 100; {
	case n > 0 && p < 0.05:
		return "< 0.1 %"
	case n < all && p > 99.9:
		return "> 99.9 %"
	default:
		return fmt.Sprintf("%.1f %%", p)
	}
}

// share is a part of one as a percentage: "50 %", "99.9 %".
func share(s float64) string {
	return strings.TrimSuffix(fmt.Sprintf("%.1f", s*100), ".0") + " %"
}
