package broker

import (
	"bytes"
	"errors"
	"maps"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// topicConfig is what a topic is described to have.
func (n *node) topicConfig(topic, name string) kadm.Config {
	n.Helper()
	all, err := n.admin().DescribeTopicConfigs(testContext(n.T), topic)
	if err != nil {
		n.Fatal(err)
	}
	found, err := all.On(topic, nil)
	if err := errors.Join(err, found.Err); err != nil {
		n.Fatal(err)
	}
	for _, c := range found.Configs {
		if c.Key == name {
			return c
		}
	}
	n.Fatalf("topic %s is not described to have %s", topic, name)
	return kadm.Config{}
}

func TestTopicConfigs(t *testing.T) {
	n, ctx := start(t), testContext(t)
	adm := n.admin()
	value := func(s string) *string { return &s }
	if _, err := adm.CreateTopic(ctx, 1, 3, map[string]*string{"max.message.bytes": value("none")}, "orders"); !errors.Is(err, kerr.InvalidConfig) {
		t.Errorf("a wrong value: %v", err)
	}
	made, err := adm.CreateTopic(ctx, 1, 3, map[string]*string{"max.message.bytes": value("500")}, "orders")
	if err != nil || made.ReplicationFactor != 1 || *made.Configs["max.message.bytes"].Value != "500" {
		t.Errorf("made: %+v, %v", made, err)
	}
	const name = "max.message.bytes"
	check := func(want string, source kmsg.ConfigSource) {
		t.Helper()
		c := n.topicConfig("orders", name)
		if c.MaybeValue() != want || c.Source != source {
			t.Errorf("%s=%s of %v, want %s of %v", name, c.MaybeValue(), c.Source, want, source)
		}
	}
	check("500", kmsg.ConfigSourceDynamicTopicConfig)
	produce := func(want error) {
		t.Helper()
		r := &kgo.Record{Topic: "orders", Value: bytes.Repeat([]byte("x"), 600)}
		if err := n.client(kgo.ProducerBatchCompression(kgo.NoCompression())).ProduceSync(ctx, r).FirstErr(); !errors.Is(err, want) {
			t.Errorf("600 bytes: %v, want %v", err, want)
		}
	}
	produce(kerr.MessageTooLarge)

	for _, test := range []struct {
		name  string
		op    kadm.IncrementalOp
		value string
		want  error
	}{
		{name, kadm.SetConfig, "1000", nil},
		{name, kadm.AppendConfig, "1000", kerr.InvalidConfig},
		{name, kadm.SubtractConfig, "1000", kerr.InvalidConfig},
		{name, kadm.SetConfig, "-7", kerr.InvalidConfig},
		{"retention.bytes", kadm.SetConfig, "-2", nil},
		{"cleanup.policies", kadm.SetConfig, "delete", kerr.InvalidConfig},
		{"cleanup.policy", kadm.AppendConfig, "delete", nil},
		{"cleanup.policy", kadm.AppendConfig, "squeeze", kerr.InvalidConfig},
		{"min.insync.replicas", kadm.SetConfig, "2", nil},
		{"min.insync.replicas", kadm.DeleteConfig, "", nil},
	} {
		done, err := adm.AlterTopicConfigs(ctx, []kadm.AlterConfig{{Op: test.op, Name: test.name, Value: &test.value}}, "orders")
		if err != nil {
			t.Fatal(err)
		}
		if got, _ := done.On("orders", nil); !errors.Is(got.Err, test.want) {
			t.Errorf("%v %s %s: %v %s, want %v", test.op, test.name, test.value, got.Err, got.ErrMessage, test.want)
		}
	}
	produce(nil)
	check("1000", kmsg.ConfigSourceDynamicTopicConfig)
	n.restart()
	check("1000", kmsg.ConfigSourceDynamicTopicConfig)
	if _, err := n.admin().AlterTopicConfigsState(ctx, nil, "orders"); err != nil {
		t.Error(err)
	}
	check("1048588", kmsg.ConfigSourceDefaultConfig)
}

// What else a topic's setting could come from is told as Kafka tells it: all that
// has a value, from the setting of the node on that is asked first.
func TestTopicSynonyms(t *testing.T) {
	const given, usual = kmsg.ConfigSourceStaticBrokerConfig, kmsg.ConfigSourceDefaultConfig
	for _, test := range []struct {
		node, own, value string
		source           kmsg.ConfigSource
		want             []configSynonym
	}{
		{"", "", "604800000", usual, nil},
		{"log.retention.hours=24", "", "86400000", usual, nil},
		{"log.retention.ms=5", "", "5", given, []configSynonym{{"log.retention.ms", "5", given}, {"log.retention.hours", "168", usual}}},
		{"", "7", "7", kmsg.ConfigSourceDynamicTopicConfig, []configSynonym{{"retention.ms", "7", kmsg.ConfigSourceDynamicTopicConfig}}},
	} {
		node, own := Settings{}, map[string]string{}
		if err := node.Set(test.node); err != nil {
			t.Fatal(err)
		}
		if test.own != "" {
			own["retention.ms"] = test.own
		}
		s, err := parseSettings(node)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range s.describeTopic(own) {
			if e.setting.name == "retention.ms" && (e.value != test.value || e.source != test.source || !slices.Equal(e.synonyms, test.want)) {
				t.Errorf("%q, %q: %+v", test.node, test.own, e)
			}
		}
	}
}

func TestNodeConfigs(t *testing.T) {
	n, ctx := start(t), testContext(t)
	req := kmsg.NewPtrDescribeConfigsRequest()
	req.IncludeSynonyms, req.IncludeDocumentation = true, true
	asked := kmsg.NewDescribeConfigsRequestResource()
	asked.ResourceType, asked.ResourceName, asked.ConfigNames = kmsg.ConfigResourceTypeBroker, "1", []string{"group.initial.rebalance.delay.ms"}
	req.Resources = append(req.Resources, asked)
	resp, err := req.RequestWith(ctx, n.client())
	if err != nil || len(resp.Resources) != 1 || len(resp.Resources[0].Configs) != 1 {
		t.Fatalf("%+v, %v", resp, err)
	}
	got := resp.Resources[0].Configs[0]
	if *got.Value != "0" || got.Source != kmsg.ConfigSourceStaticBrokerConfig || !got.ReadOnly || len(got.ConfigSynonyms) != 2 || *got.Documentation == "" {
		t.Errorf("%+v", got)
	}
	value := "7"
	done, err := n.admin().AlterBrokerConfigs(ctx, []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "num.partitions", Value: &value}}, 1)
	if err != nil || len(done) != 1 || !errors.Is(done[0].Err, kerr.InvalidRequest) {
		t.Errorf("%+v, %v", done, err)
	}
}

