package arch

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

// TestModule holds this module to its rules.
func TestModule(t *testing.T) {
	all, err := load(os.DirFS("../.."))
	if err != nil {
		t.Fatal(err)
	}
	if len(all.sources) < 10 {
		t.Fatalf("%d Go files: is this the module?", len(all.sources))
	}
	for _, r := range rules() {
		t.Run(r.name, func(t *testing.T) {
			for _, finding := range r.find(all) {
				t.Error(finding)
			}
		})
	}
}

// TestRulesFind plants one offender a rule, which that rule alone must name.
func TestRulesFind(t *testing.T) {
	lines := strings.Repeat("\n", maxFunctionLines)
	var many strings.Builder
	for n := range maxMethods + 1 {
		fmt.Fprintf(&many, "func (t *T[K]) m%d() {}\n", n)
	}
	for _, test := range []struct {
		rule, path, content, want string
	}{
		{"imports", "do.go", `package hapax; import _ "github.com/hapaxmq/hapax/ledger"`, "do.go: imports ledger"},
		{"imports", "ledger/open.go", `package ledger; import _ "github.com/hapaxmq/hapax/cmd/hapax"`, "ledger/open.go: imports cmd/hapax"},
		{"imports", "window/deep/x.go", `package deep; import _ "github.com/hapaxmq/hapax/identity"`, "window/deep/x.go: imports identity"},
		{"imports", "newcomer/x.go", `package newcomer`, "newcomer: has no row"},
		{"pure packages", "window/x.go", `package window; import _ "sync/atomic"`, "window/x.go: imports sync/atomic"},
		{"pure packages", "do.go", `package hapax; import _ "golang.org/x/sys/cpu"`, "do.go: imports golang.org/x/sys/cpu"},
		{"packages of tests", "ledger/x.go", `package ledger; import _ "github.com/hapaxmq/hapax/ledgertest"`, "ledger/x.go: imports ledgertest"},
		{"files", "ledger/x.go", "package ledger; import \"os\"\nvar _ = os.Create", "ledger/x.go:2: calls os.Create"},
		{"files", "ledger/x.go", "package ledger; import disk \"os\"\nvar _ = disk.Stat", "ledger/x.go:2: calls os.Stat"},
		{"sizes", "ledger/x.go", "package ledger" + strings.Repeat("\n", maxFileLines+1), "has 501 lines"},
		{"sizes", "ledger/x.go", "package ledger\nfunc long() {" + lines + "}", "ledger/x.go:2: long has 71 lines"},
		{"methods", "ledger/x.go", "package ledger\ntype T[K any] int\n" + many.String(), "ledger: type T has more than 25"},
		{"init", "ledger/x_test.go", "package ledger\n\nfunc init() {}", "ledger/x_test.go:3: has an init"},
		{"names", "ledger/util.go", "package ledger", `"util" says nothing`},
		{"names", "ledger/common/x.go", "package ledger", `"common" says nothing`},
		{"names", "ledger/x.go", "package helpers", `"helpers" says nothing`},
		{"sleep", "ledger/x_test.go", "package ledger; import \"time\"\n\nvar _ = time.Sleep", "ledger/x_test.go:3: sleeps"},
		{"words", "docs/plan.md", "one\ntwo TO" + "DO", "docs/plan.md:2: says TO" + "DO"},
		{"named tests", "docs/guarantees.md", "held by\n`TestGone/disk`", "docs/guarantees.md:2: names TestGone"},
		{"named tests", "README.md", "`TestGone…`", "README.md:1: names TestGone"},
		{"quoted checks", "docs/guarantees.md", "\"Not this\", but this. Tests:\n\"… pigs\nfly\", `x`.", `quotes "… pigs fly"`},
		{"links", "docs/plan.md", "[a](https://a.example/b), [b](#b), [c](gone.md)\n# B", "links to docs/gone.md"},
		{"links", "docs/plan.md", "## It's here: `x`\n[a](#its-here-x), [b](plan.md#gone)", "links to #gone in docs/plan.md"},
		{"snippets", "README.md", "```go\n\ta := 1 // one\n```", `shows code from "a := 1 // one" on`},
		{"figures", "docs/where.md", "| 1.5 k/s | a |\nas of 2020", "docs/where.md: says 1.5 k/s"},
		{"adapters", "README.md", "`adapter/gone` and adapter/none", "README.md: names adapter/gone, which"},
		{"words", "scripts/run", "# FIX" + "ME", "scripts/run:1: says FIX" + "ME"},
	} {
		t.Run(test.rule, func(t *testing.T) {
			planted, err := load(fstest.MapFS{test.path: {Data: []byte(test.content)}})
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range rules() {
				found := r.find(planted)
				switch {
				case r.name != test.rule && len(found) > 0:
					t.Errorf("rule %q found %q", r.name, found)
				case r.name == test.rule && (len(found) != 1 || !strings.Contains(found[0], test.want)):
					t.Errorf("found %q, want %q", found, test.want)
				}
			}
		})
	}
}

