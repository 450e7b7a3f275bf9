// Package handling says by a handler's context what it handles, to who sends for it: an
// inbox and a server of requests leave it there, and a client of others' requests reads it.
package handling

import (
	"context"
	"sync"
)

// Handled is what a handler handles.
type Handled interface {
	// ChildID is the id of what the handler sends by the name of step, or empty if what it
	// handles has none.
	ChildID(step string) string
	// Next counts what this run of the handler has sent of a kind: 1 for the first.
	Next(kind string) int
}

type (
	// Message is the key of contexts under which the [Handled] of an inbox is.
	Message struct{}
	// Request is that of a server of requests.
	Request struct{}
)

// Of returns what the handler of a context handles. A message goes before a request: it
// came inside of it.
func Of(ctx context.Context) (Handled, bool) {
	for _, key := range []any{Message{}, Request{}} {
		if h, ok := ctx.Value(key).(Handled); ok {
			return h, true
		}
	}
	return nil, false
}

// Calls counts what one run of a handler sends. The zero value has counted nothing. It
// keeps an entry for each kind, until the run ends.
type Calls struct {
	mu sync.Mutex
	of map[string]int
}

// Next is the method of [Handled].
func (c *Calls) Next(kind string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.of == nil {
		c.of = map[string]int{}
	}
	c.of[kind]++
	return c.of[kind]
}

// Reset begins another run.
func (c *Calls) Reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.of = nil
}
