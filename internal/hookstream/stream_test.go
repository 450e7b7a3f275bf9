package hookstream

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hapaxmq/hapax"
)

func sample(tb testing.TB) []Payload {
	tb.Helper()
	file, err := os.Open("../../testdata/webhooks/payloads.json")
	if err != nil {
		tb.Fatal(err)
	}
	defer file.Close()
	payloads, err := Load(file)
	if err != nil {
		tb.Fatal(err)
	}
	return payloads
}

func stream(tb testing.TB, o Options) ([]byte, *Truth) {
	tb.Helper()
	o.Payloads = sample(tb)
	var out bytes.Buffer
	truth, err := Write(&out, o)
	if err != nil {
		tb.Fatal(err)
	}
	return out.Bytes(), truth
}

// TestGolden holds the bytes of a seed: who changes them changes every figure
// that was measured on them.
func TestGolden(t *testing.T) {
	text, truth := stream(t, Options{Messages: 1000, Seed: 7, Duplicates: 0.1})
	told, err := json.Marshal(truth)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		bytes []byte
		want  string
	}{
		"stream": {text, "4c7f10ef41cb21d0"},
		"truth":  {told, "99b961e0f3e4a7da"},
	} {
		sum := sha256.Sum256(c.bytes)
		if got := hex.EncodeToString(sum[:8]); got != c.want {
			t.Errorf("%s: sha256 starts %s, want %s", name, got, c.want)
		}
	}
	again, _ := stream(t, Options{Messages: 1000, Seed: 7, Duplicates: 0.1})
	if !bytes.Equal(text, again) {
		t.Error("the same options made other bytes")
	}
	other, _ := stream(t, Options{Messages: 1000, Seed: 8, Duplicates: 0.1})
	if bytes.Equal(text, other) {
		t.Error("another seed made the same bytes")
	}
}

// TestTruth reads streams with nothing but encoding/json and compares each
// line's verdict with its label.
func TestTruth(t *testing.T) {
	for _, o := range []Options{
		{Messages: 800, Seed: 1, Duplicates: 0.1},
		{Messages: 200, Seed: 2, Duplicates: 0},
		{Messages: 500, Seed: 3, Duplicates: 0.5, Span: time.Minute},
		{Bytes: 1 << 20, Seed: 4, Duplicates: 0.3, Span: 30 * 24 * time.Hour},
	} {
		text, truth := stream(t, o)
		lines := bytes.SplitAfter(text, []byte("\n"))
		lines = lines[:len(lines)-1]
		if int64(len(lines)) != truth.Lines || int64(len(text)) != truth.Bytes || len(truth.Labels) != len(lines) {
			t.Fatalf("seed %d: %d lines of %d bytes, truth says %d of %d with %d labels",
				o.Seed, len(lines), len(text), truth.Lines, truth.Bytes, len(truth.Labels))
		}
		ids, contents, seen := map[string]string{}, map[string]string{}, map[string]string{}
		var byID, byContent, byLine Counts
		for i, line := range lines {
			var m struct {
				Delivery, Event string
				Received        time.Time `json:"received_at"`
				Payload         any
			}
			if err := json.Unmarshal(line, &m); err != nil {
				t.Fatalf("seed %d, line %d: %v", o.Seed, i+1, err)
			}
			canonical, err := json.Marshal([]any{m.Event, m.Payload})
			if err != nil {
				t.Fatalf("seed %d, line %d: %v", o.Seed, i+1, err)
			}
			content := string(canonical)
			class := Class(truth.Labels[i])
			wantID, wantContent, wantLine := class.Verdicts()
			gotID, gotContent, gotLine := judge(ids, m.Delivery, content), judge(contents, content, ""), judge(seen, string(line), "")
			if gotID != wantID || gotContent != wantContent || gotLine != wantLine {
				t.Errorf("seed %d, line %d, %v: %v, %v, %v by id, content and line; want %v, %v, %v",
					o.Seed, i+1, class, gotID, gotContent, gotLine, wantID, wantContent, wantLine)
			}
			byID.add(gotID, 1)
			byContent.add(gotContent, 1)
			byLine.add(gotLine, 1)
		}
		if byID != truth.ID || byContent != truth.Content || byLine != truth.Line {
			t.Errorf("seed %d: counted %v, %v, %v; truth says %v, %v, %v",
				o.Seed, byID, byContent, byLine, truth.ID, truth.Content, truth.Line)
		}
	}
}

func judge(seen map[string]string, id, payload string) hapax.Verdict {
	first, ok := seen[id]
	switch {
	case !ok:
		seen[id] = payload
		return hapax.Fresh
	case first != payload:
		return hapax.Conflict
	}
	return hapax.Duplicate
}

func TestEveryClass(t *testing.T) {
	_, truth := stream(t, Options{Messages: 5000, Seed: 5, Duplicates: 0.2})
	copies := truth.Lines
	for _, k := range classes {
		if truth.Classes[k.name] == 0 {
			t.Errorf("no line of class %v", k.name)
		}
	}
	copies -= truth.Classes["fresh"]
	if share := float64(copies) / float64(truth.Lines); share < 0.17 || share > 0.23 {
		t.Errorf("%.3f of the lines are copies, want 0.2", share)
	}
	ages := truth.Ages.Milliseconds
	if ages.P50 > 10*60_000 || ages.Max < 24*3_600_000 {
		t.Errorf("ages %+v: want a median of minutes and a maximum of days", ages)
	}
	if span := truth.To.Sub(truth.From); span < 48*time.Hour || span > 96*time.Hour {
		t.Errorf("the stream spans %v, want about 72h", span)
	}
	for _, e := range truth.Examples {
		if (e.First == e.Line) != (e.Class == "fresh") || e.First > e.Line {
			t.Errorf("example %+v: a copy comes after its first", e)
		}
	}
}

