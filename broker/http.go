package broker

import (
	"encoding/json"
	"io"
	"net/http"
)

// Handler answers what operators and their tools ask:
//
//	GET /healthz           200 while the process serves
//	GET /readyz            200 while clients can write; 503, and why, when the log has failed
//	GET /metrics           in Prometheus' text format
//	GET /api/node          the node, and how much there is of everything, as JSON
//	GET /api/topics        its topics, their partitions, and how they keep each message once
//	GET /api/groups        its groups, their members, and how far behind each is
//	GET /api/transactions  the transactional ids, and what is open
//	GET /api/producers     who has written to partitions, the latest 1,000 of each; ?topic=NAME for one topic's
//
//	GET /api/v1/topics/{topic}/ids/{id}
//	                       what a topic that keeps each message once knows of an id; ?partition=N or
//	                       ?scope=ID where its scope is the partition, or what records have in common
//
// It changes nothing and is safe for concurrent use.
func (b *Broker) Handler() http.Handler {
	v := viewer{b}
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
		v.writeMetrics(w)
	})
	mux.HandleFunc("GET /api/node", func(w http.ResponseWriter, _ *http.Request) { answerJSON(w, v.node()) })
	mux.HandleFunc("GET /api/topics", func(w http.ResponseWriter, _ *http.Request) { answerJSON(w, v.topics()) })
	mux.HandleFunc("GET /api/groups", func(w http.ResponseWriter, _ *http.Request) { answerJSON(w, v.groups()) })
	mux.HandleFunc("GET /api/transactions", func(w http.ResponseWriter, _ *http.Request) { answerJSON(w, v.transactions()) })
	mux.HandleFunc("GET /api/producers", func(w http.ResponseWriter, r *http.Request) {
		name := r.URL.Query().Get("topic")
		if name != "" && b.topics.named(name) == nil {
			answerText(w, http.StatusNotFound, "there is no such topic\n")
			return
		}
		answerJSON(w, v.producers(name))
	})
	mux.Handle("GET /api/v1/topics/{topic}/ids/{id}", newAsking(v))
	return mux
}

func answerText(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, text) // the client may be gone
}

func answerJSON(w http.ResponseWriter, v any) {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		answerText(w, http.StatusInternalServerError, err.Error()+"\n")
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(append(b, '\n')) // the client may be gone
}
