package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// size is a number of bytes: "4096", "64MiB", "1.5GB".
type size int64

// UnmarshalText is encoding.TextUnmarshaler.
func (s *size) UnmarshalText(text []byte) error {
	number := strings.TrimRight(string(text), "BKMGTib")
	unit, ok := map[string]float64{
		"": 1, "B": 1, "KB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12,
		"K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40,
		"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40,
	}[string(text[len(number):])]
	n, err := strconv.ParseFloat(number, 64)
	if err != nil || !ok || !(n*unit >= 1 && n*unit < math.MaxInt64) {
		return fmt.Errorf("%q is no size: want bytes, such as 4096, or a number with KiB, MiB, GiB or TiB (also K, M, G, T), or with KB, MB, GB or TB, such as 1.5GB", text)
	}
	*s = size(n * unit)
	return nil
}

// span is a length of time: "90s", "24h", "7d", "2w", "1d12h".
type span time.Duration

// longest is what each part of a span may be: three of them, 273 years, fit.
const longest = 91 * 365 * 24 * time.Hour

// UnmarshalText is encoding.TextUnmarshaler.
func (s *span) UnmarshalText(text []byte) error {
	rest, total := string(text), time.Duration(0)
	for _, unit := range []struct {
		letter string
		length time.Duration
	}{{"w", 7 * 24 * time.Hour}, {"d", 24 * time.Hour}} {
		number, behind, found := strings.Cut(rest, unit.letter)
		if !found {
			continue
		}
		n, err := strconv.ParseUint(number, 10, 16)
		if err != nil || time.Duration(n) > longest/unit.length {
			return spanError(text)
		}
		total, rest = total+time.Duration(n)*unit.length, behind
	}
	if rest != "" {
		d, err := time.ParseDuration(rest)
		if err != nil || d > longest {
			return spanError(text)
		}
		total += d
	}
	if total <= 0 {
		return spanError(text)
	}
	*s = span(total)
	return nil
}

func spanError(text []byte) error {
	return fmt.Errorf("%q is no length of time: want up to 91 years, with w, d, h, m, s or ms, and more than 0, such as 24h, 7d or 1d12h", text)
}

// count writes a number with commas.
func count(n int64) string {
	digits := strconv.FormatInt(n, 10)
	for at := len(digits) - 3; at > 0 && digits[at-1] != '-'; at -= 3 {
		digits = digits[:at] + "," + digits[at:]
	}
	return digits
}

// bytesText writes a number of bytes for people.
func bytesText(n int64) string {
	f := float64(n)
	for _, unit := range []string{"B", "KB", "MB", "GB"} {
		if f < 999.5 {
			return fmt.Sprintf("%.3g %s", f, unit)
		}
		f /= 1000
	}
	return fmt.Sprintf("%.3g TB", f)
}
