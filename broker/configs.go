package broker

import (
	"slices"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/hapaxmq/hapax/broker/code"
)

// configEntry is a setting as it is described.
type configEntry struct {
	setting  *setting
	value    string
	source   kmsg.ConfigSource
	fixed    bool // it cannot be altered while the node runs
	synonyms []configSynonym
}

// configSynonym is a setting that another takes its value from, if none before it
// is set.
type configSynonym struct {
	name, value string
	source      kmsg.ConfigSource
}

// configs is what has settings: the node, topics and groups.
type configs struct {
	settings *settings
	topics   *topics
	groups   *groups
}

func (b *Broker) configs() configs { return configs{&b.settings, b.topics, &b.groups} }

// describeNode describes all settings of the node.
func (s *settings) describeNode() (all []configEntry) {
	for _, name := range s.catalog.names() {
		e := configEntry{setting: s.catalog[name], fixed: true, synonyms: s.nodeSynonyms(name)}
		e.value, e.source = e.synonyms[0].value, e.synonyms[0].source
		all = append(all, e)
	}
	return all
}

// nodeSynonyms are settings of the node as they were given, if they were, and then
// by default.
func (s *settings) nodeSynonyms(names ...string) (all []configSynonym) {
	for _, name := range names {
		if given, ok := s.given[name]; ok {
			all = append(all, configSynonym{name, given, kmsg.ConfigSourceStaticBrokerConfig})
		}
	}
	for _, name := range names {
		all = append(all, configSynonym{name, s.catalog[name].value, kmsg.ConfigSourceDefaultConfig})
	}
	return all
}

// topicSynonyms are those of the node's settings that stand for one of a topic. As
// in Kafka the list has what has a value, and begins with the first of their names:
// of log.retention.hours it tells only if there is log.retention.ms before it.
func (s *settings) topicSynonyms(t *setting) []configSynonym {
	if len(t.node) == 0 {
		return []configSynonym{{t.name, t.value, kmsg.ConfigSourceDefaultConfig}}
	}
	all := slices.DeleteFunc(s.nodeSynonyms(t.node...), func(c configSynonym) bool { return c.value == "" })
	first := slices.IndexFunc(all, func(c configSynonym) bool { return c.name == t.node[0] })
	if first < 0 {
		return nil
	}
	return all[first:]
}

// describeTopic describes all settings of a topic that has some of its own.
func (s *settings) describeTopic(own map[string]string) (all []configEntry) {
	for _, name := range s.topics.names() {
		t := s.topics[name]
		e := configEntry{setting: t, value: s.topicValue(own, name), source: kmsg.ConfigSourceDefaultConfig}
		if v, ok := own[name]; ok {
			e.synonyms = append(e.synonyms, configSynonym{name, v, kmsg.ConfigSourceDynamicTopicConfig})
		}
		if e.synonyms = append(e.synonyms, s.topicSynonyms(t)...); len(e.synonyms) > 0 {
			e.source = e.synonyms[0].source
		}
		all = append(all, e)
	}
	return all
}

// describeGroup describes all settings of a group that has some of its own.
func (s *settings) describeGroup(own map[string]string) (all []configEntry) {
	for _, name := range s.groups.names() {
		e := configEntry{setting: s.groups[name], value: s.valueOf(own, s.groups[name]), source: kmsg.ConfigSourceDefaultConfig}
		if v, ok := own[name]; ok {
			e.source = kmsg.ConfigSourceGroupConfig
			e.synonyms = []configSynonym{{name, v, e.source}}
		}
		all = append(all, e)
	}
	return all
}

