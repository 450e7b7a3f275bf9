package arch

import (
	"fmt"
	"go/ast"
	"go/token"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// documents are the texts for people.
func documents(t *tree) (found []text) {
	for _, x := range t.texts {
		if path.Ext(x.path) == ".md" {
			found = append(found, x)
		}
	}
	return found
}

// namedTests holds documents to the tests that they name, by `TestName` or as "what an
// exam checks": a promise whose test is gone is no promise. A link to a file of tests says
// where the tests are that stand before it in its line.
func namedTests(t *tree) (found []string) {
	tests := map[string][]string{} // file by name
	for _, s := range t.sources {
		if s.test || endsInTest(s.dir) {
			s.functions(func(f *ast.FuncDecl) { tests[f.Name.Name] = append(tests[f.Name.Name], s.path) })
		}
	}
	name := regexp.MustCompile("`((?:Test|Fuzz|Example)[A-Za-z0-9_]*)(…?)")
	linked := regexp.MustCompile(`\]\(([^)]+_test\.go)\)`)
	for _, x := range documents(t) {
		for n, line := range strings.Split(string(x.content), "\n") {
			for _, m := range name.FindAllStringSubmatchIndex(line, -1) {
				test, file := line[m[2]:m[3]], ""
				if to := linked.FindStringSubmatch(line[m[1]:]); to != nil {
					file = path.Join(path.Dir(x.path), to[1])
				}
				if !isNamed(tests, test, m[4] < m[5], file) {
					found = append(found, fmt.Sprintf("%s:%d: names %s, which is nowhere: name the test that is, or write it", x.path, n+1, test))
				}
			}
		}
	}
	return found
}

// isNamed tells whether there is such a test, or one that begins so, in that file if it
// is not empty.
func isNamed(tests map[string][]string, name string, begins bool, file string) bool {
	for known, files := range tests {
		if known != name && !(begins && strings.HasPrefix(known, name)) {
			continue
		}
		if file == "" || slices.Contains(files, file) {
			return true
		}
	}
	return false
}

// quotedChecks holds the promises to the sentences of exams that they quote.
func quotedChecks(t *tree) (found []string) {
	sentences := exams(t)
	quoted := regexp.MustCompile(`"([^"]+)"`)
	for _, x := range documents(t) {
		if path.Base(x.path) != "guarantees.md" {
			continue
		}
		for _, paragraph := range strings.Split(string(x.content), "\n\n") {
			_, tests, _ := strings.Cut(strings.Join(strings.Fields(paragraph), " "), "Test")
			for _, m := range quoted.FindAllStringSubmatch(tests, -1) {
				check := strings.Trim(m[1], "… ")
				if !slices.ContainsFunc(sentences, func(s string) bool { return strings.Contains(s, check) }) {
					found = append(found, fmt.Sprintf("%s: quotes %q, which no exam checks: quote one that it does", x.path, m[1]))
				}
			}
		}
	}
	return found
}

// exams are all texts in the code of exams, which name their checks by them.
func exams(t *tree) (all []string) {
	for _, s := range t.sources {
		if !endsInTest(s.dir) {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			if l, ok := n.(*ast.BasicLit); ok && l.Kind == token.STRING {
				if said, err := strconv.Unquote(l.Value); err == nil {
					all = append(all, said)
				}
			}
			return true
		})
	}
	return all
}

// links holds documents to what they link to in this module: a file or a folder, and in
// a document the heading.
func links(t *tree) (found []string) {
	link := regexp.MustCompile(`\]\(([^):#]*)(?:#([^)]*))?\)`)
	for _, x := range documents(t) {
		for _, m := range link.FindAllStringSubmatch(string(x.content), -1) {
			to, heading := x.path, m[2]
			if m[1] != "" {
				to = path.Join(path.Dir(x.path), m[1])
			}
			i := slices.IndexFunc(t.texts, func(x text) bool { return x.path == to })
			switch {
			case i < 0 && !t.has(to):
				found = append(found, fmt.Sprintf("%s: links to %s, which is not there", x.path, to))
			case i >= 0 && heading != "" && !slices.Contains(headings(t.texts[i]), heading):
				found = append(found, fmt.Sprintf("%s: links to #%s in %s, which has no such heading", x.path, heading, to))
			}
		}
	}
	return found
}

