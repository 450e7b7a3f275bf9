package broker

import (
	"log/slog"
	"time"

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
	return err
}

// Listener is a port, and how clients reach it.
type Listener struct {
	Name      string // as Kafka's listeners have one
	Address   string // host:port; port 0 takes a free one
	Advertise string // host:port that clients are told; default the address
}

// Settings are settings by Kafka's names, as text.
type Settings map[string]string
