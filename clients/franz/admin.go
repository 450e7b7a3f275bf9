package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/hapaxmq/hapax/clients/telling"
)

// admin is what an administrator does.
type admin struct {
	*kadm.Client
	client       *kgo.Client
	ctx          context.Context
	topic, group string
}

func administer(ctx context.Context, address, topic, group string) error {
	c, err := kgo.NewClient(options(address, kgo.RecordPartitioner(kgo.ManualPartitioner()))...)
	if err != nil {
		return err
	}
	defer c.Close()
	a := &admin{Client: kadm.NewClient(c), client: c, ctx: ctx, topic: topic, group: group}
	for _, step := range []func() error{a.topics, a.configs, a.offsets, a.records, a.deletions} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

func (a *admin) topics() error {
	retention := "1000000"
	create := func() error {
		_, err := a.CreateTopic(a.ctx, 2, 1, map[string]*string{"retention.ms": &retention}, a.topic)
		return err
	}
	if err := create(); err != nil {
		return err
	}
	telling.Tell("create ok")
	if err := new(kerr.Error); errors.As(create(), &err) {
		telling.Tell("create again", err.Code)
	}
	if err := a.tellPartitions("topic"); err != nil {
		return err
	}
	made, err := a.UpdatePartitions(a.ctx, 4, a.topic)
	if err := errors.Join(err, made.Error()); err != nil {
		return err
	}
	return a.tellPartitions("partitions")
}

// tellPartitions asks the broker, and not what the client remembers of it.
func (a *admin) tellPartitions(word string) error {
	request := kmsg.NewPtrMetadataRequest()
	topic := kmsg.NewMetadataRequestTopic()
	topic.Topic = &a.topic
	request.Topics = append(request.Topics, topic)
	response, err := request.RequestWith(a.ctx, a.client)
	switch {
	case err != nil:
		return err
	case response.Topics[0].ErrorCode != 0:
		telling.Tell(word, response.Topics[0].ErrorCode, "unknown")
	default:
		telling.Tell(word, len(response.Topics[0].Partitions))
	}
	return nil
}

func (a *admin) configs() error {
	if err := a.tellRetention(); err != nil {
		return err
	}
	retention := "2000000"
	altered, err := a.AlterTopicConfigs(a.ctx, []kadm.AlterConfig{{Name: "retention.ms", Value: &retention}}, a.topic)
	if err != nil || altered[0].Err != nil {
		return errors.Join(err, altered[0].Err)
	}
	return a.tellRetention()
}

func (a *admin) tellRetention() error {
	described, err := a.DescribeTopicConfigs(a.ctx, a.topic)
	if err != nil {
		return err
	}
	for _, c := range described[0].Configs {
		if c.Key == "retention.ms" {
			telling.Tell("config retention.ms=" + c.MaybeValue())
		}
	}
	return described[0].Err
}

func (a *admin) offsets() error {
	if err := a.CommitAllOffsets(a.ctx, a.group, a.offset(7)); err != nil {
		return err
	}
	if err := a.tellGroup(); err != nil {
		return err
	}
	listed, err := a.ListGroups(a.ctx)
	if err != nil {
		return err
	}
	if _, ok := listed[a.group]; ok {
		telling.Tell("groups listed")
	}
	if err := a.tellOffset(); err != nil {
		return err
	}
	if err := a.CommitAllOffsets(a.ctx, a.group, a.offset(3)); err != nil {
		return err
	}
	if err := a.tellOffset(); err != nil {
		return err
	}
	var first kadm.TopicsSet
	first.Add(a.topic, 0)
	deleted, err := a.DeleteOffsets(a.ctx, a.group, first)
	if err := errors.Join(err, deleted.Error()); err != nil {
		return err
	}
	return a.tellOffset()
}

// offset is what is committed of the first partition.
func (a *admin) offset(at int64) kadm.Offsets {
	var o kadm.Offsets
	o.AddOffset(a.topic, 0, at, -1)
	return o
}

func (a *admin) tellGroup() error {
	described, err := a.DescribeGroups(a.ctx, a.group)
	if err != nil {
		return err
	}
	g := described[a.group]
	if errors.Is(g.Err, kerr.GroupIDNotFound) {
		g.State, g.Err = "Dead", nil
	}
	telling.Tell("group", g.State)
	return g.Err
}

func (a *admin) tellOffset() error {
	offsets, err := a.FetchOffsets(a.ctx, a.group)
	if err != nil {
		return err
	}
	if o, ok := offsets.Lookup(a.topic, 0); ok {
		telling.Tell("offset", fmt.Sprintf("0=%d", o.At))
	} else {
		telling.Tell("offset", "0=none")
	}
	return nil
}

func (a *admin) records() error {
	for n := range 10 {
		a.client.Produce(a.ctx, &kgo.Record{Topic: a.topic, Value: []byte{byte('0' + n)}}, nil)
	}
	if err := a.client.Flush(a.ctx); err != nil {
		return err
	}
	deleted, err := a.DeleteRecords(a.ctx, a.offset(5))
	if err != nil {
		return err
	}
	r, _ := deleted.Lookup(a.topic, 0)
	telling.Tell("records", r.LowWatermark)
	return r.Err
}

func (a *admin) deletions() error {
	deleted, err := a.DeleteGroup(a.ctx, a.group)
	if err := errors.Join(err, deleted.Err); err != nil {
		return err
	}
	telling.Tell("group deleted")
	if err := a.tellGroup(); err != nil {
		return err
	}
	if _, err := a.DeleteTopic(a.ctx, a.topic); err != nil {
		return err
	}
	telling.Tell("delete ok")
	return a.tellPartitions("topic")
}