// describe describes what a resource has.
func (c configs) describe(kind kmsg.ConfigResourceType, name string) ([]configEntry, error) {
	switch {
	case kind == kmsg.ConfigResourceTypeTopic:
		t := c.topics.named(name)
		if t == nil {
			return nil, noTopicCalled(name)
		}
		return append(c.settings.describeTopic(t.settings), describeWindow(c.topics.windows, t)...), nil
	case kind == kmsg.ConfigResourceTypeGroupConfig && name == "":
		return nil, refuse(code.InvalidRequest, "name a group: what all have is the node's")
	case kind == kmsg.ConfigResourceTypeGroupConfig:
		return c.settings.describeGroup(c.groups.own(name)), nil
	case kind == kmsg.ConfigResourceTypeBroker && name == strconv.Itoa(nodeID):
		return c.settings.describeNode(), nil
	case kind == kmsg.ConfigResourceTypeBroker && name == "":
		return nil, nil // of all nodes, beyond what each was given: nothing
	case kind == kmsg.ConfigResourceTypeBroker:
		return nil, refuse(code.InvalidRequest, "there is no node %q: the only one is %d", name, nodeID)
	}
	return nil, refuse(code.InvalidRequest, "%v %q has no settings: topics, groups and the node have", kind, name)
}

// resource names what has settings.
type resource struct {
	kind kmsg.ConfigResourceType
	name string
}

// alterEach edits the settings of all that a request names, each for itself, and
// tells how that went. What is named twice is left as it is.
func (c configs) alterEach(named []resource, only bool, edit func(i int, may catalog, own map[string]string) error, done func(resource, error)) {
	repeated := twice(named)
	for i, r := range named {
		err := refuse(code.InvalidRequest, "%v %q is named twice", r.kind, r.name)
		if !repeated[r] {
			err = c.alter(r, only, func(may catalog, own map[string]string) error { return edit(i, may, own) })
		}
		done(r, err)
	}
}

// alter edits the settings that a resource has of its own, of those that it may
// have. The node's cannot be altered.
func (c configs) alter(r resource, only bool, edit func(may catalog, own map[string]string) error) error {
	if _, err := c.describe(r.kind, r.name); err != nil {
		return err
	}
	switch r.kind {
	case kmsg.ConfigResourceTypeTopic:
		return c.topics.configure(r.name, only, func(own map[string]string) error { return edit(c.settings.topics, own) })
	case kmsg.ConfigResourceTypeGroupConfig:
		return c.groups.configure(r.name, only, func(own map[string]string) error { return edit(c.settings.groups, own) })
	}
	return refuse(code.InvalidRequest, "the node's settings are given when it is started, with --set or --config")
}

// amend makes one change to the settings that something has of its own, of those
// that it may have.
func (s *settings) amend(may catalog, own map[string]string, name string, op kmsg.IncrementalAlterConfigOp, value *string) error {
	known, err := may.find(name)
	if err != nil {
		return err
	}
	if op == kmsg.IncrementalAlterConfigOpDelete {
		delete(own, known.name)
		return nil
	}
	if value == nil {
		return refuse(code.InvalidRequest, "setting %s: no value", known.name)
	}
	switch op {
	case kmsg.IncrementalAlterConfigOpSet:
		own[known.name] = strings.Clone(*value)
		return nil
	case kmsg.IncrementalAlterConfigOpAppend, kmsg.IncrementalAlterConfigOpSubtract:
	default:
		return refuse(code.InvalidRequest, "setting %s: operation %d is not known", known.name, op)
	}
	if known.kind != list {
		return refuse(code.InvalidConfig, "setting %s is no list: it can be set, and not added to or taken from", known.name)
	}
	has := words(s.valueOf(own, known))
	for _, word := range words(*value) {
		has = slices.DeleteFunc(has, func(w string) bool { return w == word })
		if op == kmsg.IncrementalAlterConfigOpAppend {
			has = append(has, strings.Clone(word))
		}
	}
	own[known.name] = strings.Join(has, ",")
	return nil
}

// twice are the resources that a request names more than once.
func twice(all []resource) map[resource]bool {
	found := make(map[resource]bool)
	for _, r := range all {
		_, before := found[r]
		found[r] = before
	}
	return found
}
