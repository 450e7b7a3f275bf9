package main

import (
	"fmt"
	"net"
	"strings"

	"github.com/hapaxmq/hapax/broker"
)

// serveCommand is hapax serve.
type serveCommand struct {
	Data      string `name:"data" default:"hapax-data" placeholder:"DIR" help:"The node's directory; it is made if there is none (default hapax-data)."`
	Kafka     string `name:"kafka" default:"127.0.0.1:9092" placeholder:"ADDR" help:"Where Kafka clients come to (default 127.0.0.1:9092)."`
	Advertise string `name:"advertise" placeholder:"HOST:PORT" help:"What clients are told to come to, if not ADDR."`
	Insecure  bool   `name:"insecure" help:"Let clients from beyond this machine in, unencrypted and unasked."`
}

func (*serveCommand) examples() string {
	return `  hapax serve
  hapax serve --data /var/lib/hapax --kafka 127.0.0.1:9092

  kcat -b 127.0.0.1:9092 -t orders -P      write lines, each a record
  kcat -b 127.0.0.1:9092 -t orders -C -e   read them

One node that speaks Kafka's protocol: any Kafka client is its client. Nothing is
acknowledged before it is on disk. SIGTERM and SIGINT stop it cleanly; after
kill -9 it goes on where it was.
`
}

// Run serves until it is told to stop.
func (c *serveCommand) Run(w *world) error {
	host, _, err := net.SplitHostPort(c.Kafka)
	if err != nil {
		return usage("--kafka %s: want HOST:PORT", c.Kafka)
	}
	if !c.Insecure && !loopback(host) {
		return usage("--kafka %s can be reached from beyond this machine, by anybody: use 127.0.0.1, or say --insecure", c.Kafka)
	}
	b, err := broker.Open(c.Data, broker.Options{
		Listeners: []broker.Listener{{Address: c.Kafka, Advertise: c.Advertise}},
		Logger:    w.stderr.logger(),
	})
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(w.stdout, "Kafka clients: %s\nData: %s\n", strings.Join(b.Addresses(), ", "), c.Data); err != nil {
		return err
	}
	b.Serve(w.ctx)
	return b.Close()
}

// loopback tells whether only this machine reaches a host.
func loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}
