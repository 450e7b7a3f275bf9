package uniq

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"
)

func TestParseTime(t *testing.T) {
	at := time.Date(2024, 5, 1, 10, 30, 0, 250_000_000, time.UTC)
	for value, want := range map[string]time.Time{
		`"2024-05-01T10:30:00.25Z"`:      at,
		`"2024-05-01T12:30:00.25+02:00"`: at,
		`1714559400.25`:                  at,
		`1714559400250`:                  at,
		`1714559400250000`:               at,
		`1714559400250000001`:            at.Add(1),
		`0`:                              time.Unix(0, 0),
		`-1.5`:                           time.Unix(-2, 500_000_000),
	} {
		if got, err := parseTime(value); err != nil || got != want.UnixNano() {
			t.Errorf("%s: %v, %v, want %v", value, time.Unix(0, got), err, want)
		}
	}
	for value, want := range map[string]string{
		`"1714559400"`:           "RFC 3339",
		`""`:                     "RFC 3339",
		`"0001-01-01T00:00:00Z"`: "year 1",
		`true`:                   "neither",
		`{}`:                     "neither",
		`1e+25`:                  "neither",
		`99999999999999999999`:   "neither",
		`99999999999`:            "out of range",
	} {
		if _, err := parseTime(value); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", value, err, want)
		}
	}
}

func FuzzParseTime(f *testing.F) {
	for _, seed := range []string{`"2024-05-01T10:30:00Z"`, "1714559400.25", "-0.5", "1e400", `"`, "true", "null", "[]"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		if value == "" {
			t.Skip("JSON has at least a byte")
		}
		_, _ = parseTime(value)
	})
}

func FuzzParseNote(f *testing.F) {
	for _, seed := range []string{
		`{"line":5,"byte":68,"sum":7,"ended":true,"outputs":[{"path":"/out","length":109}]}`,
		`{"line":1,"byte":8,"sum":7,"partial":0,"opening":"00"}`, `{"line":-1}`, `{"partial":1}`,
		`{"line":1,"byte":8,"tail":{"begin":0,"end":8,"sum":7}}`, `{"tail":{"begin":8,"end":8}}`, ``, `[]`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		n, err := ParseNote(b)
		if err != nil {
			return
		}
		again, err := n.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ParseNote(again); err != nil {
			t.Errorf("%s: %v", again, err)
		}
	})
}

func TestMark(t *testing.T) {
	for line, want := range map[string]string{
		"a\n":                         "a\tconflict\n",
		"a":                           "a\tconflict",
		"a\r\n":                       "a\tconflict\r\n",
		"\n":                          "\tconflict\n",
		"{}\n":                        `{"hapax":"conflict"}` + "\n",
		" { } \r\n":                   ` { "hapax":"conflict"} ` + "\r\n",
		`{"a":{}}`:                    `{"a":{},"hapax":"conflict"}`,
		`{"hapax":"duplicate","a":1}`: `{"hapax":"conflict","a":1}`,
		`{ "a":"hapax","\u0068apax" : {"hapax":[1]} }` + "\n": `{ "a":"hapax","\u0068apax" : "conflict" }` + "\n",
		`{"hapax":1,"hapax":2}`:                               `{"hapax":"conflict","hapax":"conflict"}`,
		`{"a":{"hapax":1}}`:                                   `{"a":{"hapax":1},"hapax":"conflict"}`,
		"{not json}\n":                                        "{not json}\tconflict\n",
		`[{"a":1}]`:                                           "[{\"a\":1}]\tconflict",
		`{"a":1}{"b":2}` + "\n":                               `{"a":1}{"b":2}` + "\tconflict\n",
	} {
		if got := string(appendMarked(nil, []byte(line), "conflict")); got != want {
			t.Errorf("%q: %q, want %q", line, got, want)
		}
	}
}

// FuzzMark: a marked object is one still, and says so under that name.
func FuzzMark(f *testing.F) {
	for _, line := range []string{"a\n", "{}", ` {"a":{"hapax":1}} ` + "\r\n", `{"hapax":[1],"\u0068apax":{}}`, `{"\ud800":"hapax"}`} {
		f.Add([]byte(line))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		marked := appendMarked(nil, line, "conflict")
		if again := appendMarked(nil, marked, "conflict"); json.Valid(marked) && !bytes.Equal(again, marked) {
			t.Errorf("%q is marked twice: %q", line, again)
		}
		var object map[string]any
		if json.Unmarshal(line, &object) != nil || object == nil {
			return
		}
		if err := json.Unmarshal(marked, &object); err != nil || object["hapax"] != "conflict" {
			t.Errorf("%q becomes %q: %v", line, marked, err)
		}
	})
}
