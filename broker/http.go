package broker

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"

	"github.com/VictoriaMetrics/metrics"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/hapaxmq/hapax/broker/group"
)

// counters count since the node was opened.
type counters struct {
	connections  atomic.Int64 // now
	accepted     atomic.Uint64
	requests     [maxKey]atomic.Uint64
	logins       atomic.Uint64
	loginsFailed atomic.Uint64
	bytesIn      atomic.Uint64
	bytesOut     atomic.Uint64 // of batches
}

// maxKey is above the keys of all requests.
const maxKey = 128

// Handler answers what operators and their tools ask:
//
//	GET /healthz      200 while the process serves
//	GET /readyz       200 while clients can write; 503, and why, when the log has failed
//	GET /metrics      in Prometheus' text format
//	GET /api/node     the node, its topics, groups and transactions, as JSON
//
// It changes nothing and is safe for concurrent use.
func (b *Broker) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { answerText(w, http.StatusOK, "ok\n") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if err := b.wal.Err(); err != nil {
			answerText(w, http.StatusServiceUnavailable, err.Error()+"\n")
			return
		}
		answerText(w, http.StatusOK, "ok\n")
	})
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
		b.writeMetrics(w)
	})
	mux.HandleFunc("GET /api/node", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		_ = e.Encode(b.view()) // the client may be gone
	})
	return mux
}

func answerText(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, text) // the client may be gone
}

func (b *Broker) writeMetrics(w io.Writer) {
	metrics.ExposeMetadata(true)
	metrics.WriteGaugeUint64(w, "hapax_connections", uint64(max(b.counters.connections.Load(), 0)))
	metrics.WriteCounterUint64(w, "hapax_connections_accepted_total", b.counters.accepted.Load())
	metrics.WriteCounterUint64(w, `hapax_logins_total{result="ok"}`, b.counters.logins.Load())
	metrics.WriteCounterUint64(w, `hapax_logins_total{result="failed"}`, b.counters.loginsFailed.Load())
	metrics.WriteCounterUint64(w, "hapax_request_bytes_total", b.counters.bytesIn.Load())
	metrics.WriteCounterUint64(w, "hapax_fetched_bytes_total", b.counters.bytesOut.Load())
	for key := range b.counters.requests {
		if n := b.counters.requests[key].Load(); n > 0 {
			metrics.WriteCounterUint64(w, fmt.Sprintf("hapax_requests_total{api=%q}", kmsg.NameForKey(int16(key))), n)
		}
	}
	b.cleaner.counts.write(w)
	failed := uint64(0)
	if b.wal.Err() != nil {
		failed = 1
	}
	metrics.WriteGaugeUint64(w, "hapax_log_read_only", failed)
	metrics.WriteGaugeUint64(w, "hapax_log_unsynced_bytes", uint64(max(b.wal.End()-b.wal.Synced(), 0)))
	v := b.view()
	metrics.WriteGaugeUint64(w, "hapax_topics", uint64(len(v.Topics)))
	metrics.WriteGaugeUint64(w, "hapax_groups", uint64(len(v.Groups)))
	metrics.WriteGaugeUint64(w, "hapax_transactions_open", uint64(v.Transactions.Open))
	for _, t := range v.Topics {
		for i, p := range t.Partitions {
			metrics.WriteGaugeUint64(w, fmt.Sprintf("hapax_partition_start_offset{topic=%q,partition=\"%d\"}", t.Name, i), uint64(p.Start))
			metrics.WriteGaugeUint64(w, fmt.Sprintf("hapax_partition_high_watermark{topic=%q,partition=\"%d\"}", t.Name, i), uint64(p.High))
		}
	}
	metrics.WriteProcessMetrics(w)
}

// nodeView is the node as GET /api/node shows it.
type nodeView struct {
	Cluster      string      `json:"cluster"`
	Topics       []topicView `json:"topics"`
	Groups       []groupView `json:"groups"`
	Transactions struct {
		IDs  int `json:"ids"`
		Open int `json:"open"`
	} `json:"transactions"`
}

type topicView struct {
	Name       string          `json:"name"`
	Partitions []partitionView `json:"partitions"`
}

type partitionView struct {
	Start  int64 `json:"start"`
	High   int64 `json:"high_watermark"`
	Stable int64 `json:"last_stable_offset"`
}

type groupView struct {
	Name  string `json:"name"`
	Type  string `json:"type"`
	State string `json:"state"`
}

func (b *Broker) view() nodeView {
	v := nodeView{Cluster: b.identity.Cluster, Topics: []topicView{}, Groups: []groupView{}}
	for _, t := range b.topics.list() {
		tv := topicView{Name: t.name, Partitions: []partitionView{}}
		for _, p := range t.partitions {
			tv.Partitions = append(tv.Partitions, partitionView{Start: p.Start(), High: p.Limit(false), Stable: p.Limit(true)})
		}
		v.Topics = append(v.Topics, tv)
	}
	b.groups.look(func(g *group.Groups, _ int64) {
		for _, l := range g.List() {
			v.Groups = append(v.Groups, groupView{l.Group, l.Type(), l.State.String()})
		}
	})
	v.Transactions.IDs, v.Transactions.Open = b.txns.count()
	return v
}
