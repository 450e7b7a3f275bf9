//go:build unix

package brokertest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Broker is a program that can be tortured.
type Broker struct {
	// Command is a process that goes on with what the one before it left. It listens on
	// both addresses, and tells who comes to the first to come to Advertise instead.
	Command func(Addresses) *exec.Cmd
	// Setup is called once before the first Command; nil: there is nothing to do.
	Setup func(context.Context, Addresses) error
	// Start is how long it may take to be ready, or to stop; default ten seconds.
	Start time.Duration
	// Stopped is the exit code of a clean stop.
	Stopped int
	// WithinEpoch says that idempotent writes are in order and there once only within an
	// epoch of their producer. Of each producer Apache Kafka's snapshots have but the last
	// batch: after a restart one before it that is sent again is out of order. And it takes
	// any sequence number of a producer that it does not know: the second batch, if the
	// first was refused for now. Both times the client begins another epoch, and writes
	// again what it knows nothing of.
	WithinEpoch bool
	// NoWindows says that it has no topics with windows.
	NoWindows bool
	// Disk is what holds its data, if that can be filled.
	Disk *Disk
}

// Addresses are where clients come to.
type Addresses struct {
	Proxied   string // what the proxy connects to
	Advertise string // the proxy's own address
	Direct    string
}

// Course is a length of torture.
type Course struct {
	Seed   uint64
	Length time.Duration // of faults; what is acknowledged by then is checked afterwards
}

// Run tortures a broker. An error says that there was no telling.
func (c Course) Run(ctx context.Context, b Broker) (Report, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if b.Start == 0 {
		b.Start = 10 * time.Second
	}
	run := &running{Course: c, broker: b, rng: rand.New(rand.NewPCG(c.Seed, 0)), timeline: newTimeline()}
	run.history = newHistory(run.timeline, 6*b.Start)
	if err := run.all(ctx); err != nil {
		run.history.broken(err)
	}
	if run.proxy != nil {
		run.proxy.close()
	}
	if run.process != nil {
		_ = run.process.end(syscall.SIGKILL) // it has served
	}
	findings, err := run.history.result()
	if len(findings) > 0 {
		err = nil // which may come of them
	}
	return run.report(findings), err
}

// running is a course as it is run.
type running struct {
	Course
	broker   Broker
	rng      *rand.Rand
	timeline *timeline
	history  *history
	proxy    *proxy
	process  *process
	cast     *cast
	ready    time.Duration // how long the last start took
}

func (r *running) all(ctx context.Context) (err error) {
	if err := r.begin(ctx); err != nil {
		return err
	}
	var reading, writing sync.WaitGroup
	working, stopWork := context.WithCancel(ctx)
	defer func() {
		if err != nil {
			r.history.broken(err)
		}
		stopWork()
		writing.Wait()
		reading.Wait()
	}()
	live := [2]*reader{r.cast.reader("live, read committed", true), r.cast.reader("live", false)}
	for _, x := range live {
		reading.Go(func() { x.read(working, r.cast.proxied) })
	}
	stopping, stop := context.WithCancel(working)
	names := r.write(stopping, working, &writing)
	defer stop()
	for r.timeline.now() < r.Length && !r.history.wrong() {
		if err := r.harm(ctx); err != nil {
			return err
		}
	}
	if r.history.wrong() {
		return nil
	}
	r.proxy.quiet()
	r.history.awaitEach(names)
	stop()
	writing.Wait()
	if r.history.wrong() {
		return nil
	}
	defer time.AfterFunc(r.history.patience, stopWork).Stop()
	return r.judge(working, live, &reading)
}

func (r *running) begin(ctx context.Context) (err error) {
	var at Addresses
	if at.Proxied, err = freeAddress(); err != nil {
		return err
	}
	if at.Direct, err = freeAddress(); err != nil {
		return err
	}
	if r.proxy, err = newProxy(r.timeline, at.Proxied, r.Seed); err != nil {
		return err
	}
	at.Advertise = r.proxy.address()
	r.cast = &cast{history: r.history, withinEpoch: r.broker.WithinEpoch, windows: !r.broker.NoWindows, direct: at.Direct, proxied: at.Advertise}
	if r.broker.Setup != nil {
		if err := r.broker.Setup(ctx, at); err != nil {
			return err
		}
	}
	r.process = &process{
		timeline: r.timeline, address: at.Direct, patience: r.broker.Start, stopped: r.broker.Stopped,
		command: func() *exec.Cmd { return r.broker.Command(at) },
		died:    func(how string) { r.history.find("it does not end by itself", "the broker has ended: %s", how) },
	}
	if err := r.process.start(ctx); err != nil {
		return err
	}
	return r.cast.makeTopics(ctx)
}

