package unique

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/identity"
)

// The names of a topic's settings.
const (
	SettingIdentity    = "hapax.identity"
	SettingWindowMs    = "hapax.window.ms"
	SettingWindowCount = "hapax.window.count"
	SettingWindowBytes = "hapax.window.bytes"
	SettingWindowKind  = "hapax.window.kind"
	SettingWindowFull  = "hapax.window.full"
	SettingMemory      = "hapax.window.memory.bytes"
	SettingDisk        = "hapax.window.disk.bytes"
	SettingScope       = "hapax.scope"
	SettingDuplicates  = "hapax.duplicates"
	SettingConflicts   = "hapax.conflicts"
	SettingMissing     = "hapax.missing"
	SettingMode        = "hapax.mode"
)

// Names are those of all settings, the one that all others need first.
func Names() []string {
	return []string{
		SettingIdentity, SettingWindowMs, SettingWindowCount, SettingWindowBytes, SettingWindowKind, SettingWindowFull,
		SettingMemory, SettingDisk, SettingScope, SettingDuplicates, SettingConflicts, SettingMissing, SettingMode,
	}
}

// Bounds of settings that are numbers.
const (
	MaxWindowMs   = 100 * 365 * 24 * 3_600_000 // a hundred years
	MinMemory     = 4 << 20
	MaxMemory     = 1 << 40
	MinDisk       = 16 << 20
	DefaultMemory = 256 << 20
	NoDisk        = -1 // no bound
	WantDisk      = "a number of at least 16777216, or -1 for no bound"
)

// Parse makes rules of a topic's own settings, of which it reads those in [Names].
// A setting that is empty is not there. Without any there are no rules, and without
// an error either. Errors name the setting and say what it may be; whether topics
// exist that records go to is for the caller to see.
//
// Compacted tells that only the last record of each key is kept.
func Parse(topic string, compacted bool, own map[string]string) (*Rules, error) {
	p := parser{own: own}
	if p.value(SettingIdentity) == "" {
		for _, name := range Names()[1:] {
			if p.value(name) != "" {
				return nil, fmt.Errorf("setting %s=%s says nothing without %s: set that too, or delete this", name, p.value(name), SettingIdentity)
			}
		}
		return nil, nil
	}
	r := &Rules{
		Identity:   p.identity(),
		Window:     p.window(),
		Scope:      p.scope(),
		Duplicates: p.policy(SettingDuplicates, Drop, Mark, Route, Reject),
		Conflicts:  p.policy(SettingConflicts, Drop, Accept, Route, Reject),
		Missing:    p.policy(SettingMissing, Accept, Reject),
		Shadow:     p.choice(SettingMode, "enforce", "shadow") == 1,
		Evict:      p.choice(SettingWindowFull, "refuse", "evict") == 1,
		MaxMemory:  p.number(SettingMemory, DefaultMemory, MinMemory, MaxMemory),
		MaxDisk:    p.disk(),
	}
	switch {
	case p.err != nil:
		return nil, p.err
	case compacted && r.Identity.NamesByKey():
		return nil, fmt.Errorf("setting %s=%s: with cleanup.policy=compact a topic is there for new values of old keys, which would all be dropped: take another id, or another policy",
			SettingIdentity, p.value(SettingIdentity))
	case r.Evict && r.EndsAtOnce():
		return nil, fmt.Errorf("setting %s=evict: a tumbling window of a count or of bytes ends for all of its ids at once, and has no oldest ones to let go: delete it, or take another %s",
			SettingWindowFull, SettingWindowKind)
	case slices.Contains(r.Routes(), topic):
		return nil, fmt.Errorf("settings %s=%s, %s=%s: topic %q cannot take what it does not keep itself: name another topic",
			SettingDuplicates, r.Duplicates, SettingConflicts, r.Conflicts, topic)
	case r.Conflicts.Fate != Drop && !r.Digests():
		return nil, fmt.Errorf("setting %s=%s: records with the same id cannot differ, for %s=%s is their whole value: delete it",
			SettingConflicts, r.Conflicts, SettingIdentity, p.value(SettingIdentity))
	}
	return r, nil
}

