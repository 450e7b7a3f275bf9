package demo

import (
	"os"
	"reflect"
	"strings"
	"testing"
)

// TestFieldsAreDocumented wants each field of the report on the page that tells of them,
// and no others.
func TestFieldsAreDocumented(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../docs/demo.md")
	if err != nil {
		t.Fatal(err)
	}
	_, page, found := strings.Cut(string(text), "\n## The JSON\n")
	if !found {
		t.Fatal("docs/demo.md has no part on the JSON")
	}
	told := map[string]bool{}
	for line := range strings.Lines(page) {
		if cells := strings.Split(line, "|"); len(cells) > 2 {
			for i, word := range strings.Split(cells[1], "`") {
				if i%2 == 1 {
					told[word] = true
				}
			}
		}
	}
	fields := map[string]bool{}
	addFields(reflect.TypeFor[Report](), fields)
	if !reflect.DeepEqual(told, fields) {
		t.Errorf("docs/demo.md tells of %v, the report has %v", told, fields)
	}
}

// addFields adds the fields of a type, and of all below it.
func addFields(of reflect.Type, to map[string]bool) {
	switch of.Kind() {
	case reflect.Slice:
		addFields(of.Elem(), to)
	case reflect.Struct:
		for f := range of.Fields() {
			if name := f.Tag.Get("json"); name != "" && name != "-" {
				to[name] = true
				addFields(f.Type, to)
			}
		}
	}
}