// has tells whether there is a file or folder that is no text: of skipped folders it is
// believed.
func (t *tree) has(p string) bool {
	return under(p, t.others) ||
		slices.ContainsFunc(t.others, func(o string) bool { return under(o, list(p)) }) ||
		slices.ContainsFunc(t.texts, func(x text) bool { return under(x.path, list(p)) })
}

// headings are those of a document, as links name them.
func headings(x text) (all []string) {
	dropped := regexp.MustCompile(`[^\p{L}\p{N} _-]`)
	for _, line := range strings.Split(string(x.content), "\n") {
		if said, ok := strings.CutPrefix(strings.TrimLeft(line, "#"), " "); ok && strings.HasPrefix(line, "#") {
			all = append(all, strings.ReplaceAll(dropped.ReplaceAllString(strings.ToLower(said), ""), " ", "-"))
		}
	}
	return all
}

// snippets holds the Go code in documents to code that is compiled: without comments and
// empty lines it stands so in one file of this module. A line of "…" leaves lines out.
func snippets(t *tree) (found []string) {
	var files []string
	for _, s := range t.sources {
		i := slices.IndexFunc(t.texts, func(x text) bool { return x.path == s.path })
		files = append(files, "\n"+bare(string(t.texts[i].content))+"\n")
	}
	block := regexp.MustCompile("(?s)```go\n(.*?)```")
	for _, x := range documents(t) {
		for _, m := range block.FindAllStringSubmatch(string(x.content), -1) {
			pieces := strings.Split(bare(m[1]), "\n…\n")
			if !slices.ContainsFunc(files, func(file string) bool {
				return !slices.ContainsFunc(pieces, func(p string) bool { return !strings.Contains(file, "\n"+p+"\n") })
			}) {
				first, _, _ := strings.Cut(pieces[0], "\n")
				found = append(found, fmt.Sprintf("%s: shows code from %q on, which is in no file: show what is compiled", x.path, first))
			}
		}
	}
	return found
}

// bare is code line by line, without what is at their edges, comments alone and empty
// lines.
func bare(code string) string {
	var lines []string
	for line := range strings.Lines(code) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "//") {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "\n")
}

// figures holds what is said of costs to what was measured. What a command prints is its
// own.
func figures(t *tree) (found []string) {
	measured := ""
	if i := slices.IndexFunc(t.texts, func(x text) bool { return x.path == "docs/benchmarks.md" }); i >= 0 {
		measured = string(t.texts[i].content)
	}
	console := regexp.MustCompile("(?s)```console\n.*?```")
	for _, x := range documents(t) {
		if x.path != "docs/where.md" && !under(x.path, list("docs/guides")) {
			continue
		}
		said := console.ReplaceAllString(string(x.content), "")
		for _, figure := range regexp.MustCompile(`[0-9.]+ (?:[kM]/s|×|ns|B\b)`).FindAllString(said, -1) {
			if !strings.Contains(measured, " "+figure) {
				found = append(found, fmt.Sprintf("%s: says %s, which docs/benchmarks.md does not: say what was measured", x.path, figure))
			}
		}
	}
	return found
}

// adapters holds the README to the adapters that there are.
func adapters(t *tree) (found []string) {
	there := map[string]bool{}
	for _, s := range t.sources {
		if path.Dir(s.dir) == "adapter" {
			there[s.dir] = true
		}
	}
	i := slices.IndexFunc(t.texts, func(x text) bool { return x.path == "README.md" })
	if i < 0 {
		return nil
	}
	named := map[string]bool{}
	for _, m := range regexp.MustCompile("`(adapter/[a-z0-9]+)`").FindAllStringSubmatch(string(t.texts[i].content), -1) {
		named[m[1]] = true
	}
	for p := range there {
		if !named[p] {
			found = append(found, fmt.Sprintf("README.md: says nothing of %s: name it among the packages", p))
		}
	}
	for p := range named {
		if !there[p] {
			found = append(found, fmt.Sprintf("README.md: names %s, which is not there", p))
		}
	}
	return found
}
