package broker

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hapaxmq/hapax/broker/batch"
	"github.com/hapaxmq/hapax/broker/partition"
	"github.com/hapaxmq/hapax/internal/textfile"
	"github.com/hapaxmq/hapax/internal/vfs"
	"github.com/hapaxmq/hapax/internal/wal"
)

// logKind is that of a node's log.
const logKind = 0x62726b72 // "brkr"

// leaderEpoch is every partition's.
const leaderEpoch = partition.LeaderEpoch

// Broker is one node on one directory.
type Broker struct {
	options  Options
	settings settings
	seats    *seats
	memory   *memory // of requests
	apis     map[int16]api
	identity identity
	dir      string    // an absolute path, if it can be had
	lock     io.Closer // on the directory

	wal *wal.Log
	log partition.Log

	records   records
	topics    *topics
	txns      transactions
	groups    groups
	users     *users
	windows   windows
	time      clock
	retention retention
	cleaner   cleaner
	recoders  pool[batch.Recoder]

	ports    ports
	counters counters
}

// identity is what a node's directory is, for good.
type identity struct {
	Format  int    `json:"format"`
	Cluster string `json:"cluster"` // its id, as clients are told
}

// What is in a node's directory.
const (
	identityName = "node"
	lockName     = "lock"
	logName      = "log"
)

// Open opens the node in dir, which it makes if there is none, and its ports. What
// was acknowledged before is there on return. Serve is next.
func Open(dir string, o Options) (*Broker, error) {
	if o.FS == nil {
		o.FS = vfs.OS()
	}
	source := o.Clock
	if o.Clock == nil {
		o.Clock, source = time.Now, bootClock()
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if err := o.listen(); err != nil {
		return nil, fmt.Errorf("open node %s: %w", dir, err)
	}
	set, err := parseSettings(o.Settings)
	if err != nil {
		return nil, fmt.Errorf("open node %s: %w", dir, err)
	}
	b := &Broker{options: o, settings: set, apis: apis(), seats: newSeats(set.maxConns, set.maxConnsPer)}
	b.memory = newMemory(set.maxQueued, set.maxRequest)
	b.time.source = source
	b.topics = newTopics(&b.log, &b.settings, &b.groups)
	b.windows.init(b)
	b.topics.windows = &b.windows
	b.txns.init(b, set.txn())
	b.groups.init(b, set.group())
	b.users, b.ports.b = newUsers(&b.log), b
	b.retention, b.cleaner.b = retention{b}, b
	if err := b.open(dir); err != nil {
		return nil, errors.Join(fmt.Errorf("open node %s: %w", dir, err), b.Close())
	}
	return b, nil
}

func (b *Broker) open(dir string) (err error) {
	if b.dir, err = filepath.Abs(dir); err != nil {
		b.dir = dir
	}
	if err := b.options.FS.MkdirAll(dir); err != nil {
		return err
	}
	if err := b.mayBeNode(dir); err != nil {
		return err
	}
	if b.lock, err = b.options.FS.Lock(filepath.Join(dir, lockName)); err != nil {
		return err
	}
	known, err := b.readIdentity(filepath.Join(dir, identityName))
	if err != nil {
		return err
	}
	b.windows.dir = filepath.Join(dir, windowsName)
	b.wal, err = wal.Open(b.options.FS, filepath.Join(dir, logName), wal.Options{
		Kind: logKind, MustExist: known, FileSize: b.settings.number("hapax.log.file.bytes"),
		Snapshot: b.snapshot, Needed: b.needed, Hold: b.log.Hold, Committed: b.committed, Listening: b.log.Watched,
	}, b.replay)
	if err != nil {
		return err
	}
	if !known { // a crash before this leaves a log without records
		if err := b.writeIdentity(filepath.Join(dir, identityName)); err != nil {
			return err
		}
	}
	b.log.Use(b.wal)
	b.records.wal = b.wal
	b.topics.sync, b.users.sync = b.wal.Sync, b.wal.Sync
	b.groups.g.Recovered(b.clock())
	if err := b.windows.open(); err != nil {
		return err
	}
	b.time.start(b.options.Logger)
	b.windows.started()
	return b.ports.listen(b.options.Listeners)
}

// Serve answers clients until ctx ends, and returns when the last connection is
// over.
func (b *Broker) Serve(ctx context.Context) {
	var serving sync.WaitGroup
	serving.Go(func() { b.groups.run(ctx) })
	serving.Go(func() { b.retention.run(ctx) })
	serving.Go(func() { b.cleaner.run(ctx) })
	serving.Go(func() { b.txns.run(ctx) })
	serving.Go(func() { b.ports.run(ctx) })
	serving.Go(func() { b.windows.run(ctx) })
	serving.Go(func() { b.windows.runWarming(ctx) })
	serving.Go(func() { runDoubts(ctx, &b.windows) })
	serving.Wait()
}

// Addresses are those of the ports, in the order of the listeners.
func (b *Broker) Addresses() (all []string) {
	for _, l := range b.ports.open {
		all = append(all, l.net.Addr().String())
	}
	return all
}

// Close makes everything durable and lets go of the directory. Serve has returned.
func (b *Broker) Close() error {
	var errs []error
	for _, l := range b.ports.open {
		_ = l.net.Close() // it may be closed
	}
	if b.wal != nil { // the windows follow it
		errs = append(errs, b.windows.close(), b.wal.Close())
	}
	if b.lock != nil {
		errs = append(errs, b.lock.Close())
	}
	return errors.Join(errs...)
}

// clock is now in Unix ms.
func (b *Broker) clock() int64 { return b.options.Clock().UnixMilli() }

// committed is wal.Options.Committed: it wakes who waits for records.
func (b *Broker) committed(_ int64, err error) {
	if err != nil {
		b.options.Logger.Error("the log has failed", "error", err)
	}
	b.log.Committed()
}

// mayBeNode refuses a directory that is something else's.
func (b *Broker) mayBeNode(dir string) error {
	names, err := b.options.FS.List(dir)
	if err != nil || slices.Contains(names, identityName) {
		return err
	}
	for _, name := range names {
		switch strings.TrimSuffix(name, vfs.TempSuffix) {
		case identityName, lockName, logName, windowsName:
		case "lost+found": // of a file system of its own
		default:
			return fmt.Errorf("the directory is no node's, and holds %q: name one that is empty, or not there yet", name)
		}
	}
	return nil
}

// readIdentity tells whether the directory is a node's.
func (b *Broker) readIdentity(path string) (known bool, err error) {
	err = textfile.Read(b.options.FS, path, &b.identity)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

func (b *Broker) writeIdentity(path string) error {
	id := newID()
	b.identity = identity{Format: 1, Cluster: base64.RawURLEncoding.EncodeToString(id[:])}
	return textfile.Write(b.options.FS, path, b.identity)
}