// TestRulesLeaveAlone plants what looks like an offence and is none.
func TestRulesLeaveAlone(t *testing.T) {
	innocent, err := load(fstest.MapFS{
		"ledger/a.go":           {Data: []byte("package ledger\n\nimport (\n\"os\"\n_ \"sync\"\n_ \"github.com/hapaxmq/hapax/ledger/inner\"\n)\n\nvar _ = os.Getenv\n\ntype t int\n\nfunc (t) init() {}")},
		"ledger/a_test.go":      {Data: []byte("package ledger\n\nimport (\n\"os\"\n_ \"github.com/hapaxmq/hapax/cmd/hapax\"\n)\n\nvar _ = os.ReadFile\n\nfunc TestAll() {}")},
		"ledger/testdata/x.go":  {Data: []byte("no Go at all")},
		"bench/x.go":            {Data: []byte("no Go at all")},
		".git/x.go":             {Data: []byte("no Go at all")},
		"cmd/hapax/main.go":     {Data: []byte("package main\n\nimport \"os\"\n\nvar _ = os.Open")},
		"internal/vfs/vfs.go":   {Data: []byte("package vfs\n\nimport \"os\"\n\nvar _ = os.Open")},
		"ledger/generated.go":   {Data: []byte("// Code generated by x. DO NOT EDIT.\n\npackage ledger" + strings.Repeat("\n", 600))},
		"docs/testing.md":       {Data: []byte("Nothing to do, todos os dias.")},
		"docs/guarantees.md":    {Data: []byte("`TestA…` and `TestAll/x` in [a](../ledger/a_test.go), [l](../ledger), [b](../bench/x.md), [s](x.svg). Tests: \"… is\nkept\".\n```go\n// It does.\npackage ledger\n…\nvar _ = os.Getenv\n```")},
		"docs/x.svg":            {Data: []byte("<svg/>")},
		"ledgertest/x.go":       {Data: []byte("package ledgertest\n\nvar _ = \"what is kept is kept\"")},
		"docs/where.md":         {Data: []byte("12 B an id, and 1.5 ×")},
		"docs/benchmarks.md":    {Data: []byte("| 12 B/id | 1.5 × |")},
		"README.md":             {Data: []byte("`adapter/nats`")},
		"adapter/nats/x.go":     {Data: []byte("package nats")},
		"window/window.go":      {Data: []byte("package window\n\nimport (\n_ \"unsafe\"\n_ \"github.com/hapaxmq/hapax\"\n)")},
		"window/window_test.go": {Data: []byte("package window\n\nimport (\n_ \"sync\"\n_ \"pgregory.net/rapid\"\n)")},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rules() {
		if found := r.find(innocent); len(found) > 0 {
			t.Errorf("rule %q found %q", r.name, found)
		}
	}
}

// TestTable: a row may only point to rows above it, and each has one.
func TestTable(t *testing.T) {
	var seen []string
	for _, r := range table() {
		for _, below := range r.may {
			if !slices.Contains(seen, below) {
				t.Errorf("%s may import %s, which has no row before it", r.path, below)
			}
		}
		if slices.Contains(seen, r.path) {
			t.Errorf("%s has two rows", r.path)
		}
		seen = append(seen, r.path)
	}
}
