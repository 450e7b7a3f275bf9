package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"github.com/hapaxmq/hapax/bench/measure"
	"github.com/hapaxmq/hapax/bench/server"
)

// node is one broker that is measured.
type node struct{ *server.Node }

func hapax(binary, data string, more ...string) (*node, error) {
	n, err := server.Hapax(binary, data, more...)
	return &node{n}, err
}

// open builds our broker.
func (b *bench) open() error {
	if b.binary == "" {
		b.binary = filepath.Join(b.dir, "hapax")
		if err := measure.Go(b.ctx, "build", "-o", b.binary, "./cmd/hapax"); err != nil {
			return err
		}
	}
	ours, err := hapax(b.binary, filepath.Join(b.dir, "data"))
	b.nodes = []*node{ours}
	return err
}

// startAll starts all brokers, unless they run. The first is ours.
func (b *bench) startAll() error {
	if b.nodes[0].Process != nil {
		return nil
	}
	jars, err := server.KafkaJars(b.ctx)
	if err != nil {
		fmt.Fprintln(os.Stderr, "broker: measured without Apache Kafka:", err)
	} else {
		for _, peer := range []struct{ name, settings string }{
			{"Kafka", ""}, {"Kafka with fsync", "log.flush.interval.messages=1\n"},
		} {
			n, err := server.Kafka(b.ctx, b.dir, jars, peer.name, peer.settings)
			if err != nil {
				return err
			}
			b.nodes = append(b.nodes, &node{n})
		}
	}
	for _, n := range b.nodes {
		if err := n.Start(b.ctx); err != nil {
			return err
		}
	}
	return nil
}

// close kills those that run.
func (b *bench) close() (err error) {
	for _, n := range b.nodes {
		err = errors.Join(err, n.End(syscall.SIGKILL))
	}
	return err
}

// alone runs f with a broker of ours that has done nothing yet, and ends it.
func (b *bench) alone(f func(*node) error, more ...string) error {
	data := filepath.Join(b.dir, "alone")
	n, err := hapax(b.nodes[0].Command().Path, data, more...)
	if err != nil {
		return err
	}
	if err := n.Start(b.ctx); err != nil {
		return err
	}
	err = f(n)
	return errors.Join(err, n.End(syscall.SIGKILL), os.RemoveAll(data))
}
