package uniq_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/identity"
	"github.com/hapaxmq/hapax/internal/lines"
	"github.com/hapaxmq/hapax/ledger"
	"github.com/hapaxmq/hapax/uniq"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func parse(t rapid.TB, spec string) *identity.Extractor {
	x, err := identity.Parse(spec)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func open(t testing.TB, o ledger.Options) *ledger.Ledger {
	o.Window.Unbounded = o.Window == hapax.Window{}
	l, err := ledger.Open("", o)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// naive does with maps what a run must do.
type naive struct {
	id, missing, conflicts         string
	unique, duplicates, conflicted strings.Builder
	stats                          uniq.Stats
	seen                           map[string]string // payload by id
}

func (n *naive) line(text string) {
	value := strings.TrimSuffix(text, "\n")
	n.stats.Read++
	n.stats.Bytes += int64(len(text))
	id, payload := value, value
	if n.id != "line" {
		var fields struct {
			ID      *int
			Payload int
		}
		if err := json.Unmarshal([]byte(value), &fields); err != nil {
			panic(err)
		}
		payload = fmt.Sprint(fields.Payload)
		switch {
		case fields.ID != nil:
			id = fmt.Sprint(*fields.ID)
		case n.missing == "pass":
			n.stats.WithoutID++
			n.unique.WriteString(text)
			return
		default:
			n.stats.ByContent++
			id = "content " + payload
		}
	}
	first, again := n.seen[id]
	switch {
	case !again:
		n.seen[id] = payload
		n.stats.Unique++
		n.unique.WriteString(text)
	case first != payload && n.conflicts != "off":
		n.stats.Conflicts++
		switch n.conflicts {
		case "pass":
			n.unique.WriteString(text)
		case "file":
			n.conflicted.WriteString(text)
		}
	default:
		n.stats.Duplicates++
		n.duplicates.WriteString(text)
	}
}

func TestAgreesWithMap(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		n := naive{
			id:        rapid.SampledFrom([]string{"line", "json:id"}).Draw(rt, "id"),
			missing:   rapid.SampledFrom([]string{"content", "pass"}).Draw(rt, "missing"),
			conflicts: rapid.SampledFrom([]string{"off", "drop", "pass", "file"}).Draw(rt, "conflicts"),
			seen:      map[string]string{},
		}
		if n.id == "line" {
			n.conflicts = "off"
		}
		line := rapid.Custom(func(rt *rapid.T) string {
			id, payload := rapid.IntRange(-1, 20).Draw(rt, "id"), rapid.IntRange(0, 3).Draw(rt, "payload")
			switch {
			case id < 0:
				return fmt.Sprintf("{\"payload\":%d}\n", payload)
			case rapid.Bool().Draw(rt, "order"):
				return fmt.Sprintf("{\"id\":%d,\"payload\":%d}\n", id, payload)
			}
			return fmt.Sprintf("{\"payload\":%d, \"id\":%d}\n", payload, id)
		})
		all := rapid.SliceOfN(line, 0, 300).Draw(rt, "lines")
		for _, text := range all {
			n.line(text)
		}
		digests := n.conflicts != "off"
		l := open(t, ledger.Options{Digests: digests})
		missing, err := identity.ParseMissingPolicy(n.missing)
		if err != nil {
			rt.Fatal(err)
		}
		var unique, duplicates, conflicts bytes.Buffer
		var progress uniq.Progress
		o := uniq.Options{
			Ledger: l, Naming: uniq.Naming{Identity: parse(rt, n.id), Missing: missing, Digests: digests},
			Unique: output(&unique), Duplicates: output(&duplicates), Progress: &progress,
		}
		switch n.conflicts {
		case "pass":
			o.OnConflict = uniq.Pass
		case "file":
			o.Conflicts = output(&conflicts)
		}
		var r io.Reader = strings.NewReader(strings.Join(all, ""))
		if rapid.Bool().Draw(rt, "halves") {
			r = iotest.HalfReader(r)
		}
		if err := errors.Join(uniq.Run(t.Context(), input(r), o), l.Close()); err != nil {
			rt.Fatal(err)
		}
		for _, pair := range [][2]string{
			{unique.String(), n.unique.String()}, {duplicates.String(), n.duplicates.String()}, {conflicts.String(), n.conflicted.String()},
		} {
			if pair[0] != pair[1] {
				rt.Fatalf("got\n%swant\n%s", pair[0], pair[1])
			}
		}
		if got := progress.Stats(); got != n.stats {
			rt.Fatalf("%+v, want %+v", got, n.stats)
		}
	})
}

func output(w io.Writer) *uniq.Output { return &uniq.Output{Name: "out", File: lose{w}} }

// recorder is a ledger that notes what it is told, and fails when told to.
type recorder struct {
	uniq.Ledger
	confirmed []ledger.Checkpoint
	synced    int
	fail      error
}

func (r *recorder) Confirm(_ context.Context, c ledger.Checkpoint) error {
	r.confirmed = append(r.confirmed, c)
	return r.fail
}

func (r *recorder) Sync(context.Context) error {
	r.synced++
	return nil
}

