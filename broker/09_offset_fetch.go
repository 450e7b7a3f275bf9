package broker

import (
	"context"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/hapaxmq/hapax/broker/code"
	"github.com/hapaxmq/hapax/broker/group"
)

// OffsetFetch (9), versions 1 to 10: how far groups have read. A group that is not
// known has read nothing, which is no error.
//
//	2   null asks for all topics
//	5   leader epoch
//	6   flexible
//	7   only what no open transaction is about to change (KIP-447)
//	8   several groups
//	9   members of the consumer protocol say who they are (KIP-848)
//	10  topic ids
func (c *conn) offsetFetch(_ context.Context, req *kmsg.OffsetFetchRequest) answer {
	resp := req.ResponseKind().(*kmsg.OffsetFetchResponse)
	var end int64
	if req.Version < 8 {
		asked := kmsg.NewOffsetFetchRequestGroup()
		asked.Group = req.Group // the member and its epoch are not said
		for i := range req.Topics {
			t := kmsg.NewOffsetFetchRequestGroupTopic()
			t.Topic, t.Partitions = req.Topics[i].Topic, req.Topics[i].Partitions
			asked.Topics = append(asked.Topics, t)
		}
		if req.Topics == nil {
			asked.Topics = nil
		}
		var done kmsg.OffsetFetchResponseGroup
		done, end = c.b.groups.fetch(&asked, req.RequireStable, false)
		resp.Topics = ungrouped(done.Topics)
	}
	for i := range req.Groups {
		var done kmsg.OffsetFetchResponseGroup
		done, end = c.b.groups.fetch(&req.Groups[i], req.RequireStable, req.Version >= 10)
		resp.Groups = append(resp.Groups, done)
	}
	return c.b.whenDurable(resp, end, nil, func(err error) {
		if err != nil {
			resp.ErrorCode = int16(codeOf(err))
		}
	})
}

// fetch answers for one group.
func (gs *groups) fetch(asked *kmsg.OffsetFetchRequestGroup, stable, byID bool) (done kmsg.OffsetFetchResponseGroup, end int64) {
	done = kmsg.NewOffsetFetchResponseGroup()
	done.Group = strings.Clone(asked.Group)
	as := group.FetchRequest{Group: done.Group, Member: text(asked.MemberID), Epoch: asked.MemberEpoch, Stable: stable}
	end = gs.look(func(g *group.Groups, _ int64) {
		if asked.Topics == nil {
			as.All = true
			refused, all := g.Fetch(as)
			done.ErrorCode, done.Topics = int16(refused), gs.offsetsOfAll(all)
			return
		}
		for i := range asked.Topics {
			refused, offsets := gs.offsetsOf(g, as, &asked.Topics[i], byID)
			if refused != code.None {
				done.ErrorCode, done.Topics = int16(refused), nil
				return
			}
			done.Topics = append(done.Topics, offsets)
		}
	})
	return done, end
}

// offsetsOf are those of one topic. The code is the group's.
func (gs *groups) offsetsOf(g *group.Groups, as group.FetchRequest, asked *kmsg.OffsetFetchRequestGroupTopic, byID bool) (code.Error, kmsg.OffsetFetchResponseGroupTopic) {
	done := kmsg.NewOffsetFetchResponseGroupTopic()
	done.Topic, done.TopicID = strings.Clone(asked.Topic), asked.TopicID
	t := gs.b.topics.find(asked.Topic, asked.TopicID, byID)
	if t == nil { // there is no offset of it either
		for _, p := range asked.Partitions {
			d := kmsg.NewOffsetFetchResponseGroupTopicPartition()
			d.Partition, d.Offset, d.Metadata = p, -1, new(string)
			if byID {
				d.ErrorCode = int16(code.UnknownTopicID)
			}
			done.Partitions = append(done.Partitions, d)
		}
		return code.None, done
	}
	as.Partitions = make([]group.Partition, len(asked.Partitions))
	for i, p := range asked.Partitions {
		as.Partitions[i] = group.Partition{Topic: t.id, Index: p}
	}
	refused, all := g.Fetch(as)
	for i := range all {
		done.Partitions = append(done.Partitions, fetchedOffset(&all[i]))
	}
	return refused, done
}

// offsetsOfAll brings all offsets of a group under their topics. They come by topic.
func (gs *groups) offsetsOfAll(all []group.Fetched) (done []kmsg.OffsetFetchResponseGroupTopic) {
	for i := range all {
		f := &all[i]
		t := gs.b.topics.byID(f.Partition.Topic)
		if t == nil {
			continue
		}
		if len(done) == 0 || done[len(done)-1].TopicID != t.id {
			d := kmsg.NewOffsetFetchResponseGroupTopic()
			d.Topic, d.TopicID = t.name, t.id
			done = append(done, d)
		}
		last := &done[len(done)-1]
		last.Partitions = append(last.Partitions, fetchedOffset(f))
	}
	return done
}

func fetchedOffset(f *group.Fetched) kmsg.OffsetFetchResponseGroupTopicPartition {
	d := kmsg.NewOffsetFetchResponseGroupTopicPartition()
	d.Partition, d.Offset, d.LeaderEpoch = f.Partition.Index, f.Offset, f.LeaderEpoch
	d.Metadata, d.ErrorCode = &f.Metadata, int16(f.Code)
	return d
}

// ungrouped is the answer of versions that know one group only.
func ungrouped(topics []kmsg.OffsetFetchResponseGroupTopic) (done []kmsg.OffsetFetchResponseTopic) {
	for i := range topics {
		d := kmsg.NewOffsetFetchResponseTopic()
		d.Topic = topics[i].Topic
		for _, p := range topics[i].Partitions {
			q := kmsg.NewOffsetFetchResponseTopicPartition()
			q.Partition, q.Offset, q.LeaderEpoch = p.Partition, p.Offset, p.LeaderEpoch
			q.Metadata, q.ErrorCode = p.Metadata, p.ErrorCode
			d.Partitions = append(d.Partitions, q)
		}
		done = append(done, d)
	}
	return done
}
