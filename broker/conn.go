package broker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// maxAnswers is how many requests of one connection may wait for their answers
// before the next is read. Clients have five under way as a rule.
const maxAnswers = 64

// answer is what a handler gives: a response, once wait has returned.
type answer struct {
	response kmsg.Response // nil: none is to be sent
	records  *fetched      // instead of it
	wait     func(ctx context.Context) error
	soon     bool // it waits for the log alone, which is synced for it
}

// ready is an answer that waits for nothing.
func ready(r kmsg.Response) answer { return answer{response: r} }

// conn is one client's connection. Its reader runs handlers; its writer sends the
// answers in order, and waits for what they wait for.
type conn struct {
	b      *Broker
	net    net.Conn
	listen *listener // whose name clients are told
	client string    // the id of its last request
	login  *login    // nil: the listener wants none
	over   error     // the answer to the request is the last

	patience patience

	answers chan queued
	behind  atomic.Int32 // answers that the writer has not sent
	raw     *rawConn     // of net, if it has one
	out     []byte       // the last response, to be used again
	copied  []byte       // the same, of batches that were copied
}

type queued struct {
	answer
	correlation int32
	sent        chan struct{} // it is closed when the answer was sent; nil: nobody wants to know
}

// serve answers requests until the client goes, sends what is no request, or ctx
// ends: what was read then is answered still.
func (c *conn) serve(ctx context.Context) error {
	c.answers = make(chan queued, maxAnswers)
	written := make(chan error, 1)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		err := c.writeAll(ctx)
		cancel()
		_ = c.net.Close() // the reader may be waiting in it
		written <- err
	}()
	err := c.readAll(ctx)
	cancel() // nobody waits for records any more
	close(c.answers)
	if wrote := <-written; wrote != nil {
		err = wrote
	}
	if errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) {
		err = nil
	}
	return err
}

func (c *conn) readAll(ctx context.Context) error {
	in := newIntake(c.net, c.b.memory, &c.patience)
	defer in.done()
	busy := func() bool { return c.behind.Load() > 0 }
	var last longFetch
	for {
		if err := c.patience.awaitRequest(in.Reader, c.login.done(), busy); err != nil {
			return err
		}
		if c.login != nil && c.login.bare {
			if err := readToken(ctx, c, in); err != nil {
				return err
			}
			continue
		}
		if err := last.end(ctx); err != nil {
			return err
		}
		frame, err := in.request(ctx, c.login.maxFrame(&c.b.settings))
		if err != nil {
			return err
		}
		h, rest, err := readHeader(frame)
		if err != nil {
			return err
		}
		a, err := c.handle(ctx, h, rest)
		if a.records != nil && in.share != nil {
			a.wait = last.begin(ctx, a.wait)
		}
		in.done()
		if err != nil {
			return err
		}
		if err := c.put(ctx, queued{a, h.correlation, last.sent}, in.Buffered() == 0 && len(frame) < slow); err != nil {
			return err
		}
		if c.over != nil {
			return c.over
		}
	}
}

// maxSpare is how much memory a connection keeps for its next answer.
const maxSpare = 2 << 20

// handle decodes a request and runs its handler, which must not keep any of its
// bytes beyond the call.
func (c *conn) handle(ctx context.Context, h header, rest []byte) (answer, error) {
	api, known := c.b.apis[h.key]
	switch {
	case !known && h.key != keyAPIVersions:
		return answer{}, fmt.Errorf("%w: there is no request %d", errFrame, h.key)
	case h.version < api.min || h.version > api.max:
		if h.key == keyAPIVersions {
			return ready(c.b.unsupportedAPIVersions()), nil
		}
		return answer{}, fmt.Errorf("%w: %s version %d is not served", errFrame, kmsg.NameForKey(h.key), h.version)
	}
	if err := c.login.admits(h.key); err != nil {
		return answer{}, err
	}
	req, err := api.readRequest(h, rest)
	if err != nil {
		return answer{}, err
	}
	c.client = h.client
	if int(h.key) < maxKey {
		c.b.counters.requests[h.key].Add(1)
	}
	c.b.counters.bytesIn.Add(uint64(len(rest)))
	return api.handle(c, ctx, req), nil
}

// longFetch is the last fetch of a connection that was longer than its own memory. What
// it keeps until it is answered is many times its length: so there is one at a time, and
// it waits for records only as long as nothing comes behind it.
type longFetch struct {
	hurry context.CancelFunc
	sent  chan struct{} // it is closed when the answer was sent; nil: there is none
}

// begin is one, with what it waits for.
func (l *longFetch) begin(ctx context.Context, wait func(context.Context) error) func(context.Context) error {
	ctx, l.hurry = context.WithCancel(ctx)
	l.sent = make(chan struct{})
	if wait == nil {
		return nil
	}
	return func(context.Context) error { return wait(ctx) }
}

// end returns when it is answered.
func (l *longFetch) end(ctx context.Context) error {
	if l.sent == nil {
		return nil
	}
	l.hurry()
	select {
	case <-l.sent:
		l.sent = nil
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// slow is the size of a request that takes as long as a sync of the log: behind one of
// those the next is read meanwhile.
const slow = 64 << 10

// put hands an answer to the writer. With none behind it the reader sends it, if
// there is nothing to wait for or nothing else to read: that saves a switch between
// goroutines.
func (c *conn) put(ctx context.Context, q queued, idle bool) error {
	if c.behind.Load() == 0 && (q.wait == nil || q.soon && idle) {
		return c.give(ctx, q)
	}
	c.behind.Add(1)
	select {
	case c.answers <- q:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// give sends an answer once it has what it waits for.
func (c *conn) give(ctx context.Context, q queued) error {
	if q.wait != nil {
		if err := q.wait(ctx); err != nil {
			return err
		}
	}
	err := c.send(q)
	if q.sent != nil {
		close(q.sent)
	}
	return err
}

func (c *conn) writeAll(ctx context.Context) error {
	for q := range c.answers {
		if err := c.give(ctx, q); err != nil {
			return err
		}
		c.behind.Add(-1)
	}
	return nil
}

// send writes a response. One goroutine does so at a time: the reader when no
// answer is behind, else the writer.
func (c *conn) send(q queued) error {
	var err error
	c.patience.answer()
	switch {
	case q.records != nil:
		err = c.sendRecords(q.records, q.correlation)
	case q.response != nil:
		c.out = appendResponse(c.out[:0], q.correlation, q.response)
		_, err = c.net.Write(c.out)
	}
	if cap(c.out) > maxSpare {
		c.out = nil
	}
	return err
}

func (c *conn) sendRecords(f *fetched, correlation int32) error {
	defer f.open.release()
	b, gaps := f.append(c.out[:0], correlation)
	c.b.counters.bytesOut.Add(uint64(f.bytes))
	s := sender{to: c.net, raw: c.raw, out: c.copied[:0], open: &f.open}
	err := s.send(b, gaps)
	c.out, c.copied = b, s.out
	if cap(c.copied) > maxSpare {
		c.copied = nil
	}
	return err
}

// whenDurable is an answer that is filled in when the log is synced to an end, or
// cannot be.
func (b *Broker) whenDurable(resp kmsg.Response, end int64, err error, fill func(error)) answer {
	if err != nil {
		fill(err)
		return ready(resp)
	}
	return answer{response: resp, soon: true, wait: func(context.Context) error {
		fill(b.wal.Sync(end))
		return nil
	}}
}
