package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/hapaxmq/hapax/demo/auditor"
	"github.com/hapaxmq/hapax/httpkey"
)

// client is who pays. It sends a request with the same key until it knows what became of
// it, as clients should; whether the key is heeded is for the gateway to say.
type client struct {
	http *http.Client
	deaf *http.Client // it is cut off from the answer to its first try

	mu       sync.Mutex
	accepted []auditor.Payment
	moved    []auditor.Move
}

// newClient is a client of the gateway at an address, which may change as it is started again.
func newClient(gateway func(context.Context) (string, error)) *client {
	dial := func(ctx context.Context, network, _ string) (net.Conn, error) {
		address, err := gateway(ctx)
		if err != nil {
			return nil, err
		}
		var d net.Dialer
		return d.DialContext(ctx, network, address)
	}
	of := func(base http.RoundTripper) *http.Client {
		return &http.Client{Transport: &httpkey.Transport{Base: base, Tries: 1000, Pause: 20 * time.Millisecond, Longest: time.Second}}
	}
	return &client{
		http: of(&http.Transport{DialContext: dial, DisableKeepAlives: true}),
		deaf: of(&deafOnce{hearing: &http.Transport{DialContext: dial, DisableKeepAlives: true}, dial: dial}),
	}
}

// ask asks for all of a wave: payments at once, but those of a range in their order; and
// moves in theirs.
func (c *client) ask(ctx context.Context, w wave) error {
	var all sync.WaitGroup
	errs := make([]error, len(w.payments)+len(w.moves))
	for i, p := range w.payments {
		all.Go(func() { errs[i] = c.pay(ctx, p, w.fault) })
		if w.fault != nil {
			all.Wait()
		}
	}
	for i, m := range w.moves {
		errs[len(w.payments)+i] = c.move(ctx, m)
	}
	all.Wait()
	return errors.Join(errs...)
}

// told are the payments and moves of which the gateway told that they are accepted.
func (c *client) told() ([]auditor.Payment, []auditor.Move) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.accepted), slices.Clone(c.moved)
}

func (c *client) pay(ctx context.Context, p Payment, f *fault) error {
	var what deed
	if f != nil {
		what = f.do
	}
	by, tries := c.http, 1
	switch what {
	case loseAnswer:
		by = c.deaf
	case sendTwice:
		tries = 2
	}
	answers := make(chan error, tries)
	for range tries {
		go func() { answers <- c.accepts(ctx, by, "/payments", p.ID, p) }()
	}
	for range tries {
		if err := <-answers; err != nil {
			return err
		}
	}
	c.mu.Lock()
	c.accepted = append(c.accepted, auditor.Payment{ID: p.ID, Customer: p.Customer, Cents: p.Cents})
	c.mu.Unlock()
	if what == otherAmount {
		status, err := c.post(ctx, c.http, "/payments", p.ID, Payment{p.ID, p.Customer, p.Cents + 100})
		if err == nil && status != http.StatusCreated && status != http.StatusUnprocessableEntity {
			err = fmt.Errorf("payment %s with another amount: status %d", p.ID, status)
		}
		return err
	}
	return nil
}

func (c *client) move(ctx context.Context, m Move) error {
	if err := c.accepts(ctx, c.http, "/moves", m.ID, m); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.moved = append(c.moved, auditor.Move{Number: m.Number, Customer: m.Customer, Address: m.Address})
	return nil
}

// accepts returns when the gateway has accepted what it is asked for.
func (c *client) accepts(ctx context.Context, by *http.Client, path, key string, of any) error {
	status, err := c.post(ctx, by, path, key, of)
	if err == nil && status != http.StatusCreated {
		err = fmt.Errorf("%s: status %d", key, status)
	}
	return err
}

func (c *client) post(ctx context.Context, by *http.Client, path, key string, of any) (status int, err error) {
	body, err := json.Marshal(of)
	if err != nil {
		return 0, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://gateway"+path, bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	if err := httpkey.SetKey(r.Header, key); err != nil {
		return 0, err
	}
	response, err := by.Do(r)
	if err != nil {
		return 0, err
	}
	return response.StatusCode, response.Body.Close()
}

// deafOnce cuts the connection of each first try when its answer comes.
type deafOnce struct {
	hearing http.RoundTripper
	dial    func(ctx context.Context, network, address string) (net.Conn, error)

	mu   sync.Mutex
	seen map[string]bool // keys
}

func (d *deafOnce) RoundTrip(r *http.Request) (*http.Response, error) {
	key := r.Header.Get(httpkey.Header)
	d.mu.Lock()
	again := d.seen[key]
	if d.seen == nil {
		d.seen = map[string]bool{}
	}
	d.seen[key] = true
	d.mu.Unlock()
	if again {
		return d.hearing.RoundTrip(r)
	}
	deaf := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := d.dial(ctx, network, address)
		return &deafConn{conn}, err
	}}
	return deaf.RoundTrip(r)
}

// deafConn is cut when something comes.
type deafConn struct{ net.Conn }

func (c *deafConn) Read(b []byte) (int, error) {
	if _, err := c.Conn.Read(b); err != nil {
		return 0, err
	}
	return 0, errors.Join(errCut, c.Close())
}

var errCut = errors.New("cut off before the answer")
