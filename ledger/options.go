package ledger

import (
	"log/slog"
	"time"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/internal/vfs"
)

// Durability says when an admitted identity counts as remembered.
type Durability uint8

const (
	// Synced: Admit, Commit and Confirm return once their frame is on disk
	// (fdatasync). It survives power loss.
	Synced Durability = iota
	// Written: they return once their frame is with the operating system. It
	// survives kill -9 of the process, not power loss. For callers whose truth
	// is another log, and who call Sync when they need it.
	Written
)

// Options configures a ledger. The zero value of every field but Window works.
type Options struct {
	Window hapax.Window // required

	// Identity and Scope say in words what the fingerprints are made of (an
	// identity spec). They are stored; opening with others is an error.
	Identity string
	Scope    string

	Digests bool // keep 8 bytes of payload digest a key, to tell Conflict from Duplicate
	Details bool // log copies too, so that Lookup can count them

	Durability Durability

	// MaxMemory bounds the table and filters in bytes (default 1 GiB). When it
	// is reached a durable ledger moves its oldest generations to disk, and a
	// memory-only one refuses with hapax.ErrFull, or evicts if Evict is set.
	MaxMemory int64
	// MaxDisk bounds the ledger's files in bytes (default: no bound).
	MaxDisk int64
	// Evict lets the oldest identities go early instead of refusing new ones
	// when a budget is reached. Every early leaver is counted and alarmed.
	Evict bool

	Expect      int64         // identities to make room for at open; 0 grows from small
	MaxClaims   int           // live claims at once (default 1 << 20)
	MaxLease    time.Duration // longest lease (default 24 h)
	MaxSources  int           // sources with a stored position (default 1 << 16)
	MaxReceipt  int           // bytes of one receipt (default 64 KiB)
	MaxReceipts int64         // bytes of all receipts kept (default 64 MiB); oldest out first

	ReadOnly bool // open for Lookup, All, Stats only

	FS     vfs.FS           // default: the operating system's
	Clock  func() time.Time // default: time.Now
	Logger *slog.Logger     // default: silent
}
