package ledger

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/identity"
	"github.com/hapaxmq/hapax/internal/textfile"
	"github.com/hapaxmq/hapax/internal/vfs"
	"github.com/hapaxmq/hapax/internal/wal"
	"github.com/hapaxmq/hapax/window"
)

// A ledger's directory:
//
//	LOCK                  held by the process that has it open
//	ledger                what the ledger is: format, window, identity, scope
//	secret                the key of its fingerprints; it belongs into every backup
//	0000000000000001.log  the log: see frame.go, and package segment
//	image                 of the table, for a quick start: see image.go
//	clean                 written last by Close: which file is the newest, and how long;
//	                      and with a new ledger: there is no log yet
//
// ledger, secret and clean are text with a checksum in their last line.
const (
	lockName   = "LOCK"
	metaName   = "ledger"
	secretName = "secret"
	cleanName  = "clean"

	format = 1
)

// meta is the file ledger.
type meta struct {
	Format   int           `json:"format"`
	Identity string        `json:"identity"`
	Scope    string        `json:"scope"`
	Digests  bool          `json:"digests"`
	Kind     string        `json:"kind"`
	Time     time.Duration `json:"time_ns"`
	Count    int64         `json:"count"`
	Bytes    int64         `json:"bytes"`
	Event    bool          `json:"event_time"`
	Skew     time.Duration `json:"skew_ns"`
	Sequence int           `json:"sequence_window"`
	Key      string        `json:"key"` // a fingerprint that the secret makes: no other secret opens the ledger
	Created  time.Time     `json:"created"`

	Form   form           `json:"form"`
	Former *window.Former `json:"former,omitempty"` // if the bounds have ever changed: see bounds.go
}

// clean is the file clean. In that of a new ledger all is zero.
type clean struct {
	Newest uint64   `json:"newest"`
	Size   int64    `json:"size"`
	Files  []uint64 `json:"files"`
	Cold   []uint64 `json:"cold"`
	Image  *image   `json:"image,omitempty"`
}

// Info is what a ledger's directory says of it.
type Info struct {
	Window   hapax.Window
	Identity string
	Scope    string
	Digests  bool
	Created  time.Time

	SequenceWindow int // SequenceOptions.Window
}

// Inspect reads what the ledger in dir is, without opening it. A nil file system
// is the operating system's.
func Inspect(fsys vfs.FS, dir string) (Info, error) {
	if fsys == nil {
		fsys = vfs.OS()
	}
	info, err := inspect(fsys, dir)
	if err != nil {
		return Info{}, fmt.Errorf("inspect ledger %s: %w", dir, err)
	}
	return info, nil
}

func inspect(fsys vfs.FS, dir string) (Info, error) {
	if err := thereIs(fsys, dir); err != nil {
		return Info{}, err
	}
	m, err := directory{fsys, dir}.meta()
	if err != nil {
		return Info{}, err
	}
	return m.info()
}

// thereIs tells whether there is a ledger in dir, or what is left of one.
func thereIs(fsys vfs.FS, dir string) error {
	_, err := fsys.Stat(filepath.Join(dir, metaName))
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if names, _ := fsys.List(dir); slices.ContainsFunc(names, func(name string) bool { return strings.HasSuffix(name, wal.Suffix) }) {
		return errNoMeta()
	}
	return fmt.Errorf("there is no ledger: %w", err)
}

func errNoMeta() error {
	return fmt.Errorf("%w: there is a log, but no file %q that says what it is: restore it from a backup", hapax.ErrCorrupt, metaName)
}

func newer(path string, has int) error {
	return fmt.Errorf("%s: format %d was written by a newer version; this one reads up to %d", path, has, format)
}

func (m meta) info() (Info, error) {
	kind, err := hapax.ParseWindowKind(m.Kind)
	if err != nil {
		return Info{}, err
	}
	w := hapax.Window{Time: m.Time, Count: m.Count, Bytes: m.Bytes, Kind: kind, EventTime: m.Event, Skew: m.Skew}
	w.Unbounded = w.Time == 0 && w.Count == 0 && w.Bytes == 0
	return Info{
		Window: w, Identity: m.Identity, Scope: m.Scope, Digests: m.Digests, Created: m.Created, SequenceWindow: m.Sequence,
	}, nil
}

func metaOf(o *Options, now time.Time) meta {
	w := o.Window
	return meta{
		Format: format, Identity: o.Identity, Scope: o.Scope, Digests: o.Digests, Kind: w.Kind.String(),
		Time: w.Time, Count: w.Count, Bytes: w.Bytes, Event: w.EventTime, Skew: w.Skew, Sequence: o.Sequences.Window, Created: now.UTC(),
		Form: o.form,
	}
}