// freeAddress is one that nobody listens on.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// write starts the writers, and gives their names.
func (r *running) write(stopping, ctx context.Context, writing *sync.WaitGroup) (names []string) {
	source := func() *rand.Rand { return rand.New(rand.NewPCG(r.rng.Uint64(), 3)) }
	for _, p := range []*producer{
		{name: "p0", address: r.cast.proxied, topic: "p"},
		{name: "p1", address: r.cast.proxied, topic: "p"},
		{name: "p2", address: r.cast.direct, topic: "p"},
		{name: "p3", address: r.cast.proxied, topic: keyed},
	} {
		p.cast, p.rng = r.cast, source()
		writing.Go(func() { p.live(stopping, ctx) })
		names = append(names, p.name)
	}
	all := []place{{"x", 0}, {"x", 1}, {"y", 0}}
	in := append([]place{{"in", 0}, {keyed, 0}}, all...)
	writers := []*writer{
		{name: "t0", address: r.cast.proxied, to: in},
		{name: "t1", address: r.cast.direct, to: in, old: true},
		{name: "t2", address: r.cast.proxied, to: []place{{keyed, 0}}, ponders: true},
		{name: "c0", address: r.cast.proxied, to: all, group: "g0"},
		{name: "c2", address: r.cast.proxied, to: all, group: "g2", newer: true},
		{name: "c1", address: r.cast.direct, to: all, group: "g1", old: true},
	}
	if r.cast.windows {
		to := []place{{once, 0}, {once, 1}}
		writers = append(writers,
			&writer{name: "o0", address: r.cast.proxied, to: to},
			&writer{name: "o1", address: r.cast.direct, to: to, old: true},
			&writer{name: "o2", address: r.cast.proxied, to: to, strays: true})
		for _, p := range []*repeater{{name: "p4", address: r.cast.proxied}, {name: "p5", address: r.cast.proxied}, {name: "p6", address: r.cast.direct}} {
			p.cast, p.rng = r.cast, source()
			writing.Go(func() { p.live(stopping, ctx) })
			names = append(names, p.name)
		}
	}
	for _, w := range writers {
		w.cast, w.rng = r.cast, source()
		writing.Go(func() { w.live(stopping, ctx) })
		names = append(names, w.name)
	}
	return names
}

// harm does something to the process, when writers have come some way.
func (r *running) harm(ctx context.Context) error {
	some := 1 + r.rng.IntN(1<<(1+r.rng.IntN(12)))
	if r.ready > time.Second {
		some += 2000 // else nothing is done between two starts
	}
	r.history.await(some)
	if r.history.wrong() || ctx.Err() != nil {
		return ctx.Err()
	}
	what := r.rng.IntN(16)
	switch {
	case what == 0 && r.broker.Disk != nil:
		return r.fill(ctx)
	case what < 3:
		r.process.pause(ctx, time.Duration(r.rng.Int64N(int64(1500*time.Millisecond))))
		return nil
	case what < 4:
		if err := r.process.stop(); err != nil {
			return err
		}
		return r.restart(ctx)
	case what < 10: // at the worst of times: somebody was just told something
		var told <-chan struct{}
		if key := []int16{keyTwin, keyProduce, keyEndTxn, keyTxnOffsetCommit, keyInitProducerID}[r.rng.IntN(5)]; key == keyTwin {
			told = r.proxy.doubled()
		} else {
			told = r.proxy.answered(key)
		}
		timer := time.NewTimer(time.Second)
		defer timer.Stop()
		select {
		case <-told:
		case <-timer.C:
		case <-ctx.Done():
		}
	}
	r.process.kill()
	for r.rng.IntN(4) == 0 { // and again, while it comes up
		if _, err := r.process.begin(); err != nil {
			return err
		}
		wait(ctx, time.Duration(r.rng.Int64N(int64(r.ready)+int64(time.Millisecond))))
		r.timeline.note("kill while starting", "")
		_ = r.process.end(syscall.SIGKILL)
	}
	return r.restart(ctx)
}

// restart measures how long a start takes, which is when kills may hit one.
func (r *running) restart(ctx context.Context) error {
	began := r.timeline.now()
	err := r.process.start(ctx)
	r.ready = r.timeline.now() - began
	if err != nil && ctx.Err() == nil {
		r.history.find("it comes up again", "%v", err)
		return nil
	}
	return err
}

// fill fills the disk, lets writers meet that, and makes room again. What has failed
// goes on with a restart.
func (r *running) fill(ctx context.Context) error {
	left := r.rng.Int64N(256 << 10)
	r.timeline.note("disk full", fmt.Sprintf("but for %d bytes", left))
	if err := r.broker.Disk.Fill(left); err != nil {
		return err
	}
	wait(ctx, time.Duration(r.rng.Int64N(int64(time.Second))))
	for r.rng.IntN(2) == 0 { // it need not come up, but must not harm what there is
		r.process.kill()
		if _, err := r.process.begin(); err != nil {
			return err
		}
		r.process.expectEnd()
		wait(ctx, time.Duration(r.rng.Int64N(int64(500*time.Millisecond))))
	}
	if err := r.broker.Disk.Free(); err != nil {
		return err
	}
	r.timeline.note("room again", "")
	r.process.kill()
	return r.restart(ctx)
}

// judge lets readers come to the end, and compares.
func (r *running) judge(ctx context.Context, live [2]*reader, reading *sync.WaitGroup) error {
	client, err := kgo.NewClient(r.cast.options(r.cast.direct)...)
	if err != nil {
		return err
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	if err := r.cast.settle(ctx, admin); err != nil || r.history.wrong() {
		return err
	}
	if err := r.cast.seal(ctx); err != nil {
		return fmt.Errorf("seal: %w", err)
	}
	final := [2]*reader{r.cast.reader("afterwards, read committed", true), r.cast.reader("afterwards", false)}
	for _, x := range final {
		reading.Go(func() { x.read(ctx, r.cast.direct) })
	}
	reading.Wait()
	if r.history.wrong() {
		return nil
	}
	e := &evidence{history: r.history, live: live, final: final, groups: map[string]int64{}, copiers: map[string]string{"c0": "g0", "c1": "g1", "c2": "g2"}}
	for _, group := range e.copiers {
		offsets, err := admin.FetchOffsets(ctx, group)
		if err != nil {
			return err
		}
		at, _ := offsets.Lookup("in", 0)
		e.groups[group] = at.At
	}
	e.check()
	return nil
}

func (r *running) report(findings []Finding) Report {
	acked, done, undone, unclear := r.history.count()
	counts := r.timeline.tally()
	delete(counts, "ready")
	return Report{Seed: r.Seed, Took: r.timeline.now(), Done: counts, Acked: acked, Outcomes: [3]int{done, undone, unclear}, Findings: findings}
}
