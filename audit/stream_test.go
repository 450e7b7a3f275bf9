package audit_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/audit"
	"github.com/hapaxmq/hapax/identity"
	"github.com/hapaxmq/hapax/internal/hookstream"
)

// webhooks is a stream of real messages, line by line, and the truth about it.
func webhooks(tb testing.TB, o hookstream.Options) ([][]byte, *hookstream.Truth) {
	tb.Helper()
	file, err := os.Open("../testdata/webhooks/payloads.json")
	if err != nil {
		tb.Fatal(err)
	}
	defer file.Close()
	if o.Payloads, err = hookstream.Load(file); err != nil {
		tb.Fatal(err)
	}
	o.Payloads = slices.DeleteFunc(o.Payloads, func(p hookstream.Payload) bool { return len(p.Body) > 4000 }) // quick to read
	var out bytes.Buffer
	truth, err := hookstream.Write(&out, o)
	if err != nil {
		tb.Fatal(err)
	}
	lines := bytes.SplitAfter(out.Bytes(), []byte("\n"))
	return lines[:len(lines)-1], truth
}

// auditLines audits lines that spec names, with digests of their payloads.
func auditLines(tb testing.TB, lines [][]byte, spec string) *audit.Report {
	tb.Helper()
	x, err := identity.Parse(spec)
	if err != nil {
		tb.Fatal(err)
	}
	var (
		a           = audit.New(audit.Options{})
		h           = identity.NewHasher([16]byte{1}).Scoped("")
		id, scratch []byte
	)
	for i, line := range lines {
		var envelope struct {
			Delivery string
			Received time.Time `json:"received_at"`
			Payload  json.RawMessage
		}
		if err := json.Unmarshal(line, &envelope); err != nil {
			tb.Fatal(err)
		}
		m := hapax.Message{Value: bytes.TrimSuffix(line, []byte("\n")), Time: envelope.Received}
		if id, err = x.Append(id[:0], &m); err != nil {
			tb.Fatal(err)
		}
		o := audit.Observation{
			Fingerprint: h.Fingerprint(id), Time: m.Time, Size: int64(len(line)),
			Position: hapax.Position{Source: "stream", Offset: int64(i)}, ID: []byte(envelope.Delivery),
		}
		o.Digest, scratch = h.Digest(scratch, envelope.Payload)
		if err := a.Add(o); err != nil {
			tb.Fatal(err)
		}
	}
	return a.Report()
}

func TestTruth(t *testing.T) {
	lines, truth := webhooks(t, hookstream.Options{Messages: 1000, Seed: 1, Duplicates: 0.15})
	for spec, want := range map[string]hookstream.Counts{
		"json:delivery":                 truth.ID,
		"content:-delivery,received_at": truth.Content,
		"line":                          truth.Line,
	} {
		r := auditLines(t, lines, spec)
		if got := (hookstream.Counts{Unique: r.Unique, Duplicates: r.Duplicates, Conflicts: r.Conflicts}); got != want {
			t.Errorf("%s: %+v, truth says %+v", spec, got, want)
		}
		if r.Messages != truth.Lines || r.Bytes != truth.Bytes || r.WithoutID != 0 {
			t.Errorf("%s: %d messages of %d bytes, truth says %d of %d", spec, r.Messages, r.Bytes, truth.Lines, truth.Bytes)
		}
		if spec != "json:delivery" {
			continue
		}
		if !r.Clock.From.Equal(truth.From) || !r.Clock.To.Equal(truth.To) {
			t.Errorf("clock from %v to %v, truth says from %v to %v", r.Clock.From, r.Clock.To, truth.From, truth.To)
		}
		for i, q := range []hookstream.Quantiles{truth.Ages.Milliseconds, truth.Ages.Messages, truth.Ages.Bytes} {
			for j, age := range []int64{q.P50, q.P90, q.P99, q.P999, q.Max} {
				w := r.Ages[i].Windows[j]
				if w.Window <= age || w.Window > age+age/128+1 {
					t.Errorf("by %s: a window of %d catches %v, the truth asks for one above %d", r.Ages[i].By, w.Window, w.Share, age)
				}
			}
		}
	}
}

// TestGolden holds how a report looks and how it reads for machines.
func TestGolden(t *testing.T) {
	lines, _ := webhooks(t, hookstream.Options{Messages: 1000, Seed: 1, Duplicates: 0.15})
	r := auditLines(t, lines, "json:delivery")
	var narrow, wide bytes.Buffer
	if err := r.WriteText(&narrow, 80); err != nil {
		t.Fatal(err)
	}
	if err := r.WriteText(&wide, 110); err != nil {
		t.Fatal(err)
	}
	machine, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "webhooks-80.txt", narrow.Bytes())
	golden(t, "webhooks-110.txt", wide.Bytes())
	golden(t, "webhooks.json", append(machine, '\n'))
}

// golden compares got with a file of testdata, which REWRITE=1 writes anew.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if os.Getenv("REWRITE") != "" {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs (REWRITE=1 go test writes it anew):\n%s", name, got)
	}
}