// parser reads settings. It keeps the first error.
type parser struct {
	own map[string]string
	err error
}

func (p *parser) value(name string) string { return p.own[name] }

func (p *parser) wrong(name, format string, args ...any) {
	if p.err == nil {
		p.err = fmt.Errorf("setting %s=%s: %w", name, p.value(name), fmt.Errorf(format, args...))
	}
}

func (p *parser) identity() *identity.Extractor {
	x, err := identity.ParseSetting(p.value(SettingIdentity))
	if err != nil {
		p.wrong(SettingIdentity, "%w", err)
	}
	return x
}

func (p *parser) window() hapax.Window {
	w := hapax.Window{
		Time:  time.Duration(p.number(SettingWindowMs, 0, 1, MaxWindowMs)) * time.Millisecond,
		Count: p.number(SettingWindowCount, 0, 1, math.MaxInt64),
		Bytes: p.number(SettingWindowBytes, 0, 1, math.MaxInt64),
		Kind:  hapax.WindowKind(p.choice(SettingWindowKind, "first", "renewed", "tumbling")),
	}
	if p.err != nil {
		return w
	}
	if w.Time == 0 && w.Count == 0 && w.Bytes == 0 {
		p.wrong(SettingIdentity, "for how long ids are to be remembered is not said: set %s, %s or %s", SettingWindowMs, SettingWindowCount, SettingWindowBytes)
		return w
	}
	if err := w.Validate(); err != nil {
		p.wrong(SettingIdentity, "%w", err)
	}
	return w
}

func (p *parser) scope() Scope {
	switch value := p.value(SettingScope); {
	case value == "" || value == scopeTopic:
		return Scope{}
	case value == scopePartition:
		return Scope{partition: true}
	case strings.HasPrefix(value, "header:") || strings.HasPrefix(value, "json:"):
		by, err := identity.ParseSetting(value)
		switch {
		case err != nil:
			p.wrong(SettingScope, "%w", err)
		case !by.IsSingle():
			p.wrong(SettingScope, "want one header or one field: put others into %s, joined by +, which makes the same of it", SettingIdentity)
		}
		return Scope{by: by}
	}
	p.wrong(SettingScope, "want topic, partition, header:NAME or json:PATH")
	return Scope{}
}

// policy is one of the fates, of which the first is the default.
func (p *parser) policy(name string, allowed ...Fate) Policy {
	value := p.value(name)
	if value == "" {
		return Policy{Fate: allowed[0]}
	}
	topic, routed := strings.CutPrefix(value, routePrefix)
	for _, f := range allowed {
		switch {
		case f == Route && routed && topic != "":
			return Policy{Fate: Route, Topic: topic}
		case f != Route && value == f.String():
			return Policy{Fate: f}
		}
	}
	words := make([]string, len(allowed))
	for i, f := range allowed {
		words[i] = f.String()
	}
	p.wrong(name, "want %s", either(words))
	return Policy{}
}

// choice is the number of a word, of which the first is the default.
func (p *parser) choice(name string, words ...string) int {
	value := p.value(name)
	if value == "" {
		return 0
	}
	i := slices.Index(words, value)
	if i < 0 {
		p.wrong(name, "want %s", either(words))
	}
	return max(i, 0)
}

func (p *parser) number(name string, absent, low, high int64) int64 {
	value := p.value(name)
	if value == "" {
		return absent
	}
	n, err := strconv.ParseInt(value, 10, 64)
	if err != nil || n < low || n > high {
		p.wrong(name, "want a number from %d to %d", low, high)
		return absent
	}
	return n
}

// disk is 0 for no bound.
func (p *parser) disk() int64 {
	value := p.value(SettingDisk)
	n, err := strconv.ParseInt(value, 10, 64)
	switch {
	case value == "" || err == nil && n == NoDisk:
		return 0
	case err != nil || n < MinDisk:
		p.wrong(SettingDisk, "want %s", WantDisk)
	}
	return n
}

// either joins words by commas and an or.
func either(words []string) string {
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " or " + words[last]
}