// TestCheckpoints: each input has one when it begins and when it ends, and so does
// the place at which a run ends before its time.
func TestCheckpoints(t *testing.T) {
	l := open(t, ledger.Options{})
	defer l.Close()
	r := &recorder{Ledger: l}
	var out bytes.Buffer
	unique := output(&out)
	unique.Path, unique.Length = "/out", 100
	source := func(name, text string, line, at int64) *lines.Input {
		return &lines.Input{
			Name: name, Reader: strings.NewReader(text), Line: line, Byte: at,
			Origin: uniq.NewSource(name, 1000, uniq.Note{Line: line, Byte: at}),
		}
	}
	all := []*lines.Input{source("a", "{\"id\":1}\n{\"id\":1}\n", 3, 50), source("b", `{"id":2}`, 0, 0), source("c", "{\"id\":3}\nx\n{\"id\":4}\n", 0, 0)}
	err := uniq.Run(t.Context(), func(yield func(*lines.Input, error) bool) {
		for _, in := range all {
			if !yield(in, nil) {
				return
			}
		}
	}, uniq.Options{Ledger: r, Naming: uniq.Naming{Identity: parse(t, "json:id")}, Unique: unique})
	if !errors.Is(err, hapax.ErrMalformed) || !strings.HasPrefix(err.Error(), "c:2: ") {
		t.Error(err)
	}
	if want := "{\"id\":1}\n{\"id\":2}\n{\"id\":3}\n"; out.String() != want {
		t.Errorf("%q, want %q", out.String(), want)
	}
	want := []string{
		`a 1000 {"line":3,"byte":50}`,
		`b 1000 {"line":0,"byte":0}`,
		`c 1000 {"line":0,"byte":0}`,
		`a 1002 {"line":5,"byte":68,"ended":true,"outputs":[{"path":"/out","length":109}]}`,
		`b 1001 {"line":1,"byte":8,"ended":true,"partial":0,"outputs":[{"path":"/out","length":117}]}`,
		`c 1001 {"line":1,"byte":9,"settled":true,"outputs":[{"path":"/out","length":127}]}`,
	}
	for i, c := range r.confirmed {
		n, err := uniq.ParseNote(c.Note)
		if err != nil {
			t.Fatal(err)
		}
		if n.Tail == nil && n.Ended || n.Tail != nil && n.Tail.End != n.Byte {
			t.Errorf("the tail of %s: %+v, want one that ends at %d", c.Source, n.Tail, n.Byte)
		}
		n.Sum, n.Tail = 0, nil
		b, err := n.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Replace(fmt.Sprintf("%s %d %s", c.Source, c.Offset, b), `,"sum":0`, "", 1); got != want[i] {
			t.Errorf("%s, want %s", got, want[i])
		}
	}
	if !unique.Settled {
		t.Error("the output is not settled, though the run ended")
	}
	if len(r.confirmed) != len(want) || r.synced != 1 {
		t.Errorf("%d checkpoints and %d syncs", len(r.confirmed), r.synced)
	}
}

// TestFailures: what cannot be written ends the run, without a checkpoint.
func TestFailures(t *testing.T) {
	broken := errors.New("broken")
	run := func(l uniq.Ledger, o *uniq.Output) error {
		in := &lines.Input{Name: "in", Reader: strings.NewReader("a\nb\n"), Origin: uniq.NewSource("in", 0, uniq.Note{})}
		return uniq.Run(t.Context(), func(yield func(*lines.Input, error) bool) { yield(in, nil) },
			uniq.Options{Ledger: l, Naming: uniq.Naming{Identity: parse(t, "line")}, Unique: o})
	}
	l := open(t, ledger.Options{})
	r := &recorder{Ledger: l}
	if err := run(r, &uniq.Output{Name: "out", File: failing{broken, nil}}); !errors.Is(err, broken) || err.Error() != "write out: broken" {
		t.Error(err)
	}
	if err := run(r, &uniq.Output{Name: "out", File: failing{nil, broken}}); !errors.Is(err, broken) || err.Error() != "sync out: broken" {
		t.Error(err)
	}
	for _, c := range r.confirmed {
		if c.Offset != 0 {
			t.Error("a checkpoint for what was not written")
		}
	}
	r.fail = broken
	o := output(io.Discard)
	if err := run(r, o); !errors.Is(err, broken) || o.Settled {
		t.Error(err, o.Settled)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	r.fail = nil
	if err := run(r, output(io.Discard)); !errors.Is(err, hapax.ErrClosed) {
		t.Error(err)
	}
}

type failing struct{ write, sync error }

func (f failing) Write(b []byte) (int, error) { return len(b), f.write }
func (f failing) Sync() error                 { return f.sync }

// TestCancelled: a run that is told to end writes a checkpoint first.
func TestCancelled(t *testing.T) {
	l := open(t, ledger.Options{})
	defer l.Close()
	ctx, cancel := context.WithCancel(t.Context())
	r := &recorder{Ledger: l}
	feed, more := io.Pipe()
	defer more.Close()
	in := &lines.Input{Name: "in", Reader: feed, Live: true, Origin: uniq.NewSource("in", 0, uniq.Note{})}
	wrote := make(chan struct{}, 1)
	ended := make(chan error)
	go func() {
		ended <- uniq.Run(ctx, func(yield func(*lines.Input, error) bool) { yield(in, nil) }, uniq.Options{
			Ledger: r, Naming: uniq.Naming{Identity: parse(t, "line")},
			Unique: &uniq.Output{Name: "out", File: telling{wrote}},
		})
	}()
	if _, err := more.Write([]byte("a\n")); err != nil {
		t.Fatal(err)
	}
	<-wrote
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if len(r.confirmed) != 2 || r.confirmed[0].Offset != 0 || r.confirmed[1].Offset != 1 {
		t.Fatalf("checkpoints %v", r.confirmed)
	}
	if n, err := uniq.ParseNote(r.confirmed[0].Note); err != nil || !n.CutShort() {
		t.Errorf("the first does not say that there is more to come: %+v, %v", n, err)
	}
	if n, err := uniq.ParseNote(r.confirmed[1].Note); err != nil || !n.Settled {
		t.Errorf("it does not say that all is written: %+v, %v", n, err)
	}
}

type telling struct{ wrote chan struct{} }

func (t telling) Write(b []byte) (int, error) {
	t.wrote <- struct{}{}
	return len(b), nil
}
func (telling) Sync() error { return nil }
