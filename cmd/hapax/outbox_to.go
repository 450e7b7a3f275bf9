package main

import (
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"

	client "github.com/nats-io/nats.go"

	"github.com/hapaxmq/hapax/adapter/natsrelay"
	"github.com/hapaxmq/hapax/adapter/rabbitmqrelay"
	"github.com/hapaxmq/hapax/outbox/relay"
)

// outboxTo is where records go: one of these.
type outboxTo struct {
	kafkaPlace

	NATS      string `name:"nats" env:"HAPAX_NATS" placeholder:"URL,…" help:"Servers of NATS: nats://USER:PASSWORD@HOST:PORT, or tls://. Topics are subjects that streams take. It can be in HAPAX_NATS."`
	Creds     string `placeholder:"FILE" help:"A file of NATS credentials."`
	RabbitMQ  string `name:"rabbitmq" env:"HAPAX_RABBITMQ" placeholder:"URL" help:"A RabbitMQ: amqp://USER:PASSWORD@HOST:PORT/VHOST, or amqps://. Topics are routing keys. It can be in HAPAX_RABBITMQ."`
	Exchange  string `placeholder:"NAME" help:"The exchange of RabbitMQ (default: the default one, by which a topic is a queue's name)."`
	KeyHeader string `name:"key-header" placeholder:"NAME" help:"The header of NATS and RabbitMQ that has a record's order key (default: none has)."`
}

// destination is the one that is named, and what it promises.
func (p *outboxTo) destination() (to relay.Destination, said string, err error) {
	named := 0
	for _, url := range []string{p.Kafka, p.NATS, p.RabbitMQ} {
		if url != "" {
			named++
		}
	}
	switch {
	case named != 1:
		return nil, "", usage("where to: want one of --kafka, --nats and --rabbitmq, and there are %d (HAPAX_NATS and HAPAX_RABBITMQ are the same as flags)", named)
	case p.Kafka == "" && p.kafkaPlace.set():
		return nil, "", usage("--window, --user, --mechanism, --progress, --replicas and --id-header are for --kafka")
	case p.NATS == "" && p.Creds != "":
		return nil, "", usage("--creds is for --nats")
	case p.RabbitMQ == "" && p.Exchange != "":
		return nil, "", usage("--exchange is for --rabbitmq")
	case p.Kafka != "" && p.KeyHeader != "":
		return nil, "", usage("--key-header is for --nats and --rabbitmq: Kafka's records have the order key as their key")
	case p.NATS != "":
		return p.nats()
	case p.RabbitMQ != "":
		return p.rabbitMQ()
	}
	return p.kafka()
}

func (p *outboxTo) nats() (to relay.Destination, said string, err error) {
	var opts []client.Option
	if p.CA != "" {
		config, err := tlsBy(p.CA)
		if err != nil {
			return nil, "", err
		}
		opts = append(opts, client.Secure(config))
	}
	if p.Creds != "" {
		if _, err := os.Stat(p.Creds); err != nil {
			return nil, "", fmt.Errorf("--creds: %w", err)
		}
		opts = append(opts, client.UserCredentials(p.Creds))
	}
	var shown []string
	for server := range strings.SplitSeq(p.NATS, ",") {
		at, err := url.Parse(server)
		if err != nil || at.Host == "" || !slices.Contains([]string{"nats", "tls", "ws", "wss"}, at.Scheme) {
			return nil, "", usage("--nats: want nats://USER:PASSWORD@HOST:PORT, or tls://, or several with commas between them")
		}
		shown = append(shown, at.Host)
	}
	d, err := natsrelay.New(p.NATS, natsrelay.Options{KeyHeader: p.KeyHeader}, opts...)
	if err != nil {
		return nil, "", usage("--nats: %w", err)
	}
	return d, fmt.Sprintf("Records go to: streams of NATS at %s, each once inside their windows of duplicates; what comes later is for readers to drop, by Nats-Msg-Id\n", strings.Join(shown, ",")), nil
}

func (p *outboxTo) rabbitMQ() (to relay.Destination, said string, err error) {
	at, err := url.Parse(p.RabbitMQ)
	if err != nil || at.Host == "" || at.Scheme != "amqp" && at.Scheme != "amqps" {
		return nil, "", usage("--rabbitmq: want amqp://USER:PASSWORD@HOST:PORT/VHOST, or amqps://")
	}
	o := rabbitmqrelay.Options{Exchange: p.Exchange, KeyHeader: p.KeyHeader}
	if p.CA != "" {
		if at.Scheme != "amqps" {
			return nil, "", usage("--ca %s: want --rabbitmq amqps://…", p.CA)
		}
		if o.Config.TLSClientConfig, err = tlsBy(p.CA); err != nil {
			return nil, "", err
		}
	}
	d, err := rabbitmqrelay.New(p.RabbitMQ, o)
	if err != nil {
		return nil, "", usage("--rabbitmq: %w", err)
	}
	exchange := "the default exchange"
	if p.Exchange != "" {
		exchange = "exchange " + p.Exchange
	}
	return d, fmt.Sprintf("Records go to: %s of RabbitMQ at %s, each at least once; copies are for readers to drop, by message-id\n", exchange, at.Host), nil
}