// TestVaried holds what variation leaves: the shape of each payload, its
// lengths, and one value per thing wherever it is named.
func TestVaried(t *testing.T) {
	for i, p := range sample(t) {
		x, err := newTemplate(p)
		if err != nil {
			t.Fatal(err)
		}
		x.vary(1, content{template: uint32(i), base: 9, serial: 9, created: 1_770_000_000_000})
		if len(x.body) != len(p.Body) || !json.Valid(x.body) || bytes.Equal(x.body, p.Body) {
			t.Errorf("%s: varied payload is not JSON of the same length that differs", p.Event)
		}
		for _, gone := range []string{"Codertocat", "2019-05-15T"} {
			if bytes.Contains(x.body, []byte(gone)) {
				t.Errorf("%s: %q was left as it was", p.Event, gone)
			}
		}
		for _, part := range x.parts {
			for _, at := range part.at[1:] {
				if !bytes.Equal(x.body[at:at+part.width], x.body[part.at[0]:part.at[0]+part.width]) {
					t.Errorf("%s: one thing has two values", p.Event)
				}
			}
		}
	}
}

func TestSerialsNeverRepeat(t *testing.T) {
	seen := map[uint64]bool{}
	for n := range uint64(100_000) {
		s := scatter(3, n)
		if seen[s] || s >= 1<<48 {
			t.Fatalf("scatter(%d) = %d: seen before, or too large", n, s)
		}
		seen[s] = true
	}
}

func TestTimes(t *testing.T) {
	for _, seconds := range []int64{0, 951_782_399, 951_782_400, 1_709_164_800, 1_709_251_199, 4_107_542_400, 221_845_391_999} {
		want := time.Unix(seconds, 123e6).UTC().Format("2006-01-02T15:04:05.000Z")
		if got := string(appendMillis(nil, seconds*1000+123)); got != want {
			t.Errorf("%d s: %s, want %s", seconds, got, want)
		}
	}
}

func TestOptions(t *testing.T) {
	payloads := sample(t)
	for want, o := range map[string]Options{
		"no payloads":    {Messages: 1},
		"set Messages":   {Payloads: payloads},
		"0 to 0.5":       {Payloads: payloads, Messages: 1, Duplicates: 0.6},
		"before 1970":    {Payloads: payloads, Messages: 1, Start: time.Date(1960, 1, 1, 0, 0, 0, 0, time.UTC)},
		"Span":           {Payloads: payloads, Messages: 1, Span: -1},
		"no hash":        {Payloads: []Payload{{Event: "x", Body: []byte(`{"id":1}`)}}, Messages: 1},
		"scan payload":   {Payloads: []Payload{{Event: "x", Body: []byte(`{"id"`)}}, Messages: 1},
		"want an object": {Payloads: []Payload{{Event: "x", Body: []byte(`7`)}}, Messages: 1},
	} {
		if _, err := Write(new(bytes.Buffer), o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one with %q", err, want)
		}
	}
}

func TestLoad(t *testing.T) {
	if n := len(sample(t)); n != 29 {
		t.Errorf("sample holds %d payloads, want 29", n)
	}
	for _, bad := range []string{"", "[]", "{}", `[{"name":"x","examples":[1]}]`, `[{"name":"x"`} {
		if _, err := Load(strings.NewReader(bad)); err == nil {
			t.Errorf("%q: no error", bad)
		}
	}
}

// FuzzTemplate makes templates of anything that Load lets through, and streams
// of those that it can vary.
func FuzzTemplate(f *testing.F) {
	for _, p := range sample(f) {
		if len(p.Body) < 2000 {
			f.Add(p.Body)
		}
	}
	f.Add([]byte(`{"a":[{"node_id":"MDQ6VXNlcjI=x","login":"a","id":12}],"at":"2019-99-99T99:99:99Z","u":"/a/12345"}`))
	f.Add([]byte(`{"login":"","node_id":"====","updated_at":1557933657,"sha":"0000000000000000000000000000000000000000"}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		payloads, err := Load(strings.NewReader(`[{"name":"x","examples":[` + string(body) + `]}]`))
		if err != nil {
			return
		}
		var out bytes.Buffer
		truth, err := Write(&out, Options{Payloads: payloads, Messages: 20, Duplicates: 0.3, Seed: 1})
		if err != nil {
			return
		}
		lines := slices.Collect(bytes.Lines(out.Bytes()))
		unique := map[string]bool{}
		for _, line := range lines {
			if !json.Valid(line) {
				t.Fatalf("not JSON: %s", line)
			}
			unique[string(line)] = true
		}
		if int64(len(unique)) != truth.Line.Unique || len(lines) != 20 {
			t.Fatalf("%d lines, %d unique; truth says %d", len(lines), len(unique), truth.Line.Unique)
		}
	})
}

func BenchmarkWrite(b *testing.B) {
	payloads := sample(b)
	b.SetBytes(1 << 24)
	for b.Loop() {
		var sink discard
		if _, err := Write(&sink, Options{Payloads: payloads, Bytes: 1 << 24, Duplicates: 0.1}); err != nil {
			b.Fatal(err)
		}
	}
}

type discard struct{}

func (*discard) Write(p []byte) (int, error) { return len(p), nil }