// agree reports what an existing ledger's directory and the options differ in.
func (m meta) agree(o *Options) error {
	differ := func(what string, has, want any) error {
		return fmt.Errorf("the ledger's %s is %v, not %v: open it with what it has, or use another directory", what, has, want)
	}
	w := o.Window
	switch {
	case m.Identity != o.Identity:
		return differ("identity", fmt.Sprintf("%q", m.Identity), fmt.Sprintf("%q", o.Identity))
	case m.Scope != o.Scope:
		return differ("scope", fmt.Sprintf("%q", m.Scope), fmt.Sprintf("%q", o.Scope))
	case m.Kind != w.Kind.String():
		return differ("window kind", m.Kind, w.Kind)
	case m.Event != w.EventTime:
		return differ("use of event time", m.Event, w.EventTime)
	case m.Digests != o.Digests:
		return differ("use of digests (Options.Digests)", m.Digests, o.Digests)
	case m.Sequence != o.Sequences.Window:
		return differ("sequence window (0 is strict)", m.Sequence, o.Sequences.Window)
	}
	has, err := m.info()
	if err != nil {
		return err
	}
	if has.Window != w && (o.ReadOnly || !Continues(has.Window, w)) {
		return differ("window", has.Window, w)
	}
	return nil
}

func newSecret() (s [16]byte) {
	_, _ = rand.Read(s[:]) // it never fails
	return s
}

// directory is where a ledger's files are. It reads and makes those that say what
// the ledger is.
type directory struct {
	fs   vfs.FS
	path string
}

// open returns what the ledger is and what makes its fingerprints, of one that agrees
// with the options. If there is none yet, and no file of a log, it is made now.
func (d directory) open(o *Options, logs int, now func() int64) (m meta, h identity.Hasher, err error) {
	m, err = d.meta()
	if errors.Is(err, fs.ErrNotExist) {
		m = metaOf(o, time.Unix(0, now()))
		h, err = d.make(m, o.ReadOnly, logs)
		return m, h, err
	}
	if err == nil {
		err = m.agree(o)
	}
	if err == nil {
		h, err = d.secret()
	}
	if err == nil && m.Key != keyOf(h) {
		err = fmt.Errorf("%w: the file %q is another ledger's: restore it from a backup", hapax.ErrCorrupt, secretName)
	}
	return m, h, err
}

// meta reads what the ledger is.
func (d directory) meta() (m meta, err error) {
	path := filepath.Join(d.path, metaName)
	if err = textfile.Read(d.fs, path, &m); err == nil && m.Format > format {
		err = newer(path, m.Format)
	}
	return m, err
}

// secret reads what the ledger's fingerprints are made with.
func (d directory) secret() (h identity.Hasher, err error) {
	var text string
	err = textfile.Read(d.fs, filepath.Join(d.path, secretName), &text)
	if errors.Is(err, fs.ErrNotExist) {
		return h, fmt.Errorf("%w: its file %q is gone, and no fingerprint can be made without it: restore it from a backup", hapax.ErrCorrupt, secretName)
	}
	if err != nil {
		return h, err
	}
	secret, err := hex.DecodeString(text)
	if err != nil || len(secret) != 16 {
		return h, fmt.Errorf("%w: %s is not a key", hapax.ErrCorrupt, secretName)
	}
	return identity.NewHasher([16]byte(secret)), nil
}

// keyOf is what a ledger knows its secret by.
func keyOf(h identity.Hasher) string { return h.Fingerprint([]byte("hapax")).String() }

// mayBeMade refuses a directory that somebody else uses: what making a ledger left
// when it was cut off, and nothing else, may be there.
func (d directory) mayBeMade() error {
	names, err := d.fs.List(d.path)
	if err != nil {
		return err
	}
	for _, name := range names {
		own := false
		switch strings.TrimSuffix(name, vfs.TempSuffix) {
		case lockName, cleanName, metaName:
			own = true
		case secretName:
			_, err := d.secret()
			own = err == nil || name != secretName // else it is half written
		}
		if !own {
			return fmt.Errorf("the directory is no ledger, and holds %q: name one that is empty, or not there yet", name)
		}
	}
	return nil
}

// make makes a new ledger's own files, the secret first: a directory with the file
// ledger has all it needs.
func (d directory) make(m meta, readOnly bool, logs int) (h identity.Hasher, err error) {
	if logs > 0 {
		return h, errNoMeta()
	}
	if readOnly {
		return h, fmt.Errorf("there is no ledger: %w", fs.ErrNotExist)
	}
	if err := d.mayBeMade(); err != nil {
		return h, err
	}
	secret := newSecret()
	h = identity.NewHasher(secret)
	if err := textfile.Write(d.fs, filepath.Join(d.path, secretName), hex.EncodeToString(secret[:])); err != nil {
		return h, err
	}
	if err := textfile.Write(d.fs, filepath.Join(d.path, cleanName), clean{}); err != nil {
		return h, err
	}
	m.Key = keyOf(h)
	return h, textfile.Write(d.fs, filepath.Join(d.path, metaName), m)
}
