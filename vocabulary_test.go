package hapax_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/hapaxmq/hapax"
)

func TestWindowValidate(t *testing.T) {
	for _, test := range []struct {
		window hapax.Window
		want   string // in the error; empty for none
	}{
		{hapax.Window{Time: time.Hour}, ""},
		{hapax.Window{Time: time.Millisecond}, ""},
		{hapax.Window{Count: 1}, ""},
		{hapax.Window{Bytes: 1}, ""},
		{hapax.Window{Time: time.Hour, Count: 10, Bytes: 1 << 30, Kind: hapax.Renewed}, ""},
		{hapax.Window{Count: 10, Kind: hapax.Tumbling}, ""},
		{hapax.Window{Unbounded: true}, ""},
		{hapax.Window{Time: time.Hour, EventTime: true, Skew: time.Minute}, ""},
		{hapax.Window{}, "no bound"},
		{hapax.Window{Time: -1}, "negative"},
		{hapax.Window{Time: time.Hour, Count: -1}, "negative"},
		{hapax.Window{Time: time.Hour, Bytes: -1}, "negative"},
		{hapax.Window{Count: 1, Unbounded: true}, "both bounded and unbounded"},
		{hapax.Window{Time: time.Hour, Kind: hapax.Tumbling + 1}, "unknown kind 3"},
		{hapax.Window{Unbounded: true, Kind: hapax.Renewed}, "renewed needs a bound"},
		{hapax.Window{Count: 1, EventTime: true}, "needs Time"},
		{hapax.Window{Time: time.Hour, Skew: time.Minute}, "Skew"},
		{hapax.Window{Time: time.Hour, EventTime: true, Skew: -1}, "Skew"},
		{hapax.Window{Time: time.Millisecond - 1}, "shorter than 1ms"},
	} {
		switch err := test.window.Validate(); {
		case test.want == "" && err != nil:
			t.Errorf("%+v: %v", test.window, err)
		case test.want != "" && err == nil:
			t.Errorf("%+v passed, want an error with %q", test.window, test.want)
		case test.want != "" && !strings.Contains(err.Error(), test.want):
			t.Errorf("%+v: error %q, want one with %q", test.window, err, test.want)
		}
	}
}

func TestWindowString(t *testing.T) {
	for _, test := range []struct {
		window hapax.Window
		want   string
	}{
		{hapax.Window{Time: 24 * time.Hour, Count: 1000}, "24h0m0s or 1000 ids, first"},
		{hapax.Window{Bytes: 4096, Kind: hapax.Tumbling}, "4096 bytes, tumbling"},
		{hapax.Window{Time: time.Hour, Kind: hapax.Renewed, EventTime: true}, "1h0m0s, renewed, event time"},
		{hapax.Window{Unbounded: true}, "for ever, first"},
	} {
		if got := test.window.String(); got != test.want {
			t.Errorf("got %q, want %q", got, test.want)
		}
	}
}

func TestWindowKindRoundTrip(t *testing.T) {
	for _, k := range []hapax.WindowKind{hapax.First, hapax.Renewed, hapax.Tumbling} {
		got, err := hapax.ParseWindowKind(k.String())
		if err != nil || got != k {
			t.Errorf("%v was read back as %v, %v", k, got, err)
		}
	}
	for _, s := range []string{"", "First", "sliding", "WindowKind(3)"} {
		if k, err := hapax.ParseWindowKind(s); err == nil {
			t.Errorf("%q was read as %v", s, k)
		}
	}
}

// TestWords: every value of the vocabulary has a word, and others do not panic.
func TestWords(t *testing.T) {
	for _, test := range []struct {
		value fmt.Stringer
		want  string
	}{
		{hapax.Fresh, "fresh"},
		{hapax.Duplicate, "duplicate"},
		{hapax.Redelivered, "redelivered"},
		{hapax.InFlight, "in flight"},
		{hapax.Conflict, "conflict"},
		{hapax.Late, "late"},
		{hapax.Stale, "stale"},
		{hapax.Verdict(0), "Verdict(0)"},
		{hapax.Verdict(255), "Verdict(255)"},
		{hapax.Executed, "executed"},
		{hapax.Replayed, "replayed"},
		{hapax.Held, "held"},
		{hapax.Conflicted, "conflicted"},
		{hapax.Failed, "failed"},
		{hapax.Lost, "lost"},
		{hapax.Doubtful, "doubtful"},
		{hapax.Unanswered, "unanswered"},
		{hapax.Passed, "passed"},
		{hapax.Nameless, "nameless"},
		{hapax.Outdated, "outdated"},
		{hapax.Forfeited, "forfeited"},
		{hapax.Outcome(0), "Outcome(0)"},
		{hapax.Outcome(255), "Outcome(255)"},
		{hapax.Tumbling, "tumbling"},
		{hapax.WindowKind(255), "WindowKind(255)"},
	} {
		if got := test.value.String(); got != test.want {
			t.Errorf("got %q, want %q", got, test.want)
		}
	}
}

func TestInFlightError(t *testing.T) {
	err := fmt.Errorf("consume: %w", &hapax.InFlightError{RetryAfter: 3 * time.Second})
	if !errors.Is(err, hapax.ErrInFlight) {
		t.Errorf("%v is not ErrInFlight", err)
	}
	if errors.Is(err, hapax.ErrConflict) {
		t.Errorf("%v is ErrConflict", err)
	}
	var e *hapax.InFlightError
	if !errors.As(err, &e) || e.RetryAfter != 3*time.Second {
		t.Errorf("%v does not carry its delay", err)
	}
	if want := "consume: hapax: in flight elsewhere: ask again in 3s"; err.Error() != want {
		t.Errorf("got %q, want %q", err, want)
	}
}

func TestMessageHeader(t *testing.T) {
	m := hapax.Message{Headers: []hapax.Header{{Name: "id", Value: []byte("1")}, {Name: "id", Value: []byte("2")}, {Name: "empty"}}}
	for _, test := range []struct {
		name, want string
		ok         bool
	}{
		{"id", "1", true}, {"empty", "", true}, {"ID", "", false}, {"", "", false},
	} {
		if v, ok := m.Header(test.name); string(v) != test.want || ok != test.ok {
			t.Errorf("header %q: got %q, %t; want %q, %t", test.name, v, ok, test.want, test.ok)
		}
	}
}

func FuzzParseFingerprint(f *testing.F) {
	for _, s := range []string{
		"", "00", strings.Repeat("0", 32), "000102030405060708090a0b0c0d0e0f", strings.Repeat("F", 32),
		strings.Repeat("g", 32), strings.Repeat("0", 31), strings.Repeat("0", 33), strings.Repeat("é", 16),
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		fp, err := hapax.ParseFingerprint(s)
		switch {
		case err == nil && fp.String() != strings.ToLower(s):
			t.Errorf("%q was read as %v", s, fp)
		case err != nil && len(s) == 32 && strings.Trim(s, "0123456789abcdefABCDEF") == "":
			t.Errorf("%q was refused: %v", s, err)
		}
		if again, err := hapax.ParseFingerprint(fp.String()); err != nil || again != fp {
			t.Errorf("%v was read back as %v, %v", fp, again, err)
		}
	})
}
