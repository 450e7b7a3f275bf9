package broker

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/hapaxmq/hapax/broker/code"
	"github.com/hapaxmq/hapax/broker/partition"
)

// Fetch (1), versions 4 to 18: reads batches, and waits until there are enough.
//
//	5   log start offset
//	7   sessions (KIP-227): none is ever begun, as a broker may choose
//	9   leader epoch
//	12  flexible
//	13  topic ids
//
// Only what is durable is shown, and to a reader of committed records only what
// lies below the last stable offset, with the transactions in it that were aborted.
func (c *conn) fetch(_ context.Context, req *kmsg.FetchRequest) answer {
	resp := &fetched{version: req.Version, open: openFiles{wal: c.b.wal}}
	if req.SessionID != 0 {
		resp.err = code.FetchSessionIDNotFound
		return answer{records: resp}
	}
	f := c.b.newFetch(req)
	if f.enough() {
		f.fill(resp)
		return answer{records: resp}
	}
	return answer{records: resp, wait: func(ctx context.Context) error {
		f.await(ctx)
		f.fill(resp)
		return nil
	}}
}

// fetching is one request. It owns what it keeps of it.
type fetching struct {
	b         *Broker
	least     int // bytes that are enough
	most      int
	until     time.Time
	committed bool
	splits    bool // runs that have batches without records: see mostSplit
	asked     []fetchTopic
}

type fetchTopic struct {
	name       string
	id         [16]byte
	partitions []fetchPartition
}

type fetchPartition struct {
	partition *partition.Partition
	err       error // there is none
	number    int32
	offset    int64
	most      int
}

func (b *Broker) newFetch(req *kmsg.FetchRequest) *fetching {
	f := &fetching{
		b: b, least: int(req.MinBytes), most: min(int(req.MaxBytes), b.settings.maxFetch),
		until: time.Now().Add(time.Duration(req.MaxWaitMillis) * time.Millisecond), committed: req.IsolationLevel == 1,
		splits: req.Version <= mostSplit,
	}
	byID := req.Version >= 13
	for i := range req.Topics {
		asked := &req.Topics[i]
		t := b.topics.find(asked.Topic, asked.TopicID, byID)
		ft := fetchTopic{name: strings.Clone(asked.Topic), id: asked.TopicID}
		for j := range asked.Partitions {
			a := &asked.Partitions[j]
			fp := fetchPartition{number: a.Partition, offset: a.FetchOffset, most: int(a.PartitionMaxBytes)}
			fp.partition, fp.err = partitionOf(t, a.Partition, byID)
			ft.partitions = append(ft.partitions, fp)
		}
		f.asked = append(f.asked, ft)
	}
	return f
}

// enough tells whether there is nothing to wait for: enough bytes, or an error.
func (f *fetching) enough() bool {
	if f.least <= 0 {
		return true
	}
	bytes := 0
	for i := range f.asked {
		for j := range f.asked[i].partitions {
			p := &f.asked[i].partitions[j]
			if p.err != nil {
				return true
			}
			n, err := p.partition.Available(p.offset, min(p.most, f.least), f.committed)
			if bytes += n; err != nil || bytes >= f.least {
				return true
			}
		}
	}
	return false
}

// await returns when there is enough, or it is time.
func (f *fetching) await(ctx context.Context) {
	wake := make(chan struct{}, 1)
	f.each(func(p *partition.Partition) { p.Watch(wake) })
	defer f.each(func(p *partition.Partition) { p.Unwatch(wake) })
	timer := time.NewTimer(time.Until(f.until))
	defer timer.Stop()
	for !f.enough() { // once more, now that it is watched
		select {
		case <-wake:
		case <-timer.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

// each calls do for the partitions that there are.
func (f *fetching) each(do func(*partition.Partition)) {
	for i := range f.asked {
		for j := range f.asked[i].partitions {
			if p := f.asked[i].partitions[j].partition; p != nil {
				do(p)
			}
		}
	}
}

// fill reads what there is, up to what was asked for. The first batch is given
// whatever its size (KIP-74). Its files stay until they are released.
func (f *fetching) fill(into *fetched) {
	left := f.most
	for i := range f.asked {
		ft := &f.asked[i]
		done := fetchedTopic{name: ft.name, id: ft.id, partitions: make([]fetchedPartition, len(ft.partitions))}
		for j := range ft.partitions {
			d := &done.partitions[j]
			f.read(d, &ft.partitions[j], &into.open, left, left == f.most)
			d.pass(into.version)
			left -= d.size()
		}
		into.topics = append(into.topics, done)
	}
}

func (f *fetching) read(d *fetchedPartition, p *fetchPartition, open *openFiles, left int, first bool) {
	d.number, d.High, d.Stable, d.Start = p.number, -1, -1, -1
	err := p.err
	for looks := 0; err == nil && looks == 0 || errors.Is(err, errMoved) && looks < maxLooks; looks++ {
		d.Reading, err = f.find(p, open, min(p.most, left), first)
	}
	if err != nil {
		d.Extents, d.err = nil, codeOf(err)
	}
}

// find finds what is to be read, and opens the files that it is in.
func (f *fetching) find(p *fetchPartition, open *openFiles, most int, first bool) (r partition.Reading, err error) {
	if r, err = p.partition.Read(p.offset, most, first, f.committed); err == nil {
		err = f.skip(p, open, &r, most, first)
	}
	if err != nil || len(r.Extents) == 0 {
		return r, err
	}
	if e := &r.Extents[0]; e.Run && (p.offset > e.Base || int(e.Length) > most) {
		if *e, err = open.narrow(*e, p.offset, most, first); err == nil && e.Length == 0 {
			r.Extents = nil
		}
	}
	if err == nil && f.splits {
		r.Extents, err = open.split(r.Extents)
	}
	for i := range r.Extents {
		if err == nil {
			_, err = open.file(r.Extents[i].File)
		}
	}
	return r, err
}
