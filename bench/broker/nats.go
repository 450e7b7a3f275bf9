package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/synadia-io/orbit.go/jetstreamext"

	"github.com/hapaxmq/hapax/bench/measure"
	"github.com/hapaxmq/hapax/bench/report"
	"github.com/hapaxmq/hapax/bench/server"
	"github.com/hapaxmq/hapax/bench/stream"
)

// natsServer is where the NATS server's binary is, once it is built.
func (b *bench) natsServer() string { return filepath.Join(b.dir, "nats-server") }

// buildNATS builds the server that go.mod has among its tools.
func (b *bench) buildNATS() error {
	build := exec.CommandContext(b.ctx, "go", "build", "-o", b.natsServer(), "github.com/nats-io/nats-server/v2")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build NATS (run in bench/): %w: %s", err, out)
	}
	return nil
}

// nats is a server with JetStream, as it comes but for what settings say.
func (b *bench) nats(name, settings string) (*node, error) {
	address, err := server.FreeAddress()
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(b.dir, name)
	config := dir + ".conf"
	text := fmt.Sprintf("listen: %q\njetstream { store_dir: %q\n%s }\n", address, dir, settings)
	if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
		return nil, err
	}
	n := &node{&server.Node{
		Name: name, Address: address, Output: dir + ".log",
		Command: func() *exec.Cmd { return exec.Command(b.natsServer(), "-c", config) },
	}}
	if err := n.Start(b.ctx); err != nil {
		return nil, err
	}
	return n, nil
}

// jet is a stream with a window of an hour, and how it is published to.
type jet struct {
	name   string // in the table
	server *node
	fast   bool // by fast publishing and not by PublishMsgAsync
}

const subject = "ids"

// connect runs f with a client of a server.
func (n *node) connect(f func(jetstream.JetStream) error) error {
	nc, err := nats.Connect("nats://" + n.Address)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc) // with up to 4,000 messages under way, as it comes
	if err != nil {
		return err
	}
	return f(js)
}

// create makes the server's stream anew.
func (j jet) create(b *bench) error {
	return j.server.connect(func(js jetstream.JetStream) error {
		if err := js.DeleteStream(b.ctx, subject); err != nil && !errors.Is(err, jetstream.ErrStreamNotFound) {
			return err
		}
		_, err := js.CreateStream(b.ctx, jetstream.StreamConfig{
			Name: subject, Subjects: []string{subject}, Storage: jetstream.FileStorage,
			Duplicates: time.Hour, AllowBatchPublish: j.fast,
		})
		return err
	})
}

// publish publishes parts that byHeader made, with their ids or without, or as many
// as it can until the deadline, and returns how many and the time until the last was
// acknowledged.
func (j jet) publish(b *bench, slabs func() []byte, part int, named bool, most time.Duration) (sent int64, d time.Duration, err error) {
	err = j.server.connect(func(js jetstream.JetStream) error {
		var failed firstError
		add, end, err := j.publisher(b, js, &failed)
		if err != nil {
			return err
		}
		began := time.Now()
		late := false
		for parts := slabs(); len(parts) > 0 && !late; parts = slabs() {
			for ; len(parts) > 0 && !late; parts = parts[part:] {
				m := &nats.Msg{Subject: subject, Data: parts[idBytes:part]}
				if named {
					m.Header = nats.Header{jetstream.MsgIDHeader: []string{string(parts[:idBytes])}}
				}
				if err := add(m); err != nil {
					return err
				}
				sent++
				late = sent%256 == 0 && time.Since(began) > most
			}
		}
		if err := end(); err != nil {
			return err
		}
		d = time.Since(began)
		return failed.err
	})
	return sent, d, err
}

// publisher returns what adds a message, and what waits for all acknowledgements.
func (j jet) publisher(b *bench, js jetstream.JetStream, failed *firstError) (add func(*nats.Msg) error, end func() error, err error) {
	if j.fast {
		p, err := jetstreamext.NewFastPublisher(js, jetstreamext.FastPublishFlowControl{
			Flow: 500, MaxOutstandingAcks: 3, AckTimeout: time.Minute,
		}, jetstreamext.WithFastPublisherErrorHandler(failed.note))
		add = func(m *nats.Msg) error { _, err := p.AddMsg(m); return err }
		end = func() error { _, err := p.Close(b.ctx); return err }
		return add, end, err
	}
	js, err = jetstream.New(js.Conn(), jetstream.WithPublishAsyncErrHandler(
		func(_ jetstream.JetStream, _ *nats.Msg, err error) { failed.note(err) }))
	add = func(m *nats.Msg) error {
		_, err := js.PublishMsgAsync(m, jetstream.WithStallWait(time.Minute))
		return err
	}
	end = func() error {
		select {
		case <-js.PublishAsyncComplete():
			return nil
		case <-b.ctx.Done():
			return b.ctx.Err()
		}
	}
	return add, end, err
}

// kept is how many messages the stream has.
func (j jet) kept(b *bench) (kept int64, err error) {
	err = j.server.connect(func(js jetstream.JetStream) error {
		s, err := js.Stream(b.ctx, subject)
		if err == nil {
			kept = int64(s.CachedInfo().State.Msgs)
		}
		return err
	})
	return kept, err
}

// windowNATS is the same ids, a tenth of them again, for a topic with a window of an
// hour and for streams of NATS JetStream with one.
func (b *bench) windowNATS() error {
	if err := b.buildNATS(); err != nil {
		return err
	}
	if err := b.natsRate(); err != nil {
		return err
	}
	return b.natsMemory()
}

