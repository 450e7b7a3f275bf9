package demo

import (
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hapaxmq/hapax/demo/auditor"
)

// offices are those outside who act for payments, and can't take it back: the bank and the
// mail server, which know a request by its key if it has one, and a mail server that knows
// no keys. They write down what they do.
type offices struct {
	server *http.Server
	url    string

	mu   sync.Mutex
	done map[string][]auditor.Effect // by column
	keys map[string]bool
}

func newOffices() (*offices, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	o := &offices{url: "http://" + listener.Addr().String(), done: map[string][]auditor.Effect{}, keys: map[string]bool{}}
	routes := http.NewServeMux()
	routes.HandleFunc("POST /{column}/{kind}", o.act)
	o.server = &http.Server{Handler: routes, ReadHeaderTimeout: time.Minute}
	go func() {
		if err := o.server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			panic(err) // the listener is ours
		}
	}()
	return o, nil
}

func (o *offices) act(w http.ResponseWriter, r *http.Request) {
	var p Payment
	if err := json.NewDecoder(r.Body).Decode(&p); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	column, kind, key := r.PathValue("column"), r.PathValue("kind"), r.Header.Get("Idempotency-Key")
	o.mu.Lock()
	defer o.mu.Unlock()
	known := strings.Join([]string{column, kind, key}, " ")
	if key == "" || kind == effectKeyless || !o.keys[known] {
		o.keys[known] = true
		o.done[column] = append(o.done[column], auditor.Effect{Kind: kind, Payment: p.ID, Cents: p.Cents})
	}
	w.WriteHeader(http.StatusCreated)
}

// effects are what was done for a column.
func (o *offices) effects(column string) []auditor.Effect {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.done[column])
}

func (o *offices) close() { _ = o.server.Close() } // nobody asks any more
