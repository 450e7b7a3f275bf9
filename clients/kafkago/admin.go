package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/segmentio/kafka-go"

	"github.com/hapaxmq/hapax/clients/telling"
)

// admin is what an administrator does.
type admin struct {
	*kafka.Client
	ctx          context.Context
	topic, group string
}

func administer(ctx context.Context, address, topic, group string) error {
	a := &admin{Client: &kafka.Client{Addr: kafka.TCP(address), Transport: &kafka.Transport{}}, ctx: ctx, topic: topic, group: group}
	for _, step := range []func() error{a.topics, a.configs, a.offsets, a.deletions} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

func (a *admin) topics() error {
	create := func() error {
		made, err := a.CreateTopics(a.ctx, &kafka.CreateTopicsRequest{Topics: []kafka.TopicConfig{{Topic: a.topic, NumPartitions: 2,
			ReplicationFactor: 1, ConfigEntries: []kafka.ConfigEntry{{ConfigName: "retention.ms", ConfigValue: "1000000"}}}}})
		if err != nil {
			return err
		}
		return made.Errors[a.topic]
	}
	if err := create(); err != nil {
		return err
	}
	telling.Tell("create ok")
	if err := kafka.Error(0); errors.As(create(), &err) {
		telling.Tell("create again", int(err))
	}
	if err := a.tellPartitions("topic"); err != nil {
		return err
	}
	more, err := a.CreatePartitions(a.ctx, &kafka.CreatePartitionsRequest{Topics: []kafka.TopicPartitionsConfig{{Name: a.topic, Count: 4}}})
	if err != nil {
		return err
	}
	if err := more.Errors[a.topic]; err != nil {
		return err
	}
	return a.tellPartitions("partitions")
}

// tellPartitions asks the broker, and not what the transport remembers of it.
func (a *admin) tellPartitions(word string) error {
	fresh := &kafka.Client{Addr: a.Addr, Transport: &kafka.Transport{}}
	m, err := fresh.Metadata(a.ctx, &kafka.MetadataRequest{Topics: []string{a.topic}})
	if err != nil {
		return err
	}
	if err := kafka.Error(0); errors.As(m.Topics[0].Error, &err) {
		telling.Tell(word, int(err), "unknown")
		return nil
	}
	telling.Tell(word, len(m.Topics[0].Partitions))
	return nil
}

func (a *admin) configs() error {
	if err := a.tellRetention(); err != nil {
		return err
	}
	altered, err := a.IncrementalAlterConfigs(a.ctx, &kafka.IncrementalAlterConfigsRequest{
		Resources: []kafka.IncrementalAlterConfigsRequestResource{{ResourceType: kafka.ResourceTypeTopic, ResourceName: a.topic,
			Configs: []kafka.IncrementalAlterConfigsRequestConfig{{Name: "retention.ms", Value: "2000000", ConfigOperation: kafka.ConfigOperationSet}}}}})
	if err != nil {
		return err
	}
	if err := altered.Resources[0].Error; err != nil {
		return err
	}
	return a.tellRetention()
}

func (a *admin) tellRetention() error {
	described, err := a.DescribeConfigs(a.ctx, &kafka.DescribeConfigsRequest{Resources: []kafka.DescribeConfigRequestResource{
		{ResourceType: kafka.ResourceTypeTopic, ResourceName: a.topic, ConfigNames: []string{"retention.ms"}}}})
	if err != nil {
		return err
	}
	for _, c := range described.Resources[0].ConfigEntries {
		telling.Tell("config " + c.ConfigName + "=" + c.ConfigValue)
	}
	return described.Resources[0].Error
}

func (a *admin) offsets() error {
	if err := a.alter(7); err != nil {
		return err
	}
	if err := a.tellGroup(); err != nil {
		return err
	}
	listed, err := a.ListGroups(a.ctx, &kafka.ListGroupsRequest{})
	if err != nil {
		return err
	}
	for _, g := range listed.Groups {
		if g.GroupID == a.group {
			telling.Tell("groups listed")
		}
	}
	if err := a.tellOffset(); err != nil {
		return err
	}
	if err := a.alter(3); err != nil {
		return err
	}
	if err := a.tellOffset(); err != nil {
		return err
	}
	deleted, err := a.OffsetDelete(a.ctx, &kafka.OffsetDeleteRequest{GroupID: a.group, Topics: map[string][]int{a.topic: {0}}})
	if err != nil {
		return err
	}
	if deleted.Error != nil {
		return deleted.Error
	}
	return a.tellOffset()
}

func (a *admin) alter(offset int64) error {
	committed, err := a.OffsetCommit(a.ctx, &kafka.OffsetCommitRequest{GroupID: a.group, GenerationID: -1,
		Topics: map[string][]kafka.OffsetCommit{a.topic: {{Offset: offset}}}})
	if err != nil {
		return err
	}
	return committed.Topics[a.topic][0].Error
}

func (a *admin) tellGroup() error {
	described, err := a.DescribeGroups(a.ctx, &kafka.DescribeGroupsRequest{GroupIDs: []string{a.group}})
	if err != nil {
		return err
	}
	telling.Tell("group", described.Groups[0].GroupState)
	return nil
}

func (a *admin) tellOffset() error {
	offsets, err := a.OffsetFetch(a.ctx, &kafka.OffsetFetchRequest{GroupID: a.group, Topics: map[string][]int{a.topic: {0}}})
	if err != nil {
		return err
	}
	if at := offsets.Topics[a.topic][0].CommittedOffset; at >= 0 {
		telling.Tell("offset", fmt.Sprintf("0=%d", at))
	} else {
		telling.Tell("offset", "0=none")
	}
	return nil
}

func (a *admin) deletions() error {
	groups, err := a.DeleteGroups(a.ctx, &kafka.DeleteGroupsRequest{GroupIDs: []string{a.group}})
	if err != nil {
		return err
	}
	if err := groups.Errors[a.group]; err != nil {
		return err
	}
	telling.Tell("group deleted")
	if err := a.tellGroup(); err != nil {
		return err
	}
	topics, err := a.DeleteTopics(a.ctx, &kafka.DeleteTopicsRequest{Topics: []string{a.topic}})
	if err != nil {
		return err
	}
	if err := topics.Errors[a.topic]; err != nil {
		return err
	}
	telling.Tell("delete ok")
	return a.tellPartitions("topic")
}