func (b *bench) natsRate() error {
	s, ids, records := byHeader(), stream.Tenth(), b.size(1_000_000)
	return b.alone(func(n *node) error {
		var peers []jet
		defer func() {
			for _, j := range peers {
				_ = j.server.End(syscall.SIGKILL) // its files go with all others
			}
		}()
		for _, sync := range []struct{ name, settings string }{
			{"NATS JetStream", ""}, {"NATS JetStream with fsync", "sync_interval: always"},
		} {
			for _, fast := range []bool{false, true} {
				name := sync.name + map[bool]string{false: ", async publish", true: ", fast publish"}[fast]
				server, err := b.nats(name, sync.settings)
				if err != nil {
					return err
				}
				peers = append(peers, jet{name, server, fast})
			}
		}
		passes := []measure.Pass{func(int) (float64, error) { return b.natsOurs(n, s, ids, records) }}
		for _, j := range peers {
			passes = append(passes, func(int) (float64, error) { return b.natsTheirs(j, s, ids, records) })
		}
		figures, err := measure.Rounds(b.rounds+1, passes)
		if err != nil {
			return err
		}
		for i, j := range peers {
			ours, theirs := figures[0][1:], figures[i+1][1:] // the first round does not count
			b.add(report.Line{
				Work: "produce to a window of an hour, 100 B, a tenth duplicates",
				Ours: report.Of(measure.Median(ours), "k/s"), Peer: j.name, Their: report.Of(measure.Median(theirs), "k/s"),
				Ratio: measure.Ratio(ours, theirs), Bound: report.AtLeast(5, "×"),
			})
		}
		return nil
	})
}

// natsOurs returns thousands of records a second.
func (b *bench) natsOurs(n *node, s shape, ids stream.Stream, records int) (rate float64, err error) {
	topic, err := n.create(b.ctx, 1, windowOf(s.identity, 4<<30))
	if err != nil {
		return 0, err
	}
	slab := s.slab(ids, 0, records)
	kept, err := b.kept(n, topic, s, 1, func() error {
		_, d, err := n.send(b.ctx, topic, s, once(slab), time.Hour)
		rate = float64(records) / 1e3 / d.Seconds()
		return err
	})
	if want := ids.Fresh(int64(records)); err == nil && kept != want {
		err = fmt.Errorf("hapax kept %d of %d records, and should have %d", kept, records, want)
	}
	return rate, err
}

// natsTheirs is the same of a stream, of as many of the messages as it takes in some
// seconds.
func (b *bench) natsTheirs(j jet, s shape, ids stream.Stream, records int) (float64, error) {
	if err := j.create(b); err != nil {
		return 0, fmt.Errorf("%s: %w", j.name, err)
	}
	sent, d, err := j.publish(b, once(s.slab(ids, 0, records)), s.part, true, 2*b.span())
	if err != nil {
		return 0, fmt.Errorf("%s: %w", j.name, err)
	}
	kept, err := j.kept(b)
	if want := ids.Fresh(sent); err == nil && kept != want {
		err = fmt.Errorf("%s kept %d of %d messages, and should have %d", j.name, kept, sent, want)
	}
	return float64(sent) / 1e3 / d.Seconds(), err
}

// natsMemory is how much more memory each has after new messages with ids in a window
// of an hour than after the same messages without.
func (b *bench) natsMemory() error {
	s, ids := byHeader(), b.size(5_000_000)
	var ours, theirs [2]float64
	for i, settings := range []map[string]string{nil, windowOf(s.identity, 4<<30)} {
		var said string
		grown, err := b.growth(settings, s, ids, &said)
		if err != nil {
			return err
		}
		ours[i] = grown / float64(ids)
	}
	for i, named := range []bool{false, true} {
		grown, err := b.natsGrowth(s, ids, named)
		if err != nil {
			return err
		}
		theirs[i] = grown / float64(ids)
	}
	mine, other := ours[1]-ours[0], theirs[1]-theirs[0]
	b.add(report.Line{
		Work: "memory an id in a window of an hour", Ours: report.Of(mine, "B/id"),
		Peer: "NATS JetStream", Their: report.Of(other, "B/id"), Ratio: mine / other, Bound: report.AtMost(0.2, "×"),
		Note: fmt.Sprintf("By how much resident memory grew with %.4g M new messages with ids, less what it grew by without: "+
			"%.4g and %.4g B a message of hapax, %.4g and %.4g of NATS, each the least of some seconds of rest.",
			float64(ids)/1e6, ours[1], ours[0], theirs[1], theirs[0]),
	})
	return nil
}

// natsGrowth is growth of a server of NATS.
func (b *bench) natsGrowth(s shape, records int, named bool) (grown float64, err error) {
	server, err := b.nats(fmt.Sprintf("NATS memory %t", named), "")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, server.End(syscall.SIGKILL)) }()
	j := jet{"NATS JetStream", server, true}
	for _, part := range []struct {
		records int
		named   bool
	}{{records / 4, false}, {records, named}} {
		if err := j.create(b); err != nil {
			return 0, err
		}
		if _, _, err := j.publish(b, s.slabs(allNew(), 0, part.records), s.part, part.named, time.Hour); err != nil {
			return 0, err
		}
		used, err := b.settled(server)
		if err != nil {
			return 0, err
		}
		grown = used - grown
	}
	return grown, nil
}
