package broker

import (
	"encoding/json"
	"io"
	"net/http"

	"github.com/hapaxmq/hapax/broker/code"
)

// Handler answers what operators and their tools ask:
//
//	GET /healthz              200 while the process serves
//	GET /readyz               200 while clients can write; 503, and why, when the log has failed
//	GET /metrics              in Prometheus' text format
//	GET /api/v1/node          the node, and how much there is of everything
//	GET /api/v1/topics        its topics, their partitions, and how they keep each message once
//	GET /api/v1/groups        its groups, their members, and how far behind each is
//	GET /api/v1/transactions  the transactional ids, and what is open
//	GET /api/v1/producers     who has written to partitions, the latest 1,000 of each; ?topic=NAME for one topic's
//
//	GET /api/v1/topics/{topic}/ids/{id}
//	                          what a topic that keeps each message once knows of an id; ?partition=N or
//	                          ?scope=ID where its scope is the partition, or what records have in common;
//	                          ?encoding=hex or base64 where id and scope are given so, for they may be any bytes
//	GET /api/v1/topics/{topic}/ids?part=A&part=B
//	                          the same of an id of several parts, in the order of hapax.identity: of header:a+key,
//	                          json:a,b or cloudevents (the source and the id)
//
// What is under /api is JSON, errors too: {"error": "what is wrong"}, with 400 for what
// cannot be asked, 404 for what there is not, 405 for other methods, and 503 for what
// cannot be told now. It changes nothing and is safe for concurrent use.
func (b *Broker) Handler() http.Handler {
	v, ids := viewer{b}, newAsking(viewer{b})
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
	for path, ask := range map[string]question{
		"node":         func(*http.Request) (any, error) { return v.node(), nil },
		"topics":       func(*http.Request) (any, error) { return v.topics(), nil },
		"groups":       func(*http.Request) (any, error) { return v.groups(), nil },
		"transactions": func(*http.Request) (any, error) { return v.transactions(), nil },
		"producers": func(r *http.Request) (any, error) {
			name := r.URL.Query().Get("topic")
			if name != "" && b.topics.named(name) == nil {
				return nil, noTopicCalled(name)
			}
			return v.producers(name), nil
		},
		"topics/{topic}/ids/{id}": ids.about,
		"topics/{topic}/ids":      ids.about,
	} {
		mux.Handle("/api/v1/"+path, ask)
	}
	mux.Handle("/api/", question(func(r *http.Request) (any, error) {
		return nil, refuse(code.ResourceNotFound, "there is nothing at %s: want /api/v1/ and node, topics, groups, transactions, producers or topics/TOPIC/ids/ID", r.URL.Path)
	}))
	return mux
}

// question is what is answered with JSON.
type question func(*http.Request) (any, error)

func (ask question) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		answerJSON(w, http.StatusMethodNotAllowed, apiError{r.Method + " is not served: want GET"})
		return
	}
	view, err := ask(r)
	if err != nil {
		answerJSON(w, statusOf(err), apiError{err.Error()})
		return
	}
	answerJSON(w, http.StatusOK, view)
}

// apiError is the answer to what cannot be answered.
type apiError struct {
	Error string `json:"error"`
}

// statusOf is an error's status.
func statusOf(err error) int {
	switch codeOf(err) {
	case code.UnknownTopicOrPartition, code.ResourceNotFound:
		return http.StatusNotFound
	case code.InvalidRequest:
		return http.StatusBadRequest
	}
	return http.StatusServiceUnavailable
}

func answerText(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, text) // the client may be gone
}

func answerJSON(w http.ResponseWriter, status int, v any) {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		answerText(w, http.StatusInternalServerError, err.Error()+"\n")
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(b, '\n')) // the client may be gone
}
