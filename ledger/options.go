package ledger

import (
	"fmt"
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
	// Window is required. Its numbers may differ from those that the ledger was left
	// with: see [Continues].
	Window hapax.Window

	// Identity and Scope say in words what the fingerprints are made of (an
	// identity spec). They are stored; opening with others is an error.
	Identity string
	Scope    string

	Digests bool // keep 8 bytes of payload digest a key, to tell Conflict from Duplicate
	Details bool // log copies too, so that Lookup can count them, as long as MaxDisk has room

	Durability Durability

	// Follows makes the ledger a view of another log, which is the truth: it takes
	// identities by [Ledger.Begin] alone, and its Durability is of no account. It
	// returns once the other log is durable up to its end, and must wait for nothing
	// that is done in a step. The ledger calls it before it writes to its own log,
	// which so never knows of what the other log has lost.
	Follows func() error

	// MaxMemory bounds table, filters and producers in bytes (default 1 GiB).
	// When it is reached a ledger with a directory moves its oldest generations
	// to disk; one in memory only refuses with hapax.ErrFull, or evicts. So does
	// one with a directory whose window needs the order in which identities came,
	// which files do not keep: a count of up to 2^20; count or bytes in a window
	// that is renewed, tumbling or by event time; a renewed one by event time. New
	// producers are refused.
	MaxMemory int64
	// MaxDisk bounds the ledger's files in bytes (default: no bound), but for an
	// eighth more, which is for a cold file in the making and what copies must write;
	// zeros written ahead and the table's image do not count. When it is reached what
	// nobody needs any more is cleared away, which callers wait for; when there is no
	// more of that, new identities are refused with hapax.ErrFull, or old ones
	// evicted; batches of numbered messages are refused.
	MaxDisk int64
	// Evict lets the oldest identities go early instead of refusing new ones
	// when a budget is reached. Every early leaver is counted and alarmed. Those
	// of a tumbling window of count or bytes leave together or not at all: it
	// refuses.
	Evict bool

	// Sequences is for producers that number their messages: see AdmitSequences.
	Sequences SequenceOptions

	Expect int64 // identities to make room for at open; 0 grows from small

	// QuickStart is how many identities must be in memory for Close to write an
	// image of them beside the log (16 bytes each and a quarter), so that the next
	// Open takes no time. Default 1 << 20; negative: never.
	QuickStart int64

	// A log that holds more claims, sources or positions than these limits is
	// refused at open with hapax.ErrFull, by the name of the limit. So they may be
	// raised at any time, and lowered to what the log never went beyond. A position
	// that is not confirmed takes 5 bytes of memory among consecutive ones, and 1,200
	// if no other is near it.
	MaxClaims      int           // live claims at once (default 1 << 20)
	MaxLease       time.Duration // longest lease (default 24 h)
	MaxSources     int           // sources with a stored position (default 1 << 16)
	MaxUnconfirmed int           // positions of one source above its confirmed one (default 1 << 24)
	MaxReceipt     int           // bytes of one receipt (default 64 KiB)
	MaxReceipts    int64         // bytes of all receipts kept (default 64 MiB); oldest out first

	// ReadOnly is for Lookup, All, Stats and Checkpoints only. It changes nothing and
	// needs no right to write. The ledger may be open elsewhere for reading, not for
	// more: the file LOCK sees to that. Where it is missing, as in a copy, it is made,
	// and if that is not allowed the directory is read without; then see to it that
	// nobody opens it meanwhile, or what is read may seem damaged.
	ReadOnly bool

	FS     vfs.FS           // default: the operating system's
	Clock  func() time.Time // default: time.Now
	Logger *slog.Logger     // default: silent

	form form
}

// form is how a ledger keeps what it remembers: as its first window asked for, and as
// far as each since has allowed.
type form struct {
	Exact  bool `json:"exact"`  // one by one, in the order of their last sight, so that a count is exact
	Chills bool `json:"chills"` // generations may move to cold files
}

