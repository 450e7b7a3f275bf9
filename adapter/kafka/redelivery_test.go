package kafka_test

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/adapter/kafka"
	"github.com/hapaxmq/hapax/inbox"
)

// redeliveries makes records come again in every way that a broker has, with marks by
// id and by position: each takes effect once.
func redeliveries(t *testing.T, addr string) {
	for _, identity := range []string{"header:id", inbox.ByPosition} {
		t.Run(identity, func(t *testing.T) {
			for name, test := range map[string]func(*testing.T, string, string){
				"killed": killed, "revoked": revoked, "late": late, "hanging": hanging,
			} {
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					test(t, addr, identity)
				})
			}
		})
	}
}

func TestRedeliveries(t *testing.T) { redeliveries(t, serve(t)) }

// A rebalance in the middle of a batch: the partitions that go are worked on no more,
// and the next member begins where the first had settled all.
func revoked(t *testing.T, addr, identity string) {
	const partitions, count = 4, 400
	w := newWorld(t, addr, identity, partitions)
	w.produce(count, partitions)
	var handled, seen atomic.Int64
	done, begun, cause := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	ended := func(d inbox.Delivery) {
		if d.Outcome == hapax.Executed && handled.Add(1) == count {
			close(done)
		}
	}
	plain := habits{batch: true, options: kafka.Options{Batch: 20}, ended: ended,
		opts: []kgo.Opt{kgo.Balancers(kgo.RangeBalancer())}} // which revokes all
	stopped := plain
	stopped.work = func(ctx context.Context, _ *hapax.Message) error {
		if seen.Add(1) != count/8+7 {
			return nil
		}
		close(begun)
		<-ctx.Done()
		cause <- context.Cause(ctx)
		return context.Cause(ctx)
	}
	first := w.join(stopped)
	await(w, begun)
	second := w.join(plain)
	if err := await(w, cause); !errors.Is(err, kafka.ErrRevoked) {
		t.Errorf("the handler's context ended with %v", err)
	}
	await(w, done)
	w.leave(first)
	w.leave(second)
	w.audit(count)
	w.wantCommitted()
}

// An acknowledgement after the session's timeout: the group has gone on, and the late
// commit is refused.
func late(t *testing.T, addr, identity string) {
	const count = 60
	w := newWorld(t, addr, identity, 1)
	w.produce(count, 1)
	var link link
	link.thaw()
	stuck, release, done := make(chan struct{}), make(chan struct{}), make(chan struct{})
	var once sync.Once
	var handled atomic.Int64
	first := w.join(habits{
		options: kafka.Options{Commit: patience}, opts: []kgo.Opt{kgo.Dialer(link.dial)},
		ended: func(d inbox.Delivery) {
			if d.Outcome == hapax.Executed && handled.Add(1) == count/2 {
				once.Do(func() {
					link.freeze()
					close(stuck)
					<-release
				})
			}
		},
	})
	await(w, stuck)
	second := w.join(habits{ended: func(d inbox.Delivery) {
		if d.Outcome == hapax.Executed && handled.Add(1) == count {
			close(done)
		}
	}})
	await(w, done)
	if second.replayed.Load() == 0 {
		t.Error("no copy came to the second member")
	}
	w.leave(second)
	close(release)
	link.thaw()
	w.leave(first)
	w.audit(count)
	w.wantCommitted()
}

// A code path that never acknowledges: it holds up its partition alone, and when its
// member goes the record comes to another one.
func hanging(t *testing.T, addr, identity string) {
	const partitions, count = 2, 100
	w := newWorld(t, addr, identity, partitions)
	w.produce(count, partitions)
	var others atomic.Int64
	free := make(chan struct{})
	first := w.join(habits{
		options: kafka.Options{Commit: patience},
		began: func(ctx context.Context, m *hapax.Message) {
			if id(m) == "6" { // the fourth of its partition
				<-ctx.Done()
			}
		},
		ended: func(d inbox.Delivery) {
			if d.Outcome == hapax.Executed && others.Add(1) == count/partitions+3 {
				close(free)
			}
		},
	})
	await(w, free)
	first.stop()
	if err := await(w, first.ran); err != nil {
		t.Error(err)
	}
	done := make(chan struct{})
	second := w.join(habits{ended: func(d inbox.Delivery) {
		if d.Outcome == hapax.Executed && others.Add(1) == count {
			close(done)
		}
	}})
	await(w, done)
	w.leave(second)
	w.audit(count)
	w.wantCommitted()
}

// link are connections that can be frozen: what is written then goes nowhere before
// they thaw.
type link struct {
	mu     sync.Mutex
	thawed chan struct{}
}

func (l *link) freeze() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.thawed = make(chan struct{})
}

func (l *link) thaw() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.thawed == nil {
		l.thawed = make(chan struct{})
	}
	close(l.thawed)
}

func (l *link) open() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.thawed
}

func (l *link) dial(ctx context.Context, network, address string) (net.Conn, error) {
	select {
	case <-l.open():
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	c, err := new(net.Dialer).DialContext(ctx, network, address)
	return &frozenConn{Conn: c, link: l, closed: make(chan struct{})}, err
}

type frozenConn struct {
	net.Conn

	link   *link
	once   sync.Once
	closed chan struct{}
}

func (c *frozenConn) Write(b []byte) (int, error) {
	select {
	case <-c.link.open():
		return c.Conn.Write(b)
	case <-c.closed:
		return 0, net.ErrClosed
	}
}

func (c *frozenConn) Close() error {
	c.once.Do(func() { close(c.closed) })
	return c.Conn.Close()
}
