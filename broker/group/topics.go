package group

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"
)

// Topic is one that can be subscribed to.
type Topic struct {
	Name       string
	ID         [16]byte
	Partitions int32
}

// Topics are those of a node, by name. They do not change: after a change there
// are others.
type Topics struct {
	all []Topic
}

// NewTopics keeps all.
func NewTopics(all []Topic) *Topics {
	slices.SortFunc(all, func(a, b Topic) int { return strings.Compare(a.Name, b.Name) })
	return &Topics{all}
}

// find is where a topic stands.
func (t *Topics) find(name string) (int, bool) {
	return slices.BinarySearchFunc(t.all, name, func(topic Topic, name string) int { return strings.Compare(topic.Name, name) })
}

// maxProgram bounds what a pattern compiles to, and so what a match of it costs.
const maxProgram = 2_000

// compile reads a pattern, which matches whole names only.
func compile(pattern string) (*regexp.Regexp, error) {
	tree, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return nil, fmt.Errorf("read pattern: %w", err)
	}
	program, err := syntax.Compile(tree.Simplify())
	if err != nil {
		return nil, fmt.Errorf("read pattern: %w", err)
	}
	if len(program.Inst) > maxProgram {
		return nil, errors.New("the pattern is too complex")
	}
	return regexp.Compile(`\A(?:` + pattern + `)\z`)
}

// resolver finds what members subscribe to, each pattern once.
type resolver struct {
	topics  *Topics
	matches map[string][]int
}

func newResolver(topics *Topics) *resolver {
	return &resolver{topics, map[string][]int{}}
}

// of are the places of the topics that a member subscribes to, in order.
func (r *resolver) of(p *Profile) []int {
	var places []int
	for _, name := range p.Topics {
		if i, ok := r.topics.find(name); ok {
			places = append(places, i)
		}
	}
	if p.Pattern == "" {
		return places
	}
	places = append(places, r.match(p.Pattern)...)
	slices.Sort(places)
	return slices.Compact(places)
}

func (r *resolver) match(pattern string) []int {
	if places, ok := r.matches[pattern]; ok {
		return places
	}
	var places []int
	if expression, err := compile(pattern); err == nil {
		for i := range r.topics.all {
			if expression.MatchString(r.topics.all[i].Name) {
				places = append(places, i)
			}
		}
	}
	r.matches[pattern] = places
	return places
}

// basis stands for the topics at places, some perhaps more than once: it differs if
// their names, ids or numbers of partitions do. It is FNV-1a, which must not change: the log keeps it.
func (t *Topics) basis(places []int) uint64 {
	slices.Sort(places)
	h := fnv.New64a()
	var b []byte
	for _, i := range slices.Compact(places) {
		topic := &t.all[i]
		b = appendText(b[:0], topic.Name)
		b = binary.AppendVarint(append(b, topic.ID[:]...), int64(topic.Partitions))
		_, _ = h.Write(b) // it never fails
	}
	return h.Sum64()
}
