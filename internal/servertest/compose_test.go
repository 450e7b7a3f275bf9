package servertest

import (
	"maps"
	"os"
	"regexp"
	"testing"
)

// TestCompose: who starts the servers by Docker has the same ones, at the same ports.
func TestCompose(t *testing.T) {
	read := func(file string, line *regexp.Regexp) map[string]string {
		text, err := os.ReadFile("../../" + file)
		if err != nil {
			t.Fatal(err)
		}
		ports := make(map[string]string)
		for _, found := range line.FindAllSubmatch(text, -1) {
			ports[string(found[1])] = string(found[2])
		}
		return ports
	}
	script := read("scripts/services", regexp.MustCompile(`(?m)^#\t([a-z-]+) +(\d+(?:-\d+)?)(?: |$)`))
	compose := read("compose.yaml", regexp.MustCompile(`(?ms)^  ([a-z-]+):$\n    image: .*?"127\.0\.0\.1:(\d+(?:-\d+)?):`))
	if len(script) < 12 || !maps.Equal(script, compose) {
		t.Errorf("scripts/services starts %v, compose.yaml %v", script, compose)
	}
}
