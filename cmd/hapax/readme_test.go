package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestReadme runs the README's examples one after the other, as a reader would,
// and demands what it prints, apart from what is another each time. A line "…"
// stands for lines left out.
func TestReadme(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	ran := 0
	for _, example := range examplesOf(string(text)) {
		if strings.Contains(example.command, " run/") {
			continue // of make run, which fetches its input
		}
		if file, ok := strings.CutPrefix(example.command, "cat "); ok {
			if err := os.WriteFile(filepath.Join(dir, file), []byte(example.output), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		c := exec.Command("sh", "-c", example.command)
		c.Dir = dir
		c.Env = append(os.Environ(), "GORACE="+noLinger)
		output, err := c.CombinedOutput()
		if err != nil {
			t.Errorf("%s: %v", example.command, err)
		}
		got := strings.ReplaceAll(string(output), dir, "/data")
		if !matches(t, example.output, got) {
			t.Errorf("$ %s\n%s\nwant\n%s", example.command, got, example.output)
		}
		ran++
	}
	if ran < 8 {
		t.Errorf("%d examples found", ran)
	}
}

type example struct{ command, output string }

// examplesOf are the commands in the blocks of a console, and what follows each.
func examplesOf(text string) (all []example) {
	inside := false
	for line := range strings.Lines(text) {
		command, isCommand := strings.CutPrefix(line, "$ ")
		switch {
		case strings.HasPrefix(line, "```"):
			inside = strings.TrimSpace(line) == "```console"
		case inside && isCommand:
			all = append(all, example{command: strings.TrimSuffix(command, "\n")})
		case inside:
			all[len(all)-1].output += line
		}
	}
	return all
}

// matches tells whether an output is the one shown, whenever, wherever and by
// whichever build it was made.
func matches(t *testing.T, shown, got string) bool {
	pattern := regexp.QuoteMeta(shown)
	for from, to := range map[string]string{
		`\d{4}-\d\d-\d\dT[\d:]+(\\\.\d+)?Z`: `\d{4}-\d\d-\d\dT[\d:]+(\.\d+)?Z`,
		`file:[0-9a-f]+:[0-9a-f]+:`:         `file:[0-9a-f]+:[0-9a-f]+:`,
		`\d+(\\\.\d+)? KB`:                  `\d+(\.\d+)? KB`,
		`…\n`:                               `(?:.*\n)*`,
	} {
		pattern = regexp.MustCompile(from).ReplaceAllString(pattern, strings.ReplaceAll(to, "$", "$$"))
	}
	ok, err := regexp.MatchString(fmt.Sprintf("^%s$", pattern), got)
	if err != nil {
		t.Fatal(err)
	}
	return ok
}
