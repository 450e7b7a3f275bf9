package arch

import (
	"fmt"
	"go/ast"
	"path"
	"regexp"
	"slices"
	"strings"
)

const (
	maxFileLines     = 500
	maxFunctionLines = 70
	maxMethods       = 25
)

// rule finds what breaks it. A finding names the place, the offence and the way
// out.
type rule struct {
	name string
	find func(*tree) []string
}

func rules() []rule {
	return []rule{
		{"imports", imports},
		{"pure packages", purity},
		{"packages of tests", testPackages},
		{"files", files},
		{"sizes", sizes},
		{"methods", methods},
		{"init", inits},
		{"names", names},
		{"sleep", sleeps},
		{"words", words},
		{"named tests", namedTests},
		{"quoted checks", quotedChecks},
		{"links", links},
		{"snippets", snippets},
		{"figures", figures},
		{"adapters", adapters},
	}
}

// under reports whether a path is one of roots or below one.
func under(p string, roots []string) bool {
	return slices.ContainsFunc(roots, func(root string) bool {
		return p == root || root != "." && strings.HasPrefix(p, root+"/")
	})
}

// rowOf finds the row of a folder: its own, or that of the closest folder above.
func rowOf(dir string) (row, bool) {
	best, found := row{}, false
	for _, r := range table() {
		if under(dir, list(r.path)) && len(r.path) >= len(best.path) {
			best, found = r, true
		}
	}
	return best, found
}

// own turns an import path into one of this module.
func own(imported string) (string, bool) {
	if imported == module {
		return ".", true
	}
	return strings.CutPrefix(imported, module+"/")
}

// imports holds every package to its row of the table.
func imports(t *tree) (found []string) {
	homeless := map[string]bool{}
	for _, s := range t.sources {
		r, ok := rowOf(s.dir)
		if !ok && !homeless[s.dir] {
			homeless[s.dir] = true
			found = append(found, fmt.Sprintf("%s: has no row: say in internal/arch/table.go on which floor it stands", s.dir))
		}
		if !ok || s.test {
			continue
		}
		for _, imported := range s.imports() {
			p, ok := own(imported)
			if !ok || under(p, r.may) || r.path != "." && under(p, list(r.path)) || endsInTest(p) {
				continue
			}
			found = append(found, fmt.Sprintf("%s: imports %s, which %s may not: let a higher floor join them, or move what both need down", s.path, p, s.dir))
		}
	}
	return found
}

// purity keeps the world and other modules out of pure packages.
func purity(t *tree) (found []string) {
	for _, s := range t.sources {
		if r, ok := rowOf(s.dir); !ok || !r.pure || s.test {
			continue
		}
		for _, imported := range s.imports() {
			first, _, _ := strings.Cut(imported, "/")
			switch _, ours := own(imported); {
			case ours:
			case under(imported, world()):
				found = append(found, fmt.Sprintf("%s: imports %s, but %s is pure: take what it gives as a value or an argument", s.path, imported, s.dir))
			case strings.Contains(first, "."):
				found = append(found, fmt.Sprintf("%s: imports %s, but %s keeps to the standard library: use it one floor up", s.path, imported, s.dir))
			}
		}
	}
	return found
}

func endsInTest(p string) bool {
	return strings.HasSuffix(path.Base(p), "test")
}

// testPackages keeps exams out of the product.
func testPackages(t *tree) (found []string) {
	for _, s := range t.sources {
		if s.test || endsInTest(s.dir) {
			continue
		}
		for _, imported := range s.imports() {
			if p, ok := own(imported); ok && endsInTest(p) {
				found = append(found, fmt.Sprintf("%s: imports %s, which is for tests: import it from a _test.go file", s.path, p))
			}
		}
	}
	return found
}

// files lets only internal/vfs and the commands touch files.
func files(t *tree) (found []string) {
	touching := regexp.MustCompile(`^(Open|Create|Read(File|Dir|link)|Write|Mkdir|Remove|Rename|L?[Ss]tat$|Link|Symlink|Truncate|L?[Cc]h(mod|own|times)|Chdir|CopyFS|DirFS|NewFile)`)
	for _, s := range t.sources {
		if r, ok := rowOf(s.dir); !ok || r.files || s.test {
			continue
		}
		s.uses("os", func(at, name string) {
			if touching.MatchString(name) {
				found = append(found, fmt.Sprintf("%s: calls os.%s: go through internal/vfs, where tests can cut the power", at, name))
			}
		})
	}
	return found
}

