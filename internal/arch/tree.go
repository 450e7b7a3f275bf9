package arch

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
)

// tree is the source of a module.
type tree struct {
	sources []source
	texts   []text
	others  []string // paths of files that are neither, and of skipped folders
}

// source is one Go file.
type source struct {
	path  string // in the module, with slashes
	dir   string // of path; "." for the root package
	test  bool   // its name ends in _test.go
	lines int
	file  *ast.File
	set   *token.FileSet
}

// text is any file that people read and write, Go files included.
type text struct {
	path    string
	content []byte
}

// skipped folders hold what is not this module's source.
func skipped(name string) bool {
	return slices.Contains(list("bench", "bin", "node_modules", "run", "testdata", "vendor"), name) ||
		name != "." && strings.HasPrefix(name, ".") && name != ".ci"
}

// load reads the module whose root is fsys.
func load(fsys fs.FS) (*tree, error) {
	t := new(tree)
	err := fs.WalkDir(fsys, ".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && skipped(entry.Name()):
			t.others = append(t.others, name)
			return fs.SkipDir
		case entry.IsDir():
			return nil
		case !entry.Type().IsRegular() || !readable(name):
			t.others = append(t.others, name)
			return nil
		}
		content, err := fs.ReadFile(fsys, name)
		if err != nil {
			return err
		}
		t.texts = append(t.texts, text{name, content})
		if path.Ext(name) != ".go" {
			return nil
		}
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, name, content, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		t.sources = append(t.sources, source{
			path: name, dir: path.Dir(name), test: strings.HasSuffix(name, "_test.go"),
			lines: bytes.Count(content, []byte("\n")), file: file, set: set,
		})
		return nil
	})
	return t, err
}

func readable(name string) bool {
	extensions := list(".go", ".md", ".sh", ".yml", ".yaml", ".mod")
	return slices.Contains(extensions, path.Ext(name)) || path.Base(name) == "Makefile" ||
		slices.Contains(list("scripts", ".ci"), path.Dir(name))
}

// at is where in the module a node stands.
func (s *source) at(n ast.Node) string {
	p := s.set.Position(n.Pos())
	return p.Filename + ":" + strconv.Itoa(p.Line)
}

// imports lists the paths that s imports.
func (s *source) imports() []string {
	var paths []string
	for _, spec := range s.file.Imports {
		if p, err := strconv.Unquote(spec.Path.Value); err == nil {
			paths = append(paths, p)
		}
	}
	return paths
}

// uses calls found for each name that s selects from the imported package.
func (s *source) uses(imported string, found func(at, name string)) {
	local := ""
	for _, spec := range s.file.Imports {
		if spec.Path.Value != strconv.Quote(imported) {
			continue
		}
		if local = path.Base(imported); spec.Name != nil {
			local = spec.Name.Name
		}
	}
	if local == "" {
		return
	}
	ast.Inspect(s.file, func(n ast.Node) bool {
		if selector, ok := n.(*ast.SelectorExpr); ok {
			if x, ok := selector.X.(*ast.Ident); ok && x.Name == local {
				found(s.at(selector), selector.Sel.Name)
			}
		}
		return true
	})
}

// functions calls found for each function that s declares.
func (s *source) functions(found func(*ast.FuncDecl)) {
	for _, d := range s.file.Decls {
		if f, ok := d.(*ast.FuncDecl); ok {
			found(f)
		}
	}
}
