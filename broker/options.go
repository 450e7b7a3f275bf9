package broker

import (
	"cmp"
	"log/slog"
	"time"

	"github.com/hapaxmq/hapax/broker/code"
	"github.com/hapaxmq/hapax/internal/vfs"
)

// Options of a node. The zero value of each field works.
type Options struct {
	Listeners []Listener       // default those of the settings, or 127.0.0.1:9092
	Settings  Settings         // Kafka's own names and values
	FS        vfs.FS           // default the operating system's
	Clock     func() time.Time // default time.Now
	Logger    *slog.Logger     // default slog.Default()
}

// listen sets the listeners, if there are none, to those of the settings or the
// default.
func (o *Options) listen() (err error) {
	if len(o.Listeners) == 0 {
		o.Listeners, err = o.Settings.Listeners()
	}
	if len(o.Listeners) == 0 {
		o.Listeners = []Listener{{Address: "127.0.0.1:9092"}}
	}
	for i := range o.Listeners {
		l := &o.Listeners[i]
		if l.Protocol = cmp.Or(l.Protocol, Plaintext); !l.Protocol.known() {
			return refuse(code.InvalidConfig, "listener %s: protocol %q is not known: want PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL", l.Address, l.Protocol)
		}
	}
	return err
}

// Listener is a port, and how clients reach it.
type Listener struct {
	Name      string   // as Kafka's listeners have one
	Protocol  Protocol // default Plaintext
	Address   string   // host:port; port 0 takes a free one
	Advertise string   // host:port that clients are told; default the address
}

// Protocol is how a listener's clients connect, by Kafka's names.
type Protocol string

// The protocols. SSL is TLS; with SASL clients log in as users.
const (
	Plaintext     Protocol = "PLAINTEXT"
	SSL           Protocol = "SSL"
	SASLPlaintext Protocol = "SASL_PLAINTEXT"
	SASLSSL       Protocol = "SASL_SSL"
)

func (p Protocol) known() bool {
	return p == Plaintext || p == SSL || p == SASLPlaintext || p == SASLSSL
}

// Encrypted tells whether nobody can read on the way what is sent.
func (p Protocol) Encrypted() bool { return p == SSL || p == SASLSSL }

// Login tells whether clients log in.
func (p Protocol) Login() bool { return p == SASLPlaintext || p == SASLSSL }

// Settings are settings by Kafka's names, as text.
type Settings map[string]string