// sizes bounds files and functions.
func sizes(t *tree) (found []string) {
	for _, s := range t.sources {
		if ast.IsGenerated(s.file) {
			continue
		}
		if s.lines > maxFileLines {
			found = append(found, fmt.Sprintf("%s: has %d lines: split it by idea, %d at most", s.path, s.lines, maxFileLines))
		}
		s.functions(func(f *ast.FuncDecl) {
			lines := s.set.Position(f.End()).Line - s.set.Position(f.Pos()).Line + 1
			if lines > maxFunctionLines {
				found = append(found, fmt.Sprintf("%s: %s has %d lines: give its steps names, %d at most", s.at(f), f.Name.Name, lines, maxFunctionLines))
			}
		})
	}
	return found
}

// wide are the types that may have more methods, and how many.
func wide() map[string]int {
	return map[string]int{
		// Eighteen public calls, most with a step under its lock and one behind it,
		// and what takes several of its parts at once.
		"ledger: type Ledger": 90,
	}
}

// methods bounds types.
func methods(t *tree) (found []string) {
	count := map[string]int{}
	for _, s := range t.sources {
		if s.test || ast.IsGenerated(s.file) {
			continue
		}
		s.functions(func(f *ast.FuncDecl) {
			if f.Recv == nil {
				return
			}
			name := s.dir + ": type " + receiver(f.Recv.List[0].Type)
			most := maxMethods
			if n, ok := wide()[name]; ok {
				most = n
			}
			if count[name]++; count[name] == most+1 {
				found = append(found, fmt.Sprintf("%s has more than %d methods: it is two types", name, most))
			}
		})
	}
	return found
}

// receiver is the type's name without pointer and type parameters.
func receiver(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.StarExpr:
		return receiver(e.X)
	case *ast.IndexExpr:
		return receiver(e.X)
	case *ast.IndexListExpr:
		return receiver(e.X)
	case *ast.Ident:
		return e.Name
	}
	return "?"
}

// inits forbids work at import.
func inits(t *tree) (found []string) {
	for _, s := range t.sources {
		s.functions(func(f *ast.FuncDecl) {
			if f.Name.Name == "init" && f.Recv == nil {
				found = append(found, fmt.Sprintf("%s: has an init function: call it from who needs it", s.at(f)))
			}
		})
	}
	return found
}

// names forbids attics.
func names(t *tree) (found []string) {
	attic := regexp.MustCompile(`^(utils?|common|helpers?|base|misc|manager)$`)
	for _, s := range t.sources {
		stem := strings.TrimSuffix(strings.TrimSuffix(path.Base(s.path), ".go"), "_test")
		for _, name := range list(s.file.Name.Name, path.Base(s.dir), stem) {
			if attic.MatchString(name) {
				found = append(found, fmt.Sprintf("%s: %q says nothing: name it after what it is about", s.path, name))
				break
			}
		}
	}
	return found
}

// sleeps forbids tests that hope.
func sleeps(t *tree) (found []string) {
	for _, s := range t.sources {
		if !s.test {
			continue
		}
		s.uses("time", func(at, name string) {
			if name == "Sleep" {
				found = append(found, fmt.Sprintf("%s: sleeps: wait for what must happen, or use testing/synctest", at))
			}
		})
	}
	return found
}

// words forbids marks of unfinished work, in code and in prose.
func words(t *tree) (found []string) {
	unfinished := regexp.MustCompile(`\b(TO` + `DO|FIX` + `ME|HA` + `CK|WI` + `P)\b`)
	for _, x := range t.texts {
		for n, line := range strings.Split(string(x.content), "\n") {
			if word := unfinished.FindString(line); word != "" {
				found = append(found, fmt.Sprintf("%s:%d: says %s: finish it, or write down what is missing and why", x.path, n+1, word))
			}
		}
	}
	return found
}
