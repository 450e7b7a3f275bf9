package demo

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Options say what is played, and on what.
type Options struct {
	Seed uint64 // of the payments and the faults: the same ones again
	Fast bool   // few of them, one after the other
	Keep string // the directory that the books and logs are left in; empty: none are

	Postgres string // URL of a database for the services, instead of SQLite
	Kafka    string // address of a broker, instead of our own
	Redis    string // address of a server for claims, instead of directories

	// Program is the command that runs [Part] with the conductor's pipes.
	Program []string
	// Watch sees how far it is, after each wave. The report is its own.
	Watch func(Progress)

	byHand string          // a part that is wired by hand in the column of Hapax too
	only   func(kind) bool // the faults that strike, once each; nil: all
}

// Progress is how far a run is.
type Progress struct {
	Waves, Of int
	Took      time.Duration
	Report    Report // of what happened so far
	Fault     string // that struck in the last wave; empty: none
}

// pace says how fast it goes.
type pace struct {
	wave  time.Duration // takes one at least, for those who watch
	lease time.Duration // of work: so long it waits when its process is killed
}

func (c *conductor) pace() pace {
	if c.o.Fast {
		return pace{lease: 400 * time.Millisecond}
	}
	return pace{wave: 500 * time.Millisecond, lease: time.Second}
}

// Run plays the demo, and reports what the auditor found. An error says that it could not
// be played to its end; what it found wrong is in the report.
func Run(ctx context.Context, o Options) (r Report, err error) {
	dir, remove, err := directory(o.Keep)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, remove()) }()
	asked := ctx
	var looking sync.WaitGroup
	defer looking.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	c := &conductor{o: o, dir: dir, run: fmt.Sprintf("%08x", rand.Uint32()), tally: newTally()}
	c.ground = &ground{own: o.Kafka == "", kafka: []string{o.Kafka}, postgres: o.Postgres, redis: o.Redis, dir: dir, run: c.run}
	defer func() { err = errors.Join(err, c.close()) }()
	defer func() {
		err = why(asked, dir, c.tally.failure(), err)
	}()
	looking.Go(func() {
		if full := awaitFull(ctx, dir); full != nil {
			c.tally.fail(full)
			cancel()
		}
	})
	began := time.Now()
	if err := c.open(ctx); err != nil {
		return r, fmt.Errorf("start: %w", err)
	}
	waves := schedule(o.Seed, c.size(), c.kinds())
	for i, w := range waves {
		next := time.After(c.pace().wave)
		if err := c.play(ctx, w); err != nil {
			return r, err
		}
		if r, err = c.report(ctx, waves[:i+1]); err != nil {
			return r, err
		}
		r.Took = time.Since(began)
		c.watch(Progress{Waves: i + 1, Of: len(waves), Took: r.Took, Report: r, Fault: w.faultName()})
		select {
		case <-next:
		case <-ctx.Done():
			return r, context.Cause(ctx)
		}
	}
	r.judge()
	return r, nil
}

func (w wave) faultName() string {
	if w.fault == nil {
		return ""
	}
	return w.fault.name
}

// kinds are those of the faults that strike.
func (c *conductor) kinds() []kind {
	if c.o.only == nil {
		return kinds()
	}
	return slices.DeleteFunc(kinds(), func(k kind) bool { return !c.o.only(k) })
}

func (c *conductor) size() size {
	if c.o.Fast {
		return fast()
	}
	return full()
}

func (c *conductor) watch(p Progress) {
	if c.o.Watch != nil {
		c.o.Watch(p)
	}
}

// directory is where all files are, and what removes it.
func directory(keep string) (dir string, remove func() error, err error) {
	if keep == "" {
		dir, err = os.MkdirTemp("", "hapax-demo-")
		if err != nil {
			err = fmt.Errorf("%w: name a folder that can be written by --keep, or by TMPDIR", err)
		}
		return dir, func() error { return os.RemoveAll(dir) }, err
	}
	if dir, err = filepath.Abs(keep); err == nil {
		err = os.MkdirAll(dir, 0o700)
	}
	var left []os.DirEntry
	if err == nil {
		left, err = os.ReadDir(dir)
	}
	if err == nil && len(left) > 0 {
		return "", nil, fmt.Errorf("--keep: %s is not empty: name another folder", dir)
	}
	if err == nil {
		err = probe(dir)
	}
	if err != nil {
		return "", nil, fmt.Errorf("--keep: %w: name a folder that can be written, and has room", err)
	}
	return dir, func() error { return nil }, nil
}

