package broker

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// effect is what comes of a setting here.
type effect uint8

const (
	works   effect = iota
	nothing        // accepted: it means nothing on one node
	notYet         // refused, but for its default
)

// The types of values, shorter.
const (
	boolean = kmsg.ConfigTypeBoolean
	text32  = kmsg.ConfigTypeString
	integer = kmsg.ConfigTypeInt
	long    = kmsg.ConfigTypeLong
	double  = kmsg.ConfigTypeDouble
	list    = kmsg.ConfigTypeList
)

// setting is one of Kafka's, as it is here.
type setting struct {
	name   string
	kind   kmsg.ConfigType
	value  string // the default; "" is none
	effect effect
	doc    string

	low, high int64    // bounds of a number; with both 0 those of its type
	want      string   // what a number is to be, where bounds alone do not say it
	choices   []string // words that a text or a list may have; none: all
	node      []string // of a topic's or group's: the node's that stand for it, the first that is given
}

// check refuses a value that the setting cannot have.
func (s *setting) check(value string) error {
	if value == s.value {
		return nil
	}
	if err := s.parse(value); err != nil {
		return refuseSetting(s.name, "setting %s=%s: %v", s.name, value, err)
	}
	if s.effect == notYet {
		return refuseSetting(s.name, "setting %s=%s: only %q can be had as yet", s.name, value, s.value)
	}
	return nil
}

func (s *setting) parse(value string) (err error) {
	switch s.kind {
	case boolean:
		if value != "true" && value != "false" {
			return fmt.Errorf("want true or false")
		}
	case integer, long:
		bits := 64
		if s.kind == integer {
			bits = 32
		}
		n, err := strconv.ParseInt(value, 10, bits)
		low, high := s.bounds()
		switch {
		case (err != nil || n < low || n > high) && s.want != "":
			return fmt.Errorf("want %s", s.want)
		case err != nil || n < low || n > high:
			return fmt.Errorf("want a number from %d to %d", low, high)
		}
	case double:
		low, high := s.bounds()
		if f, err := strconv.ParseFloat(value, 64); err != nil || !(f >= float64(low) && f <= float64(high)) {
			return fmt.Errorf("want a number from %d to %d", low, high)
		}
	case list:
		for _, word := range words(value) {
			if err := s.choose(word); err != nil {
				return err
			}
		}
	default:
		return s.choose(value)
	}
	return nil
}

func (s *setting) bounds() (low, high int64) {
	switch {
	case s.low != 0 || s.high != 0:
		return s.low, s.high
	case s.kind == integer:
		return math.MinInt32, math.MaxInt32
	}
	return math.MinInt64, math.MaxInt64
}

func (s *setting) choose(word string) error {
	if len(s.choices) > 0 && !slices.Contains(s.choices, word) {
		return fmt.Errorf("want %s", strings.Join(s.choices, ", "))
	}
	return nil
}

// words are those of a list.
func words(value string) (all []string) {
	for word := range strings.SplitSeq(value, ",") {
		if word = strings.TrimSpace(word); word != "" {
			all = append(all, word)
		}
	}
	return all
}

// catalog is the settings that something may have.
type catalog map[string]*setting

func newCatalog(all []setting) catalog {
	c := make(catalog, len(all))
	for i := range all {
		c[all[i].name] = &all[i]
	}
	return c
}

// names of all of them, in order.
func (c catalog) names() []string { return slices.Sorted(maps.Keys(c)) }

// find is a setting, or an error with the name that is most like it.
func (c catalog) find(name string) (*setting, error) {
	if s := c[name]; s != nil {
		return s, nil
	}
	if name == windowStands.name {
		return nil, refuseSetting(name, "setting %s tells how the topic's window stands, and cannot be set", name)
	}
	return nil, refuseSetting(name, "setting %.80q is not known: is %s meant?", name, nearest(name, c.names()))
}

// check refuses settings that are not known, and values they cannot have.
func (c catalog) check(given map[string]string) error {
	for _, name := range slices.Sorted(maps.Keys(given)) {
		s, err := c.find(name)
		if err != nil {
			return err
		}
		if err := s.check(given[name]); err != nil {
			return err
		}
	}
	return nil
}

// nearest is the name that takes the fewest edits to become.
func nearest(name string, all []string) (best string) {
	least := math.MaxInt
	for _, other := range all {
		if n := edits(name[:min(len(name), 80)], other); n < least {
			best, least = other, n
		}
	}
	return best
}

// edits is how many bytes must be put in, taken out or replaced to make b of a
// (Levenshtein's distance).
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
