package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestGuides runs the guides' examples as TestReadme does those of the README, each guide
// in a folder of its own.
func TestGuides(t *testing.T) {
	t.Parallel()
	ran := 0
	guides, err := filepath.Glob("../../docs/guides/*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, guide := range guides {
		text, err := os.ReadFile(guide)
		if err != nil {
			t.Fatal(err)
		}
		dir := t.TempDir()
		for _, example := range examplesOf(string(text)) {
			ran++
			if file, ok := strings.CutPrefix(example.command, "cat "); ok {
				if err := os.WriteFile(filepath.Join(dir, file), []byte(example.output), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			c := exec.Command("sh", "-c", example.command)
			c.Dir, c.Env = dir, append(os.Environ(), "GORACE="+noLinger)
			output, err := c.CombinedOutput()
			if err != nil || !matches(t, example.output, string(output)) {
				t.Errorf("%s\n$ %s\n%s%v\nwant\n%s", guide, example.command, output, err, example.output)
			}
		}
	}
	if ran < 6 {
		t.Errorf("%d examples found", ran)
	}
}
