package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"
	saslplain "github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"github.com/hapaxmq/hapax/adapter/kafkarelay"
	"github.com/hapaxmq/hapax/outbox/relay"
)

// kafkaPlace is where records go into Kafka.
type kafkaPlace struct {
	Kafka     string `placeholder:"[PROTOCOL://]ADDR,…" help:"Brokers of Apache Kafka or hapax serve. PROTOCOL is PLAINTEXT (default), SSL, SASL_PLAINTEXT or SASL_SSL."`
	Window    bool   `help:"Publish without transactions, into topics of hapax serve whose window (hapax.identity=header:NAME) drops what comes again: readers have records sooner, whatever they read by."`
	User      string `placeholder:"NAME" help:"Who logs in at Kafka. The password is in HAPAX_KAFKA_PASSWORD."`
	Mechanism string `enum:"PLAIN,SCRAM-SHA-256,SCRAM-SHA-512" default:"SCRAM-SHA-256" placeholder:"NAME" help:"How: PLAIN, SCRAM-SHA-256 (default) or SCRAM-SHA-512."`
	CA        string `name:"ca" placeholder:"FILE" help:"A file of PEM with the certificates that the broker's is to be checked by (default: the system's)."`
	IDHeader  string `name:"id-header" default:"id" placeholder:"NAME" help:"The header that has a record's id (default id)."`
	Progress  string `placeholder:"TOPIC" help:"The compacted topic that says what was published (default: one of the outbox's own, hapax-outbox-progress-…). It is made if it is not there."`
	Replicas  int16  `default:"-1" placeholder:"N" help:"Its replicas, if it is made (default: as the brokers have it)."`
}

// set tells whether there is anything of it.
func (p *kafkaPlace) set() bool {
	return p.Window || p.User != "" || p.Mechanism != "SCRAM-SHA-256" || p.Progress != "" || p.Replicas != -1 || p.IDHeader != "id"
}

// kafka is where records go, and what there is to say of it.
func (p *kafkaPlace) kafka() (to relay.Destination, said string, err error) {
	protocol, brokers, ok := strings.Cut(p.Kafka, "://")
	if !ok {
		protocol, brokers = "PLAINTEXT", p.Kafka
	}
	opts := []kgo.Opt{kgo.SeedBrokers(strings.Split(brokers, ",")...), kgo.ClientID("hapax-outbox")}
	secured, err := p.secured(protocol)
	if err != nil {
		return nil, "", err
	}
	opts = append(opts, secured...)
	if p.Window {
		return p.windowed(brokers, opts)
	}
	d, err := kafkarelay.New(kafkarelay.Options{IDHeader: p.IDHeader, Progress: p.Progress, Replicas: p.Replicas}, opts...)
	if err != nil {
		return nil, "", usage("--kafka: %w", err)
	}
	return d, fmt.Sprintf("Records go to: Kafka at %s, each once for who reads committed\n", brokers), nil
}

// windowed is where records go into topics that drop copies.
func (p *kafkaPlace) windowed(brokers string, opts []kgo.Opt) (to relay.Destination, said string, err error) {
	if p.Progress != "" || p.Replicas != -1 {
		return nil, "", usage("--progress and --replicas are for transactions: leave them out, or --window")
	}
	d, err := kafkarelay.NewWindowed(kafkarelay.WindowedOptions{IDHeader: p.IDHeader}, opts...)
	if err != nil {
		return nil, "", usage("--id-header: %w", err)
	}
	return d, fmt.Sprintf("Records go to: topics at %s with hapax.identity=header:%s, each once inside their windows, whoever reads\n", brokers, p.IDHeader), nil
}

// secured are the options that a protocol asks for.
func (p *kafkaPlace) secured(protocol string) (opts []kgo.Opt, err error) {
	login, encrypted := strings.HasPrefix(protocol, "SASL_"), strings.HasSuffix(protocol, "SSL")
	password := os.Getenv("HAPAX_KAFKA_PASSWORD")
	switch {
	case protocol != "PLAINTEXT" && protocol != "SSL" && protocol != "SASL_PLAINTEXT" && protocol != "SASL_SSL":
		return nil, usage("--kafka %s://: want PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL", protocol)
	case login && (p.User == "" || password == ""):
		return nil, usage("--kafka %s:// wants --user NAME, and a password in HAPAX_KAFKA_PASSWORD", protocol)
	case !login && p.User != "":
		return nil, usage("--user %s: clients log in by SASL_SSL only, or by SASL_PLAINTEXT: --kafka SASL_SSL://…", p.User)
	case !encrypted && p.CA != "":
		return nil, usage("--ca %s: want --kafka SSL://… or SASL_SSL://…", p.CA)
	}
	if encrypted {
		config, err := tlsBy(p.CA)
		if err != nil {
			return nil, err
		}
		opts = append(opts, kgo.DialTLSConfig(config))
	}
	if !login {
		return opts, nil
	}
	switch p.Mechanism {
	case "PLAIN":
		return append(opts, kgo.SASL(saslplain.Auth{User: p.User, Pass: password}.AsMechanism())), nil
	case "SCRAM-SHA-512":
		return append(opts, kgo.SASL(scram.Auth{User: p.User, Pass: password}.AsSha512Mechanism())), nil
	default:
		return append(opts, kgo.SASL(scram.Auth{User: p.User, Pass: password}.AsSha256Mechanism())), nil
	}
}

// tlsBy is TLS by certificates in a file, or by the system's.
func tlsBy(file string) (config *tls.Config, err error) {
	config = &tls.Config{MinVersion: tls.VersionTLS12}
	if file != "" {
		config.RootCAs, err = certificates(file)
	}
	return config, err
}

// certificates reads the file of --ca.
func certificates(file string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("--ca: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, usage("--ca %s: there is no certificate of PEM in it", file)
	}
	return pool, nil
}
