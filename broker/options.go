package broker

import (
	"log/slog"
	"time"

	"github.com/hapaxmq/hapax/internal/vfs"
)

// Options of a node. The zero value of each field works.
type Options struct {
	Listeners []Listener       // default 127.0.0.1:9092
	Settings  Settings         // Kafka's own names and values
	FS        vfs.FS           // default the operating system's
	Clock     func() time.Time // default time.Now
	Logger    *slog.Logger     // default slog.Default()
}

// Listener is a port, and how clients reach it.
type Listener struct {
	Address   string // host:port; port 0 takes a free one
	Advertise string // host:port that clients are told; default the address
}

// Settings are settings by Kafka's names, as text.
type Settings map[string]string

// settings are those in force.
type settings struct {
	partitions int32 // num.partitions
	autoCreate bool  // auto.create.topics.enable
	maxBatch   int   // message.max.bytes
	maxRequest int   // socket.request.max.bytes
	maxFetch   int   // fetch.max.bytes
}

func defaults() settings {
	return settings{partitions: 1, autoCreate: true, maxBatch: 1_048_588, maxRequest: 100 << 20, maxFetch: 55 << 20}
}
