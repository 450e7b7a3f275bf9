package main

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"time"

	"github.com/hapaxmq/hapax/bench/measure"
	"github.com/hapaxmq/hapax/bench/report"
	"github.com/hapaxmq/hapax/bench/stream"
)

// opening measures how long a ledger of 10 M ids takes to open after kill -9,
// on one core, and after a clean close. Files are in the page cache.
func opening(b *bench) error {
	n := b.size(10_000_000)
	var crashed, clean, touched []float64
	for range b.Rounds {
		for _, crash := range []bool{true, false} {
			o, err := openOnce(b, n, crash)
			if err != nil {
				return err
			}
			if crash {
				crashed = append(crashed, float64(n)/1e6/o.Open.Seconds())
			} else {
				clean = append(clean, o.Open.Seconds())
				touched = append(touched, o.Sample.Seconds())
			}
		}
	}
	return errors.Join(
		b.add(report.Line{
			Work:  fmt.Sprintf("opening after kill -9, %s live, one core", millions(n)),
			Ours:  report.Of(measure.Median(crashed), "M keys/s"),
			Bound: report.AtLeast(8, "M keys/s"),
		}),
		b.add(report.Line{
			Work:  fmt.Sprintf("opening after a clean close, %s live", millions(n)),
			Ours:  report.Of(measure.Median(clean), "s"),
			Bound: report.AtMost(0.1, "s"),
			Note:  fmt.Sprintf("The first %d answers thereafter, on ids at random, took %.3f s.", 2*samples, measure.Median(touched)),
		}))
}

func openOnce(b *bench, n int64, crash bool) (o opened, err error) {
	dir := b.path("opening")
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	fill := fillArgs{Dir: dir, IDs: n, Close: !crash}
	if crash {
		_, err = measure.Victim[filled](b.ctx, "fill", fill)
	} else {
		_, err = measure.Child[filled](b.ctx, "fill", fill)
	}
	if err != nil {
		return o, err
	}
	measure.Settle()
	return measure.Child[opened](b.ctx, "open", openArgs{Dir: dir, IDs: n, OneCore: crash})
}

type fillArgs struct {
	Dir   string
	IDs   int64
	Close bool
}

type filled struct{ IDs int64 }

// fillTask makes a ledger with so many ids, all acknowledged.
func fillTask(args fillArgs) (filled, error) {
	e, err := openEngine(settings{Dir: args.Dir})
	if err != nil {
		return filled{}, err
	}
	c := &contestant{name: "hapax", take: e.batches(1000), ids: make([]stream.ID, 1000)}
	if err := c.fill(stream.Stream{Seed: 1}, args.IDs); err != nil {
		return filled{}, err
	}
	if args.Close {
		err = e.close()
	}
	return filled{args.IDs}, err
}

type openArgs struct {
	Dir     string
	IDs     int64
	OneCore bool
}

type opened struct {
	Open   time.Duration
	Sample time.Duration // of taking in samples known ids and as many new ones
}

const samples = 20

// openTask opens that ledger and takes ids in. It ends without closing it.
func openTask(args openArgs) (o opened, err error) {
	if args.OneCore {
		runtime.GOMAXPROCS(1)
	}
	start := time.Now()
	e, err := openEngine(settings{Dir: args.Dir})
	if err != nil {
		return o, err
	}
	o.Open = time.Since(start)
	if live := e.gauges().Live; live != args.IDs {
		return o, fmt.Errorf("%d ids live after opening, not %d", live, args.IDs)
	}
	s := stream.Stream{Seed: 1}
	n := min(samples, args.IDs)
	start = time.Now()
	for i := range n {
		var id stream.ID
		s.ID(&id, i*(args.IDs/n))
		fresh, err := e.takeOne(&id)
		if err != nil || fresh {
			return o, fmt.Errorf("id %d is not remembered: %w", i*(args.IDs/n), err)
		}
		s.ID(&id, args.IDs+i)
		if fresh, err = e.takeOne(&id); err != nil || !fresh {
			return o, fmt.Errorf("id %d was never taken in, and is remembered: %w", args.IDs+i, err)
		}
	}
	o.Sample = time.Since(start)
	return o, nil
}
