package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/IBM/sarama"

	"github.com/hapaxmq/hapax/clients/telling"
)

// admin is what an administrator does.
type admin struct {
	sarama.ClusterAdmin
	address, topic, group string
}

func administer(_ context.Context, address, topic, group string) error {
	c, err := sarama.NewClusterAdmin([]string{address}, config())
	if err != nil {
		return err
	}
	a := &admin{ClusterAdmin: c, address: address, topic: topic, group: group}
	for _, step := range []func() error{a.topics, a.configs, a.offsets, a.records, a.deletions} {
		if err := step(); err != nil {
			return errors.Join(err, c.Close())
		}
	}
	return c.Close()
}

func (a *admin) topics() error {
	retention := "1000000"
	made := &sarama.TopicDetail{NumPartitions: 2, ReplicationFactor: 1, ConfigEntries: map[string]*string{"retention.ms": &retention}}
	if err := a.CreateTopic(a.topic, made, false); err != nil {
		return err
	}
	telling.Tell("create ok")
	if err := new(sarama.TopicError); errors.As(a.CreateTopic(a.topic, made, false), &err) {
		telling.Tell("create again", int16(err.Err))
	}
	if err := a.tellPartitions("topic"); err != nil {
		return err
	}
	if err := a.CreatePartitions(a.topic, 4, nil, false); err != nil {
		return err
	}
	return a.tellPartitions("partitions")
}

func (a *admin) tellPartitions(word string) error {
	topics, err := a.DescribeTopics([]string{a.topic})
	switch {
	case err != nil:
		return err
	case topics[0].Err != sarama.ErrNoError:
		telling.Tell(word, int16(topics[0].Err), "unknown")
	default:
		telling.Tell(word, len(topics[0].Partitions))
	}
	return nil
}

func (a *admin) configs() error {
	if err := a.tellRetention(); err != nil {
		return err
	}
	retention := "2000000"
	change := map[string]sarama.IncrementalAlterConfigsEntry{
		"retention.ms": {Operation: sarama.IncrementalAlterConfigsOperationSet, Value: &retention}}
	if err := a.IncrementalAlterConfig(sarama.TopicResource, a.topic, change, false); err != nil {
		return err
	}
	return a.tellRetention()
}

func (a *admin) tellRetention() error {
	asked := []*sarama.ConfigResource{{Type: sarama.TopicResource, Name: a.topic, ConfigNames: []string{"retention.ms"}}}
	described, err := a.DescribeConfigs(asked, sarama.DescribeConfigsOptions{})
	if err != nil {
		return err
	}
	for _, e := range described[0].Configs {
		telling.Tell("config " + e.Name + "=" + e.Value)
	}
	return nil
}

func (a *admin) offsets() error {
	if err := a.alter(7); err != nil {
		return err
	}
	if err := a.tellGroup(); err != nil {
		return err
	}
	listed, err := a.ListConsumerGroups()
	if err != nil {
		return err
	}
	if _, ok := listed[a.group]; ok {
		telling.Tell("groups listed")
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
	if err := a.DeleteConsumerGroupOffset(a.group, a.topic, 0); err != nil {
		return err
	}
	return a.tellOffset()
}

func (a *admin) alter(offset int64) error {
	altered, err := a.AlterConsumerGroupOffsets(a.group, map[string]map[int32]sarama.OffsetAndMetadata{a.topic: {0: {Offset: offset, LeaderEpoch: -1}}}, nil)
	if err == nil && altered.Errors[a.topic][0] != sarama.ErrNoError {
		err = altered.Errors[a.topic][0]
	}
	return err
}

func (a *admin) tellGroup() error {
	described, err := a.DescribeConsumerGroups([]string{a.group})
	if err != nil {
		return err
	}
	telling.Tell("group", described[0].State)
	return nil
}

func (a *admin) tellOffset() error {
	offsets, err := a.ListConsumerGroupOffsets(a.group, map[string][]int32{a.topic: {0}})
	if err != nil {
		return err
	}
	if at := offsets.GetBlock(a.topic, 0).Offset; at >= 0 {
		telling.Tell("offset", fmt.Sprintf("0=%d", at))
	} else {
		telling.Tell("offset", "0=none")
	}
	return nil
}

func (a *admin) records() error {
	c := config()
	c.Producer.Partitioner = sarama.NewManualPartitioner
	p, err := sarama.NewSyncProducer([]string{a.address}, c)
	if err != nil {
		return err
	}
	messages := make([]*sarama.ProducerMessage, 10)
	for n := range messages {
		messages[n] = &sarama.ProducerMessage{Topic: a.topic, Value: sarama.ByteEncoder{byte('0' + n)}}
	}
	if err := errors.Join(p.SendMessages(messages), p.Close()); err != nil {
		return err
	}
	if err := a.DeleteRecords(a.topic, map[int32]int64{0: 5}); err != nil {
		return err
	}
	first, err := a.ListOffsets(map[string]map[int32]int64{a.topic: {0: sarama.OffsetOldest}}, nil)
	if err != nil {
		return err
	}
	telling.Tell("records", first[a.topic][0].Offset)
	return nil
}

func (a *admin) deletions() error {
	if err := a.DeleteConsumerGroup(a.group); err != nil {
		return err
	}
	telling.Tell("group deleted")
	if err := a.tellGroup(); err != nil {
		return err
	}
	if err := a.DeleteTopic(a.topic); err != nil {
		return err
	}
	telling.Tell("delete ok")
	return a.tellPartitions("topic")
}
