package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
)

// TestReadme runs the examples of the README and of the page about files and pipes.
func TestReadme(t *testing.T) {
	t.Parallel()
	for page, least := range map[string]int{"README.md": 2, "docs/uniq.md": 8} {
		t.Run(page, func(t *testing.T) {
			t.Parallel()
			runPage(t, "../../"+page, least)
		})
	}
}

// runPage runs the examples of a page one after the other, as a reader would, and demands
// what it prints, apart from what is another each time. A line "…" stands for lines left
// out.
func runPage(t *testing.T, page string, least int) {
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	ran := 0
	for _, example := range examplesOf(string(text)) {
		if strings.Contains(example.command, " run/") {
			continue // of make webhooks, which fetches its input
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
	if ran < least {
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
		// What comes again to who delivers at least once, and how often, is a matter of time.
		`(?m)^((?:  )?(?:wallets|twice or|e-mails|settled|miscounted|money)[a-z ]*?) +[\d\\.]+ +([\d\\.]+)$`: `${1} +[\d.]+ +${2}`,
	} {
		pattern = regexp.MustCompile(from).ReplaceAllString(pattern, to)
	}
	ok, err := regexp.MatchString(fmt.Sprintf("^%s$", pattern), got)
	if err != nil {
		t.Fatal(err)
	}
	return ok
}

// TestReadmeSettings sets what the README and the page about the broker have
// kafka-configs.sh set for topics, all of a command at once.
func TestReadmeSettings(t *testing.T) {
	t.Parallel()
	var text []byte
	for _, page := range []string{"../../README.md", "../../docs/serve.md"} {
		of, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		text = append(text, of...)
	}
	a := ask(t)
	commands := regexp.MustCompile(`--entity-type topics --entity-name (\w+) \\\n +--(add|delete)-config '?([^'\n]+)`).FindAllStringSubmatch(string(text), -1)
	for _, c := range commands {
		topic, op := c[1], kadm.SetConfig
		if c[2] == "delete" {
			op = kadm.DeleteConfig
		}
		if a.topicIsNew(topic) {
			a.topic(topic)
		}
		var all []kadm.AlterConfig
		for _, s := range regexp.MustCompile(`([\w.]+)(?:=(\[[^]]*\]|[^,]*))?`).FindAllStringSubmatch(c[3], -1) {
			value := strings.Trim(s[2], "[]")
			all = append(all, kadm.AlterConfig{Op: op, Name: s[1], Value: &value})
		}
		if responses, err := kadm.NewClient(a.client()).AlterTopicConfigs(t.Context(), all, topic); err != nil || responses[0].Err != nil {
			t.Errorf("%s: %v, %+v", c[0], err, responses)
		}
	}
	if len(commands) != 4 {
		t.Errorf("%d commands found", len(commands))
	}
}

// topicIsNew tells whether there is no such topic yet.
func (a *asked) topicIsNew(name string) bool {
	a.Helper()
	_, out, _ := a.run("topics")
	return !strings.Contains("\n"+out, "\n"+name+"  ")
}
