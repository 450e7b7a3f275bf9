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

// describeNode describes all settings of the node.
func (s *settings) describeNode() (all []configEntry) {
	for _, name := range s.catalog.names() {
		e := configEntry{setting: s.catalog[name], fixed: true, synonyms: s.nodeSynonyms(name)}
		e.value, e.source = e.synonyms[0].value, e.synonyms[0].source
		all = append(all, e)
	}
	return all
}

// nodeSynonyms is a setting of the node as it was given, if it was, and by default.
func (s *settings) nodeSynonyms(name string) (all []configSynonym) {
	if given, ok := s.given[name]; ok {
		all = append(all, configSynonym{name, given, kmsg.ConfigSourceStaticBrokerConfig})
	}
	return append(all, configSynonym{name, s.catalog[name].value, kmsg.ConfigSourceDefaultConfig})
}

// describeTopic describes all settings of a topic that has some of its own.
func (s *settings) describeTopic(own map[string]string) (all []configEntry) {
	for _, name := range s.topics.names() {
		t := s.topics[name]
		e := configEntry{setting: t, value: s.topicValue(own, name), source: kmsg.ConfigSourceDefaultConfig}
		if v, ok := own[name]; ok {
			e.source = kmsg.ConfigSourceDynamicTopicConfig
			e.synonyms = append(e.synonyms, configSynonym{name, v, e.source})
		}
		for _, node := range t.node {
			if _, given := s.given[node]; given && e.source == kmsg.ConfigSourceDefaultConfig {
				e.source = kmsg.ConfigSourceStaticBrokerConfig
			}
			for _, synonym := range s.nodeSynonyms(node) {
				if synonym.value != "" {
					e.synonyms = append(e.synonyms, synonym)
				}
			}
		}
		if len(t.node) == 0 {
			e.synonyms = append(e.synonyms, configSynonym{name, t.value, kmsg.ConfigSourceDefaultConfig})
		}
		all = append(all, e)
	}
	return all
}

// configs describes what a resource has.
func (ts *topics) configs(kind kmsg.ConfigResourceType, name string) ([]configEntry, error) {
	switch {
	case kind == kmsg.ConfigResourceTypeTopic:
		t := ts.named(name)
		if t == nil {
			return nil, refuse(code.UnknownTopicOrPartition, "there is no topic %q", name)
		}
		return ts.settings.describeTopic(t.settings), nil
	case kind == kmsg.ConfigResourceTypeBroker && name == strconv.Itoa(nodeID):
		return ts.settings.describeNode(), nil
	case kind == kmsg.ConfigResourceTypeBroker && name == "":
		return nil, nil // of all nodes, beyond what each was given: nothing
	case kind == kmsg.ConfigResourceTypeBroker:
		return nil, refuse(code.InvalidRequest, "there is no node %q: the only one is %d", name, nodeID)
	}
	return nil, refuse(code.InvalidRequest, "%v %q has no settings: topics and the node have", kind, name)
}

// resource names what has settings.
type resource struct {
	kind kmsg.ConfigResourceType
	name string
}

// alterEach edits the settings of all that a request names, each for itself, and
// tells how that went. What is named twice is left as it is.
func (ts *topics) alterEach(named []resource, only bool, edit func(i int, own map[string]string) error, done func(resource, error)) {
	repeated := twice(named)
	for i, r := range named {
		err := refuse(code.InvalidRequest, "%v %q is named twice", r.kind, r.name)
		if !repeated[r] {
			err = ts.alterConfigs(r, only, func(own map[string]string) error { return edit(i, own) })
		}
		done(r, err)
	}
}

// alterConfigs edits the settings of a resource, which only topics allow.
func (ts *topics) alterConfigs(r resource, only bool, edit func(own map[string]string) error) error {
	if _, err := ts.configs(r.kind, r.name); err != nil {
		return err
	}
	if r.kind != kmsg.ConfigResourceTypeTopic {
		return refuse(code.InvalidRequest, "the node's settings are given when it is started, with --set or --config")
	}
	return ts.configure(r.name, only, edit)
}

// amend makes one change to the settings that a topic has of its own.
func (s *settings) amend(own map[string]string, name string, op kmsg.IncrementalAlterConfigOp, value *string) error {
	known, err := s.topics.find(name)
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
	has := words(s.topicValue(own, known.name))
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
