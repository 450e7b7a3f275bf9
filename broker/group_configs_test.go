package broker

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/hapaxmq/hapax/broker/code"
)

// alterGroup changes one setting of a group; without a value it is taken away.
func (n *node) alterGroup(ctx context.Context, c *kgo.Client, name, setting, value string, only bool) (code.Error, string) {
	n.Helper()
	req := kmsg.NewPtrIncrementalAlterConfigsRequest()
	req.ValidateOnly = only
	r, change := kmsg.NewIncrementalAlterConfigsRequestResource(), kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
	r.ResourceType, r.ResourceName = kmsg.ConfigResourceTypeGroupConfig, name
	change.Name, change.Value = setting, textOrNil(value)
	if value == "" {
		change.Op = kmsg.IncrementalAlterConfigOpDelete
	}
	r.Configs = append(r.Configs, change)
	req.Resources = append(req.Resources, r)
	resp, err := req.RequestWith(ctx, c)
	if err != nil || len(resp.Resources) != 1 {
		n.Fatalf("%+v, %v", resp, err)
	}
	return code.Error(resp.Resources[0].ErrorCode), text(resp.Resources[0].ErrorMessage)
}

// groupConfig is what a group is described to have.
func (n *node) groupConfig(ctx context.Context, c *kgo.Client, name, setting string) (string, kmsg.ConfigSource) {
	n.Helper()
	req := kmsg.NewPtrDescribeConfigsRequest()
	asked := kmsg.NewDescribeConfigsRequestResource()
	asked.ResourceType, asked.ResourceName, asked.ConfigNames = kmsg.ConfigResourceTypeGroupConfig, name, []string{setting}
	req.Resources = append(req.Resources, asked)
	resp, err := req.RequestWith(ctx, c)
	if err != nil || len(resp.Resources) != 1 || len(resp.Resources[0].Configs) != 1 {
		n.Fatalf("%+v, %v", resp, err)
	}
	got := resp.Resources[0].Configs[0]
	return *got.Value, got.Source
}

// configuredGroups are those that ListConfigResources lists.
func (n *node) configuredGroups(ctx context.Context, c *kgo.Client) (names []string) {
	n.Helper()
	req := kmsg.NewPtrListConfigResourcesRequest()
	req.ResourceTypes = []int8{int8(kmsg.ConfigResourceTypeGroupConfig)}
	resp, err := req.RequestWith(ctx, c)
	if err != nil || resp.ErrorCode != 0 {
		n.Fatalf("%+v, %v", resp, err)
	}
	for _, r := range resp.ConfigResources {
		names = append(names, r.Name)
	}
	return names
}

func TestGroupConfigsAreChecked(t *testing.T) {
	n, ctx := start(t), testContext(t)
	c := n.client()
	for _, test := range []struct {
		group, name, value string
		want               code.Error
		says               string
	}{
		{"", consumerSession, "50000", code.InvalidRequest, "name a group"},
		{"g", "session.timeout.ms", "50000", code.InvalidConfig, "is consumer.session.timeout.ms meant?"},
		{"g", consumerSession, "soon", code.InvalidConfig, "want a number"},
		{"g", consumerSession, "44999", code.InvalidConfig, "from 45000 to 60000"},
		{"g", consumerInterval, "15001", code.InvalidConfig, "from 50 to 15000"},
		{strings.Repeat("g", 2000), consumerSession, "50000", code.InvalidGroupID, "too long"},
		{"g", consumerSession, "", code.None, ""},
	} {
		c, says := n.alterGroup(ctx, c, test.group, test.name, test.value, false)
		if c != test.want || !strings.Contains(says, test.says) {
			t.Errorf("%.10s %s=%s: %v %q, want %v", test.group, test.name, test.value, c, says, test.want)
		}
	}
	if refused, _ := n.alterGroup(ctx, c, "g", consumerSession, "50000", true); refused != code.None {
		t.Errorf("only checked: %v", refused)
	}
	if all := n.configuredGroups(ctx, c); all != nil {
		t.Errorf("%q have settings", all)
	}
}

// Settings of a group are its members' from their next heartbeat on, are there
// after a restart and from a snapshot, and are not other groups'.
func TestGroupConfigs(t *testing.T) {
	n, ctx := start(t), testContext(t)
	c := n.client()
	beat := n.soleMember(ctx, c)
	if refused, says := n.alterGroup(ctx, c, "billing", consumerInterval, "7000", false); refused != code.None {
		t.Fatal(refused, says)
	}
	check := func(group, want string, source kmsg.ConfigSource) {
		t.Helper()
		if value, of := n.groupConfig(ctx, c, group, consumerInterval); value != want || of != source {
			t.Errorf("%s has %s of %v, want %s of %v", group, value, of, want, source)
		}
	}
	beat.MemberEpoch = 1
	for range 3 {
		beat.Topics, beat.SubscribedTopicNames, beat.RebalanceTimeoutMillis = nil, nil, -1
		if resp, err := beat.RequestWith(ctx, c); err != nil || resp.ErrorCode != 0 || resp.HeartbeatIntervalMillis != 7000 {
			t.Errorf("%+v, %v", resp, err)
		}
		check("billing", "7000", kmsg.ConfigSourceGroupConfig)
		check("other", "50", kmsg.ConfigSourceDefaultConfig)
		if all := n.configuredGroups(ctx, c); !slices.Equal(all, []string{"billing"}) {
			t.Errorf("%q have settings", all)
		}
		n.restart()
		c = n.client()
	}
	if refused, says := n.alterGroup(ctx, c, "billing", consumerInterval, "", false); refused != code.None {
		t.Error(refused, says)
	}
	check("billing", "50", kmsg.ConfigSourceDefaultConfig)
	if all := n.configuredGroups(ctx, c); all != nil {
		t.Errorf("%q have settings", all)
	}
}
