package identity

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// A PATH names a place in a JSON text: field names, from the top, with dots
// between them. A backslash before any character takes it as part of the name,
// and is needed before a dot, a comma, a plus, a bar and a backslash. A name of
// digits is also the index of an array's element, counted from zero.

// field is a node of the tree that the paths of a list make together.
type field struct {
	name   string
	number int // among its siblings
	path   int // the number of the path that ends here, or -1
	under  []field
}

// leftOut reports whether a path ends at f, which may be nil.
func (f *field) leftOut() bool { return f != nil && f.path >= 0 }

// fields is what is under f, which may be nil.
func (f *field) fields() []field {
	if f == nil {
		return nil
	}
	return f.under
}

// fieldSet is a set of siblings. There are no more of them than [maxPaths].
type fieldSet uint32

// add reports whether f is new to the set.
func (s *fieldSet) add(f *field) bool {
	bit := fieldSet(1) << f.number
	fresh := *s&bit == 0
	*s |= bit
	return fresh
}

// paths is a list of paths, in the order given, and the tree they make.
type paths struct {
	list [][]string
	top  []field
}

// parsePaths reads PATH[,PATH…].
func parsePaths(text string) (paths, error) {
	var p paths
	for _, part := range splitUnescaped(text, ',') {
		path, err := parsePath(part)
		if err != nil {
			return paths{}, err
		}
		if slices.ContainsFunc(p.list, func(other []string) bool { return slices.Equal(other, path) }) {
			return paths{}, fmt.Errorf("path %q is named twice", part)
		}
		p.list = append(p.list, path)
	}
	if len(p.list) > maxPaths {
		return paths{}, fmt.Errorf("%d paths: want at most %d", len(p.list), maxPaths)
	}
	for number, path := range p.list {
		p.top = plant(p.top, path, number)
	}
	return p, nil
}

// parsePath reads one PATH.
func parsePath(text string) ([]string, error) {
	if text == "" {
		return nil, errors.New("path is empty")
	}
	names := splitUnescaped(text, '.')
	if len(names) > maxDepth {
		return nil, fmt.Errorf("path of %d names: want at most %d", len(names), maxDepth)
	}
	for i, name := range names {
		if name == "" {
			return nil, fmt.Errorf(`path %q: a name is empty (a dot that is part of a name is written \.)`, text)
		}
		var err error
		if names[i], err = unescape(name); err != nil {
			return nil, fmt.Errorf("path %q: %w", text, err)
		}
	}
	return names, nil
}

// plant adds a path to the tree of fields.
func plant(fields []field, path []string, number int) []field {
	k := slices.IndexFunc(fields, func(f field) bool { return f.name == path[0] })
	if k < 0 {
		k = len(fields)
		fields = append(fields, field{name: path[0], number: k, path: -1})
	}
	if len(path) == 1 {
		fields[k].path = number
	} else {
		fields[k].under = plant(fields[k].under, path[1:], number)
	}
	return fields
}

// String is the list as parsePaths reads it.
func (p paths) String() string {
	list := make([]string, len(p.list))
	for i := range p.list {
		list[i] = p.path(i)
	}
	return strings.Join(list, ",")
}

// path is path number i in the form that parsePath reads.
func (p paths) path(i int) string {
	names := make([]string, len(p.list[i]))
	for k, name := range p.list[i] {
		names[k] = escape(name, `.,+|\`)
	}
	return strings.Join(names, ".")
}

// escape puts a backslash before each of the separators in name.
func escape(name, separators string) string {
	var b strings.Builder
	for i := range len(name) {
		if strings.IndexByte(separators, name[i]) >= 0 {
			b.WriteByte('\\')
		}
		b.WriteByte(name[i])
	}
	return b.String()
}

// unescape takes the backslashes that escape puts.
func unescape(text string) (string, error) {
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] == '\\' {
			if i++; i == len(text) {
				return "", errors.New("nothing behind the last backslash")
			}
		}
		b.WriteByte(text[i])
	}
	return b.String(), nil
}

// splitUnescaped splits text at each separator that no backslash precedes.
func splitUnescaped(text string, separator byte) []string {
	var parts []string
	start := 0
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case separator:
			parts = append(parts, text[start:i])
			start = i + 1
		}
	}
	return append(parts, text[start:])
}
