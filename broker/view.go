package broker

import (
	"encoding/base64"
	"slices"
	"time"

	"github.com/hapaxmq/hapax/broker/group"
	"github.com/hapaxmq/hapax/broker/partition"
	"github.com/hapaxmq/hapax/broker/txn"
)

// viewer is what operators see of a node, as JSON has it.
type viewer struct{ b *Broker }

type nodeView struct {
	Cluster   string   `json:"cluster"`
	Listeners []string `json:"listeners"`
	Directory string   `json:"directory"`
	Log       struct {
		Files    int    `json:"files"`
		Unsynced int64  `json:"unsynced_bytes"`
		Failed   string `json:"failed,omitempty"` // why it takes nothing any more
	} `json:"log"`
	Topics       int `json:"topics"`
	Partitions   int `json:"partitions"`
	Groups       int `json:"groups"`
	Transactions struct {
		IDs  int `json:"ids"`
		Open int `json:"open"`
	} `json:"transactions"`
}

func (v viewer) node() (n nodeView) {
	n.Cluster, n.Listeners, n.Directory = v.b.identity.Cluster, v.b.Addresses(), v.b.dir
	n.Log.Files, n.Log.Unsynced = len(v.b.wal.Older())+1, max(v.b.wal.End()-v.b.wal.Synced(), 0)
	if err := v.b.wal.Err(); err != nil {
		n.Log.Failed = err.Error()
	}
	n.Topics, n.Partitions = len(v.b.topics.list()), len(partitionsOf(v.b.topics))
	v.b.groups.look(func(g *group.Groups, _ int64) { n.Groups = len(g.List()) })
	n.Transactions.IDs, n.Transactions.Open = v.b.txns.count()
	return n
}

// TopicView is what operators see of a topic.
type TopicView struct {
	Name       string            `json:"name"`
	ID         string            `json:"id"`
	Settings   map[string]string `json:"settings"` // those that are its own
	Partitions []PartitionView   `json:"partitions"`
	Window     *WindowView       `json:"window,omitempty"` // of one that keeps each message once
}

// PartitionView is what they see of a partition.
type PartitionView struct {
	Start  int64 `json:"start"`
	High   int64 `json:"high_watermark"`
	Stable int64 `json:"last_stable_offset"`
	Bytes  int64 `json:"bytes"`
}

func (v viewer) topics() []TopicView {
	all := []TopicView{}
	for _, t := range v.b.topics.list() {
		tv := TopicView{Name: t.name, ID: base64.RawURLEncoding.EncodeToString(t.id[:]), Settings: t.settings, Partitions: []PartitionView{}, Window: v.window(t)}
		for _, p := range t.partitions {
			tv.Partitions = append(tv.Partitions, PartitionView{Start: p.Start(), High: p.Limit(false), Stable: p.Limit(true), Bytes: p.Bytes()})
		}
		all = append(all, tv)
	}
	return all
}

type groupView struct {
	Name    string       `json:"name"`
	Type    string       `json:"type"`
	State   string       `json:"state"`
	Members []memberView `json:"members"`
	Offsets []offsetView `json:"offsets"`
}

type memberView struct {
	ID       string `json:"id"`
	Instance string `json:"instance,omitempty"`
	Client   string `json:"client"`
	Host     string `json:"host"`
}

type offsetView struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Offset    int64  `json:"offset"` // the next that the group reads
	Lag       int64  `json:"lag"`    // records up to the high watermark
}

func (v viewer) groups() []groupView {
	all := []groupView{}
	v.b.groups.look(func(g *group.Groups, _ int64) {
		for _, l := range g.List() {
			_, offsets := g.Fetch(group.FetchRequest{Group: l.Group, Epoch: -1, All: true})
			all = append(all, groupView{
				Name: l.Group, Type: l.Type(), State: l.State.String(), Members: membersOf(g, l), Offsets: v.offsets(offsets),
			})
		}
	})
	return all
}

