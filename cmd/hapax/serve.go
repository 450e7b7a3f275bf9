package main

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"

	"github.com/hapaxmq/hapax/broker"
)

// serveCommand is hapax serve.
type serveCommand struct {
	Data      string   `name:"data" default:"hapax-data" placeholder:"DIR" help:"The node's directory; it is made if there is none (default hapax-data)."`
	Kafka     string   `name:"kafka" placeholder:"[PROTOCOL://]ADDR" help:"Where Kafka clients come to (default 127.0.0.1:9092, or the listeners of the settings). PROTOCOL is PLAINTEXT (default), SSL, SASL_PLAINTEXT or SASL_SSL."`
	Advertise string   `name:"advertise" placeholder:"HOST:PORT" help:"What clients are told to come to, if not ADDR."`
	Users     string   `name:"users" placeholder:"FILE" help:"Users, as lines of NAME:PASSWORD: each is made, or gets this password. Others stay as they are."`
	Config    string   `name:"config" placeholder:"FILE" help:"Settings, as lines of NAME=VALUE by Kafka's names."`
	Set       []string `name:"set" sep:"none" placeholder:"NAME=VALUE,…" help:"Settings by Kafka's names, such as num.partitions=6; they win over the file's. May be repeated."`
	HTTP      *string  `name:"http" placeholder:"[https://]ADDR" help:"Where health, metrics and the node's state are served (default 127.0.0.1:8080); \"\" for nowhere."`
	HTTPToken string   `name:"http-token" placeholder:"FILE" help:"A file with the token that HTTP wants, as Authorization: Bearer TOKEN, but for /healthz."`
	Insecure  bool     `name:"insecure" help:"Let clients from beyond this machine in, unencrypted and unasked."`
}

func (*serveCommand) examples() string {
	return `  hapax serve
  hapax serve --data /var/lib/hapax --kafka 127.0.0.1:9092

  hapax serve --set num.partitions=6,auto.create.topics.enable=false

  hapax serve --kafka SASL_SSL://0.0.0.0:9093 --advertise kafka.example.org:9093 \
    --users users.txt --set ssl.keystore.location=node.pem \
    --http https://0.0.0.0:8443 --http-token token.txt

  kcat -b 127.0.0.1:9092 -t orders -P      write lines, each a record
  kcat -b 127.0.0.1:9092 -t orders -C -e   read them

One node that speaks Kafka's protocol: any Kafka client is its client. Nothing is
acknowledged before it is on disk. SIGTERM, SIGINT and SIGHUP stop it cleanly; after
kill -9 it goes on where it was.
`
}

// Run serves until it is told to stop.
func (c *serveCommand) Run(w *world) error {
	settings, err := c.settings()
	if err != nil {
		return err
	}
	listeners, err := c.listeners(settings)
	if err != nil {
		return err
	}
	operators, err := c.operators()
	if err != nil {
		return err
	}
	if idle := settings.Idle(); len(idle) > 0 {
		w.stderr.say("settings that mean nothing on one node: %s", strings.Join(idle, ", "))
	}
	if c.Kafka != "" && settings.Settings["listeners"] != "" {
		w.stderr.say("--kafka is given: the listeners of the settings are not used")
	}
	if settings.Settings["log.dirs"] != "" || settings.Settings["log.dir"] != "" {
		w.stderr.say("records are in --data, which is %s", c.Data)
	}
	for _, l := range listeners {
		if host, _, _ := net.SplitHostPort(l.Address); l.Protocol == broker.SASLPlaintext && !loopback(host) {
			w.stderr.dated().Warn("what clients send can be read on its way, passwords too: use SASL_SSL", "listener", l.Address)
		}
	}
	b, err := broker.Open(c.Data, broker.Options{Listeners: listeners, Settings: settings.Settings, Logger: w.stderr.dated()})
	if err != nil {
		return settings.place(err)
	}
	if err := c.setUsers(b); err != nil {
		return errors.Join(err, b.Close())
	}
	said, stop, err := operators.serve(w, b)
	if err != nil {
		return errors.Join(err, b.Close())
	}
	if _, err := fmt.Fprintf(w.stdout, "Kafka clients: %s\nData: %s\n%s", strings.Join(reached(listeners, b.Addresses()), ", "), c.Data, said); err != nil {
		return errors.Join(err, stop(), b.Close())
	}
	b.Serve(w.ctx)
	return errors.Join(stop(), b.Close())
}

