package broker

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/hapaxmq/hapax/broker/unique"
)

// TestWindowSettings: the settings of windows are made, changed, described and
// refused like all others.
func TestWindowSettings(t *testing.T) {
	n, ctx := start(t), testContext(t)
	adm := n.admin()
	value := func(s string) *string { return &s }
	create := func(name string, settings map[string]*string, want string) {
		t.Helper()
		made, err := adm.CreateTopic(ctx, 1, 1, settings, name)
		if err != nil {
			err = errors.Join(err, errors.New(made.ErrMessage))
		}
		checkRefused(t, err, want)
	}
	alter := func(name, want string, changes ...kadm.AlterConfig) {
		t.Helper()
		done, err := adm.AlterTopicConfigs(ctx, changes, name)
		if err == nil {
			r, _ := done.On(name, nil)
			if err = r.Err; err != nil {
				err = errors.Join(err, errors.New(r.ErrMessage))
			}
		}
		checkRefused(t, err, want)
	}
	check := func(name, want string, source kmsg.ConfigSource) {
		t.Helper()
		if c := n.topicConfig("orders", name); c.MaybeValue() != want || c.Source != source {
			t.Errorf("%s=%s of %v, want %s of %v", name, c.MaybeValue(), c.Source, want, source)
		}
	}
	put := func(name, v string) kadm.AlterConfig { return kadm.AlterConfig{Name: name, Value: &v} }
	drop := func(name string) kadm.AlterConfig { return kadm.AlterConfig{Op: kadm.DeleteConfig, Name: name} }

	create("orders", map[string]*string{unique.SettingIdentity: value("header:id")}, "hapax.window.ms, hapax.window.count or hapax.window.bytes")
	create("orders", map[string]*string{unique.SettingIdentity: value("header:id"), unique.SettingWindowMs: value("1000")}, "")
	create("copies", nil, "")
	check(unique.SettingIdentity, "header:id", kmsg.ConfigSourceDynamicTopicConfig)
	check(unique.SettingMemory, "268435456", kmsg.ConfigSourceDefaultConfig)
	check(unique.SettingScope, "topic", kmsg.ConfigSourceDefaultConfig)
	check(unique.SettingWindowCount, "", kmsg.ConfigSourceDefaultConfig)

	alter("orders", "hapax.window.ms=1000 says nothing without", drop(unique.SettingIdentity))
	for _, bytes := range []string{"-2", "0", "16777215", "x"} {
		alter("orders", "hapax.window.disk.bytes="+bytes+": want a number of at least 16777216, or -1 for no bound", put(unique.SettingDisk, bytes))
	}
	alter("orders", "topic \"gone\", which does not exist", put(unique.SettingDuplicates, "topic:gone"))
	alter("orders", "name another topic", put(unique.SettingDuplicates, "topic:orders"))
	alter("orders", "want first, renewed or tumbling", put(unique.SettingWindowKind, "sliding"))
	alter("orders", "is hapax.window.ms meant?", put("hapax.window", "1"))
	alter("orders", "cleanup.policy=compact", put("cleanup.policy", "compact"), put(unique.SettingIdentity, "key"))
	alter("orders", "", put(unique.SettingDuplicates, "topic:copies"), put(unique.SettingWindowCount, "50"))
	check(unique.SettingDuplicates, "topic:copies", kmsg.ConfigSourceDynamicTopicConfig)
	alter("copies", "it cannot have hapax.identity", put(unique.SettingIdentity, "key"), put(unique.SettingWindowMs, "1"))
	create("more", map[string]*string{unique.SettingIdentity: value("key"), unique.SettingWindowMs: value("1"), unique.SettingConflicts: value("topic:orders")}, "keeps each message once itself")
	alter("copies", "it cannot have cleanup.policy=compact", put("cleanup.policy", "compact,delete"))
	create("tables", map[string]*string{"cleanup.policy": value("compact")}, "")
	alter("orders", "name one without cleanup.policy=compact", put(unique.SettingDuplicates, "topic:tables"))
	alter("orders", "name one without cleanup.policy=compact", put(unique.SettingConflicts, "topic:tables"))
	alter("orders", "", drop(unique.SettingIdentity), drop(unique.SettingWindowMs), drop(unique.SettingWindowCount), drop(unique.SettingDuplicates))
	alter("copies", "", put(unique.SettingIdentity, "key"), put(unique.SettingWindowMs, "1"))
}

// checkRefused: with the text, or, if it is empty, not at all.
func checkRefused(t *testing.T, err error, want string) {
	t.Helper()
	switch {
	case want == "" && err != nil:
		t.Error(err)
	case want != "" && (!errors.Is(err, kerr.InvalidConfig) || !strings.Contains(err.Error(), want)):
		t.Errorf("%v, want %s", err, want)
	}
}

// Each setting of a window is a topic's, and what it is described to be by default
// is what it is.
func TestWindowCatalog(t *testing.T) {
	s, err := parseSettings(nil)
	if err != nil {
		t.Fatal(err)
	}
	own := map[string]string{unique.SettingIdentity: "key", unique.SettingWindowMs: "5"}
	absent, err := unique.Parse("t", false, own)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range unique.Names() {
		known := s.topics[name]
		if known == nil {
			t.Fatalf("%s is no topic's", name)
		}
		if _, given := own[name]; !given {
			own[name] = known.value
		}
	}
	said, err := unique.Parse("t", false, own)
	if err != nil || said.Duplicates != absent.Duplicates || said.Conflicts != absent.Conflicts || said.Missing != absent.Missing ||
		said.MaxMemory != absent.MaxMemory || said.MaxDisk != absent.MaxDisk || said.Window != absent.Window || !unique.SameWindow(said, absent) ||
		said.Shadow || said.Evict {
		t.Errorf("said %+v, absent %+v: %v", said, absent, err)
	}
	for _, name := range s.topics.names() {
		if strings.HasPrefix(name, "hapax.") && !slices.Contains(unique.Names(), name) {
			t.Errorf("%s is not read", name)
		}
	}
}
