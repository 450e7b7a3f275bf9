package main

import (
	"testing"
	"time"
)

func TestUnits(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"90s": 90 * time.Second, "24h": 24 * time.Hour, "7d": 168 * time.Hour, "2w": 336 * time.Hour, "1d12h": 36 * time.Hour, "1w1d1m": 192*time.Hour + time.Minute,
		"": 0, "7": 0, "d": 0, "-1h": 0, "0s": 0, "1.5d": 0, "1d1w": 0, "99999999d": 0, "65535w": 0, "40000d": 0, "900000h": 0, "4700w": 4700 * 168 * time.Hour,
	} {
		var s span
		if err := s.UnmarshalText([]byte(text)); time.Duration(s) != want || (err == nil) != (want > 0) {
			t.Errorf("%q: %v, %v, want %v", text, time.Duration(s), err, want)
		}
	}
	for text, want := range map[string]int64{
		"1": 1, "64MiB": 64 << 20, "1.5KB": 1500, "2G": 2 << 30, "10B": 10,
		"": 0, "MiB": 0, "-1": 0, "1XB": 0, "1e30": 0, "NaN": 0, "0": 0,
	} {
		var s size
		if err := s.UnmarshalText([]byte(text)); int64(s) != want || (err == nil) != (want > 0) {
			t.Errorf("%q: %v, %v, want %v", text, s, err, want)
		}
	}
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567", -1000: "-1,000"} {
		if got := count(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
	for n, want := range map[int64]string{0: "0 B", 999: "999 B", 1500: "1.5 KB", 999_600: "1 MB", 5_000_000_000_000_000: "5e+03 TB"} {
		if got := bytesText(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
}