// why is what made a run in dir fail, whatever that made fail in its turn: it was asked
// to end, a part failed, which both columns tell, or the disk is full.
func why(asked context.Context, dir string, failed, err error) error {
	if err == nil {
		return context.Cause(asked)
	}
	if ended := context.Cause(asked); ended != nil {
		return ended
	}
	if failed != nil {
		err = failed
	}
	if full := probe(dir); full != nil {
		err = errors.Join(fmt.Errorf("%w: name a folder with more room by --keep, or by TMPDIR", full), err)
	}
	return err
}

// awaitFull returns why files can't be written any more, or nil when ctx ends. Parts do not
// end when the disk is full: they try again.
func awaitFull(ctx context.Context, dir string) error {
	look := time.NewTicker(time.Second)
	defer look.Stop()
	for {
		select {
		case <-look.C:
			if err := probe(dir); err != nil {
				return err
			}
		case <-ctx.Done():
			return nil
		}
	}
}

// probe tells whether a part can write its next file, of which the broker makes the largest.
func probe(dir string) error {
	file, err := os.CreateTemp(dir, "probe")
	if err != nil {
		return err
	}
	_, err = file.Write(make([]byte, 1<<20))
	return cmp.Or(err, file.Close(), os.Remove(file.Name()))
}

// open starts all parts, and returns when they are ready.
func (c *conductor) open(ctx context.Context) (err error) {
	if err := c.ground.reach(ctx); err != nil {
		return err
	}
	if c.offices, err = newOffices(); err != nil {
		return err
	}
	if c.wires, err = newWires(); err != nil {
		return err
	}
	if c.ground.own {
		c.broker = c.newProcess(config{Part: partBroker, Dir: filepath.Join(c.dir, "broker")})
		if err := c.broker.start(); err != nil {
			return err
		}
		address, err := c.broker.at(ctx)
		if err != nil {
			return err
		}
		c.ground.kafka = []string{address}
	}
	if c.kafka, err = kgo.NewClient(kgo.SeedBrokers(c.ground.kafka...), kgo.DisableClientMetrics()); err != nil {
		return err
	}
	for _, name := range columnNames() {
		if err := c.openColumn(ctx, name); err != nil {
			return err
		}
	}
	for _, col := range c.columns {
		for _, p := range col.parts {
			if _, err := p.at(ctx); err != nil {
				return err
			}
		}
		if err := col.openBooks(c.ground); err != nil {
			return err
		}
	}
	return nil
}

func (c *conductor) openColumn(ctx context.Context, name string) error {
	col := &column{name: name, prefix: fmt.Sprintf("demo-%s-%s-", c.run, name), parts: map[string]*process{}}
	c.columns = append(c.columns, col)
	if err := c.ground.makeTopics(ctx, c.kafka, col); err != nil {
		return err
	}
	parts := []string{partGateway}
	for _, consumer := range consumers() {
		parts = append(parts, consumer.name)
	}
	for _, part := range parts {
		p, err := c.newPart(ctx, col, part)
		if err != nil {
			return err
		}
		col.parts[part] = p
		if err := p.start(); err != nil {
			return err
		}
	}
	col.client = newClient(col.parts[partGateway].at)
	return nil
}

func (c *conductor) newPart(ctx context.Context, col *column, part string) (*process, error) {
	of := config{
		Column: col.name, Part: part, Dir: c.dir, Kafka: c.ground.kafka, Prefix: col.prefix, Redis: c.ground.redis,
		Lease: c.pace().lease, ByHand: col.name == columnNaive || part == c.o.byHand,
		URL: c.offices.url + "/" + col.name + "/" + effectOf(part),
	}
	if part == partGateway {
		of.Wire = c.wires.address()
	}
	var err error
	if of.Driver, of.Database, of.Dialect, err = c.ground.database(col.name, part); err != nil {
		return nil, err
	}
	return c.newProcess(of), c.ground.makeSchema(ctx, col.name, part)
}

// close ends all that open started, as far as it came.
func (c *conductor) close() (err error) {
	for _, col := range c.columns {
		for _, p := range col.parts {
			err = errors.Join(err, p.kill())
		}
		err = errors.Join(err, col.closeBooks())
	}
	if c.kafka != nil {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		err = errors.Join(err, c.ground.clear(ctx, c.kafka, c.columns))
		c.kafka.Close()
	}
	if c.broker != nil {
		err = errors.Join(err, c.broker.kill())
	}
	if c.wires != nil {
		c.wires.close()
	}
	if c.offices != nil {
		c.offices.close()
	}
	return err
}