func (o *Options) setDefaults() {
	o.form = formOf(o.Window)
	def(&o.MaxMemory, 1<<30)
	def(&o.QuickStart, 1<<20)
	def(&o.MaxClaims, 1<<20)
	def(&o.MaxLease, 24*time.Hour)
	def(&o.MaxSources, 1<<16)
	def(&o.MaxUnconfirmed, 1<<24)
	def(&o.MaxReceipt, 64<<10)
	def(&o.MaxReceipts, 64<<20)
	def(&o.Sequences.MaxProducers, 1<<20)
	if o.Follows != nil {
		o.Durability = Written
	}
	if o.FS == nil {
		o.FS = vfs.OS()
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
}

func def[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

func (o *Options) validate() error {
	if err := o.Window.Validate(); err != nil {
		return err
	}
	switch {
	case o.Durability > Written:
		return fmt.Errorf("unknown durability %d", o.Durability)
	case o.MaxMemory < minMemory:
		return fmt.Errorf("MaxMemory %d: at least %d bytes", o.MaxMemory, int64(minMemory))
	case o.MaxDisk != 0 && o.MaxDisk < minDisk:
		return fmt.Errorf("MaxDisk %d: at least %d bytes", o.MaxDisk, int64(minDisk))
	case o.MaxMemory > maxMemory:
		return fmt.Errorf("MaxMemory %d: at most %d bytes", o.MaxMemory, int64(maxMemory))
	case o.MaxReceipt > maxReceipt:
		return fmt.Errorf("MaxReceipt %d: at most %d bytes", o.MaxReceipt, maxReceipt)
	}
	for name, n := range map[string]int64{
		"Expect": o.Expect, "MaxClaims": int64(o.MaxClaims), "MaxLease": int64(o.MaxLease), "MaxSources": int64(o.MaxSources),
		"MaxUnconfirmed": int64(o.MaxUnconfirmed), "MaxReceipt": int64(o.MaxReceipt), "MaxReceipts": o.MaxReceipts,
	} {
		if n < 0 {
			return fmt.Errorf("%s %d is negative", name, n)
		}
	}
	return o.Sequences.rules().Validate()
}

const (
	minMemory  = 4 << 20
	maxMemory  = 1 << 44 // of address space, which is reserved at open
	minDisk    = 16 << 20
	maxReceipt = 16 << 20
	maxNote    = 64 << 10 // bytes of Checkpoint.Note
	maxSource  = 1 << 10  // bytes of a source's name
	maxBatch   = 1 << 20  // entries of a batch that is logged, whose frame is some 30 bytes an entry

	// exactCount is the largest count window that is exact to the identity.
	exactCount = 1 << 20
	// coarseTime is the shortest time window whose slices a timer may cut.
	coarseTime = time.Second
)

// formOf is the form that a window asks for. Where events come in another order than
// they leave in, one that has left could count twice, so that no count is exact.
func formOf(w hapax.Window) form {
	exact := w.Count != 0 && w.Count <= exactCount && w.Kind != hapax.Tumbling && !w.EventTime
	return form{Exact: exact, Chills: mayChill(w, exact)}
}

// mayChill tells whether generations of a window may move to cold files: of one that is
// bounded by time alone, unless it is renewed and by event time, and of one of first
// sights by arrival, unless it counts exactly. Others need the order in which
// identities came, which files do not keep.
func mayChill(w hapax.Window, exact bool) bool {
	if w.Count+w.Bytes != 0 {
		return w.Kind == hapax.First && !w.EventTime && !exact
	}
	return w.Kind != hapax.Renewed || !w.EventTime
}

// exact tells whether identities are counted one by one.
func (o *Options) exact() bool { return o.form.Exact }

// unordered tells whether nothing depends on the order of entries in different
// shards.
func (o *Options) unordered() bool {
	w := o.Window
	return w.Kind != hapax.Renewed && !w.EventTime && !o.exact() && w.Bytes == 0 &&
		(w.Count == 0 || w.Count > exactCount && w.Kind == hapax.First)
}

// leastLog is how many bytes of log are worth a file of their own. Where
// identities leave, files are small, so that they can go soon. Where none ever
// leaves only cold files make them needless, and each takes some syncs to begin.
func (o *Options) leastLog() int64 {
	if !o.Window.Unbounded {
		return minRoll
	}
	budget := o.MaxMemory
	if o.MaxDisk > 0 {
		budget = min(budget, o.MaxDisk)
	}
	return min(max(budget/64, minRoll), maxRoll/4)
}

// chills tells whether generations may move to cold files.
func (o *Options) chills() bool { return o.form.Chills }

// keepsCold tells whether the ledger in dir gives part of its memory to cold files.
func (o *Options) keepsCold(dir string) bool { return dir != "" && o.chills() }

// hotShare is the part of MaxMemory that a ledger with cold files gives to its
// table; the rest is for their filters, and for producers.
const hotShare = 0.35

// hotMemory is what the table of the ledger in dir may take.
func (o *Options) hotMemory(dir string) int64 {
	if !o.keepsCold(dir) {
		return o.MaxMemory
	}
	return int64(hotShare * float64(o.MaxMemory))
}

// coldMemory is what it leaves to others in a ledger with cold files.
func (o *Options) coldMemory() int64 {
	return o.MaxMemory - int64(hotShare*float64(o.MaxMemory))
}
