// Package transcripttest plays transcripts: files under testdata that show, line by
// line, what is asked and what comes of it. They are tests, and they are read as a
// manual.
package transcripttest

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Say adds a line to what came of the line that is played.
type Say func(format string, args ...any)

// Play plays testdata/*.txt, each as a test of its own. A line that begins in the
// first column is done, but for comments, which begin with "#"; what came of it
// stands indented below. With rewrite that is written anew instead of compared.
//
// For each file begin makes what it is played on, and returns what does a line,
// given as its words.
func Play(t *testing.T, rewrite bool, begin func(t *testing.T, say Say) (do func(words []string))) {
	t.Helper()
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no transcripts", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := play(t, string(want), begin)
			switch {
			case got == string(want):
			case rewrite:
				if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
					t.Fatal(err)
				}
			default:
				t.Errorf("%s plays otherwise from line %s; -rewrite writes it anew", file, firstChange(string(want), got))
			}
		})
	}
}

// play returns the text with what comes of its lines.
func play(t *testing.T, text string, begin func(*testing.T, Say) func([]string)) string {
	var out strings.Builder
	do := begin(t, func(format string, args ...any) { fmt.Fprintf(&out, "  "+format+"\n", args...) })
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		if strings.HasPrefix(line, "  ") {
			continue
		}
		fmt.Fprintln(&out, line)
		if words := strings.Fields(line); len(words) > 0 && !strings.HasPrefix(line, "#") {
			do(words)
		}
	}
	return out.String()
}

// firstChange is the first line in which two texts differ, as the second has it.
func firstChange(old, now string) string {
	before, after := strings.Split(old, "\n"), strings.Split(now, "\n")
	for i, line := range after {
		if i >= len(before) || before[i] != line {
			return fmt.Sprintf("%d on: %q", i+1, line)
		}
	}
	return fmt.Sprintf("%d on: nothing", len(after))
}
