package main

import (
	"bytes"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestFull: when memory is used up, the command says so in the words of its flags,
// and not in those of the packages' options.
func TestFull(t *testing.T) {
	t.Parallel()
	var lines, numbered strings.Builder
	for n := range 255_000 {
		fmt.Fprintf(&lines, "%d\n", n)
	}
	for n := range 13_000 {
		fmt.Fprintf(&numbered, `{"p":%d,"n":1}`+"\n", n)
	}
	remembered := filepath.Join(t.TempDir(), "remembered")
	feed := func(args []string, stdin string) (code int, said string) {
		var stdout, stderr bytes.Buffer
		code = run(t.Context(), args, strings.NewReader(stdin), &stdout, &stderr)
		return code, stderr.String()
	}
	if code, said := feed([]string{"uniq", "--id", "sequence:p,n", "--ledger", remembered}, numbered.String()); code != exitOK {
		t.Fatal(said)
	}
	options := regexp.MustCompile(`\b(Max[A-Z]\w+|Evict|Sequences|Idle|Expect)\b|ledger :`)
	for _, c := range []struct {
		args   []string
		stdin  string
		advice string
	}{
		{[]string{"uniq"}, lines.String(), "(raise --max-memory, bound what is remembered by --window or --last, or keep it in a --ledger)"},
		{[]string{"uniq", "--id", "sequence:p,n"}, numbered.String(), "(raise --max-memory, or let producers that send no more be forgotten, by --window)"},
		{[]string{"uniq", "--id", "sequence:p,n", "--ledger", remembered}, numbered.String(), "(raise --max-memory)"},
		{[]string{"audit"}, lines.String(), "(raise --max-memory, or audit a part)"},
	} {
		code, said := feed(append(c.args, "--max-memory", "4MiB"), c.stdin)
		if code != exitError || !strings.HasSuffix(said, " "+c.advice+"\n") || !strings.Contains(said, "budget is used up: ") {
			t.Errorf("%v: exit code %d: %s", c.args, code, said)
		}
		if name := options.FindString(said); name != "" {
			t.Errorf("%v: it says %q: %s", c.args, name, said)
		}
	}
}