// Partitions that are added are there, over restarts, and have their own records.
func TestCreatePartitions(t *testing.T) {
	n, ctx := start(t), testContext(t)
	n.fill(ctx, "orders", 3)
	n.fill(ctx, "others", 1)
	grow := func(to int, want error) {
		t.Helper()
		done, err := n.admin().UpdatePartitions(ctx, to, "orders")
		if err := errors.Join(err, done.Error()); !errors.Is(err, want) {
			t.Errorf("%d partitions: %v, want %v", to, err, want)
		}
	}
	grow(1, kerr.InvalidPartitions)
	grow(3, nil)
	grow(2, kerr.InvalidPartitions)
	n.fill(ctx, "third", 1)
	grow(4, nil)
	c := n.client(kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err := c.ProduceSync(ctx, &kgo.Record{Topic: "orders", Partition: 3, Value: []byte("new")}).FirstErr(); err != nil {
		t.Error(err)
	}
	want := map[int32]int64{0: 3, 1: 0, 2: 0, 3: 1}
	for range 3 {
		got := make(map[int32]int64)
		ends, err := n.admin().ListEndOffsets(ctx, "orders")
		if err != nil {
			t.Fatal(err)
		}
		ends.Each(func(o kadm.ListedOffset) { got[o.Partition] = o.Offset })
		if !maps.Equal(got, want) {
			t.Errorf("ends %v, want %v", got, want)
		}
		n.restart()
	}
}

func FuzzTopicFrames(f *testing.F) {
	made := topicMade{name: "orders", runs: []run{{0, 3}, {7, 1}}, settings: map[string]string{"retention.ms": "-1"}}
	f.Add(made.encode())
	made.window = windowState{number: 3, begun: 1_700_000_000_000, because: "hapax.scope was changed", enforced: true, since: []int64{7}}
	f.Add(made.encode())
	set := topicConfigured{settings: made.settings}
	f.Add(set.encode())
	grown := topicGrown{run: run{1, 2}}
	f.Add(grown.encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		if made, err := readTopicMade(b); err == nil {
			again, err := readTopicMade(made.encode())
			if err != nil || again.name != made.name || len(again.runs) != len(made.runs) || !maps.Equal(again.settings, made.settings) ||
				again.window.begun != made.window.begun || again.window.because != made.window.because {
				t.Errorf("%+v became %+v, %v", made, again, err)
			}
		}
		_, _ = readTopicConfigured(b)
		_, _ = readTopicGrown(b)
	})
}