// reached says where clients come to: what listeners advertise, and the addresses that
// these are on.
func reached(listeners []broker.Listener, at []string) []string {
	said := slices.Clone(at)
	for i, l := range listeners {
		if l.Advertise != "" && l.Advertise != at[i] {
			said[i] = fmt.Sprintf("%s (at %s)", l.Advertise, at[i])
		}
	}
	return said
}

// listeners are those of --kafka or of the settings. Others than this machine are
// let in only if they are asked who they are, or that is said.
func (c *serveCommand) listeners(settings givenSettings) ([]broker.Listener, error) {
	listeners, err := settings.Listeners()
	if err != nil {
		return nil, usage("%w", settings.place(err))
	}
	if c.Kafka == "" && c.Advertise != "" && len(listeners) > 0 {
		return nil, usage("--advertise %s is for --kafka, and the settings have listeners: say it in advertised.listeners", c.Advertise)
	}
	if c.Kafka != "" || len(listeners) == 0 {
		one := broker.Listener{Address: cmp.Or(c.Kafka, "127.0.0.1:9092"), Advertise: c.Advertise}
		if protocol, address, ok := strings.Cut(one.Address, "://"); ok {
			one.Protocol, one.Address = broker.Protocol(protocol), address
		}
		listeners = []broker.Listener{one}
	}
	for _, l := range listeners {
		if err := c.checkListener(l); err != nil {
			return nil, err
		}
	}
	return listeners, nil
}

// checkListener refuses a listener that lets anybody in, unless that is said, and one
// that clients could not come to.
func (c *serveCommand) checkListener(l broker.Listener) error {
	said := "--kafka"
	if l.Name != "" {
		said = "listeners: " + l.Name
	}
	host, _, err := net.SplitHostPort(l.Address)
	if err != nil {
		return usage("%s %s: want HOST:PORT", said, l.Address)
	}
	if !l.Protocol.Encrypted() && !l.Protocol.Login() {
		if err := c.mayListen(said, l.Address, "let clients log in, with SASL_SSL"); err != nil {
			return err
		}
	}
	if l.Advertise == "" {
		if everywhere(host) {
			return usage("%s %s is on all addresses: say with --advertise HOST:PORT which one clients are to come to", said, l.Address)
		}
		return nil
	}
	if host, _, err := net.SplitHostPort(l.Advertise); err != nil || everywhere(host) {
		return usage("--advertise %s: want HOST:PORT, by which clients reach this machine", l.Advertise)
	}
	return nil
}

// setUsers gives users of the file their passwords.
func (c *serveCommand) setUsers(b *broker.Broker) error {
	if c.Users == "" {
		return nil
	}
	text, err := os.ReadFile(c.Users)
	if err != nil {
		return fmt.Errorf("--users: %w", err)
	}
	n := 0
	for line := range strings.Lines(string(text)) {
		n++
		line = strings.TrimRight(line, "\r\n")
		if line == "" || line[0] == '#' {
			continue
		}
		name, password, ok := strings.Cut(line, ":")
		if !ok {
			return fmt.Errorf("--users %s: line %d: want NAME:PASSWORD", c.Users, n)
		}
		if err := b.SetPassword(name, password); err != nil {
			return fmt.Errorf("--users %s: line %d: %w", c.Users, n, err)
		}
	}
	return nil
}

// loopback tells whether only this machine reaches a host.
func loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// everywhere tells whether a host stands for all addresses of a machine.
func everywhere(host string) bool {
	ip := net.ParseIP(host)
	return host == "" || ip != nil && ip.IsUnspecified()
}