func membersOf(g *group.Groups, l group.Listed) []memberView {
	all := []memberView{}
	if !l.Consumers {
		for _, m := range g.Describe(l.Group).Members {
			all = append(all, memberView{m.ID, m.Instance, m.ClientID, m.ClientHost})
		}
		return all
	}
	described, _ := g.DescribeConsumers(l.Group)
	for i := range described.Members {
		m := &described.Members[i]
		all = append(all, memberView{m.Member, m.Instance, m.ClientID, m.ClientHost})
	}
	return all
}

// offsets leaves out what is of topics that are gone.
func (v viewer) offsets(fetched []group.Fetched) []offsetView {
	all := []offsetView{}
	for _, f := range fetched {
		t := v.b.topics.byID(f.Partition.Topic)
		if p, err := partitionOf(t, f.Partition.Index, false); err == nil && f.Offset >= 0 {
			all = append(all, offsetView{t.name, f.Partition.Index, f.Offset, max(p.Limit(false)-max(f.Offset, p.Start()), 0)})
		}
	}
	return all
}

type transactionView struct {
	ID         string      `json:"id"`
	State      string      `json:"state"`
	ProducerID int64       `json:"producer_id"`
	Epoch      int16       `json:"epoch"`
	Timeout    int32       `json:"timeout_ms"`
	Started    *time.Time  `json:"started,omitempty"` // of the open one
	Partitions []placeView `json:"partitions,omitempty"`
	Groups     []string    `json:"groups,omitempty"`
}

type placeView struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
}

func (v viewer) transactions() []transactionView {
	all := []transactionView{}
	var in [][]uint32
	v.b.txns.look(func(c *txn.Coordinator, now int64) {
		for _, l := range c.List(txn.Filter{OpenForMs: -1}, now) {
			d, _ := c.Describe(l.ID)
			tv := transactionView{
				ID: l.ID, State: d.State.String(), ProducerID: d.Producer.ID, Epoch: d.Producer.Epoch, Timeout: d.TimeoutMs, Groups: d.Groups,
			}
			if d.State == txn.Ongoing {
				started := time.UnixMilli(d.Started).UTC()
				tv.Started = &started
			}
			all, in = append(all, tv), append(in, d.Partitions)
		}
	})
	for i := range all {
		for _, place := range v.b.topics.placesOf(in[i]) {
			for _, p := range place.Partitions {
				all[i].Partitions = append(all[i].Partitions, placeView{place.Topic, p})
			}
		}
	}
	return all
}

// maxProducersShown is how many producers of a partition are shown.
const maxProducersShown = 1000

type producersView struct {
	placeView

	Known     int            `json:"known"`
	Producers []producerView `json:"producers"` // the latest
}

type producerView struct {
	ID           int64     `json:"id"`
	Epoch        int16     `json:"epoch"`
	LastSequence int32     `json:"last_sequence"` // −1: none in this epoch
	LastTime     time.Time `json:"last_time"`
	OpenSince    *int64    `json:"open_since_offset,omitempty"` // of its transaction
}

// producers are those of one topic's partitions, or of all.
func (v viewer) producers(topic string) []producersView {
	all := []producersView{}
	for _, t := range v.b.topics.list() {
		if topic != "" && t.name != topic {
			continue
		}
		for i, p := range t.partitions {
			all = append(all, producersOf(p, placeView{t.name, int32(i)}))
		}
	}
	return all
}

func producersOf(p *partition.Partition, at placeView) producersView {
	known := p.Producers()
	pv := producersView{placeView: at, Known: len(known), Producers: []producerView{}}
	slices.Reverse(known) // those with open transactions, and the latest, come first
	for _, w := range known[:min(len(known), maxProducersShown)] {
		shown := producerView{ID: w.ID, Epoch: w.Epoch, LastSequence: w.LastSequence, LastTime: time.UnixMilli(w.LastTime).UTC()}
		if w.FirstOffset >= 0 {
			shown.OpenSince = &w.FirstOffset
		}
		pv.Producers = append(pv.Producers, shown)
	}
	return pv
}
