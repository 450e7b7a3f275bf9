package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/hapaxmq/hapax/bench/measure"
	"github.com/hapaxmq/hapax/bench/report"
	"github.com/hapaxmq/hapax/bench/server"
)

const liveIDs = 10_000_000

// windowMemory is what a live id costs: without digests, which an id that is the
// whole value needs none of, and with.
func (b *bench) windowMemory() error {
	for _, c := range []struct {
		shape shape
		what  string
		bound float64
	}{{byValue(), "without digests", 20}, {byHeader(), "with digests", 30}} {
		ids := b.size(liveIDs)
		var said string
		grown, err := b.growth(windowOf(c.shape.identity, 4<<30), c.shape, ids, &said)
		if err != nil {
			return err
		}
		b.add(report.Line{
			Work: fmt.Sprintf("memory a live id, hot, %s, %s", c.shape.name, c.what),
			Ours: report.Of(grown/float64(ids), "B/id"), Bound: report.AtMost(c.bound, "B/id"),
			Note: fmt.Sprintf("By how much resident memory grew from 0 to %.4g M ids, after a quarter as many records for a topic without a window.%s",
				float64(ids)/1e6, said),
		})
	}
	return nil
}

// growth is by how many bytes of memory a node grows with new records of a topic,
// after it has taken a quarter as many for another topic. It notes what the node says
// of its windows.
func (b *bench) growth(settings map[string]string, s shape, records int, said *string) (grown float64, err error) {
	status, err := server.FreeAddress()
	if err != nil {
		return 0, err
	}
	err = b.alone(func(n *node) error {
		for _, part := range []struct {
			settings map[string]string
			records  int
		}{{nil, records / 4}, {settings, records}} {
			topic, err := n.create(b.ctx, 1, part.settings)
			if err != nil {
				return err
			}
			if _, _, err := n.send(b.ctx, topic, s, s.slabs(allNew(), 0, part.records), time.Hour); err != nil {
				return err
			}
			used, err := b.settled(n)
			if err != nil {
				return err
			}
			grown = used - grown
		}
		*said = saidOf(b.ctx, status)
		return nil
	}, "--http", status)
	return grown, err
}

// settled is the least memory that a node has in some seconds of rest.
func (b *bench) settled(n *node) (least float64, err error) {
	for began := time.Now(); time.Since(began) < 5*b.span(); time.Sleep(100 * time.Millisecond) {
		used, err := measure.MemoryOf(n.Process.Process.Pid)
		if err != nil {
			return 0, err
		}
		if least == 0 || float64(used) < least {
			least = float64(used)
		}
	}
	return least, nil
}

// saidOf is what the metrics of a node say of its windows but for what is 0, as a
// sentence behind another.
func saidOf(ctx context.Context, status string) string {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+status+"/metrics", http.NoBody)
	if err != nil {
		return err.Error()
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err.Error()
	}
	defer func() { _ = response.Body.Close() }() // it is only read
	var all []string
	for lines := bufio.NewScanner(response.Body); lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), "} ")
		name, labels, _ := strings.Cut(name, "{")
		name, ours := strings.CutPrefix(name, "hapax_window_")
		if !ours || strings.HasSuffix(name, "_bucket") {
			continue
		}
		if _, verdict, ok := strings.Cut(labels, `verdict="`); ok {
			name += " " + strings.TrimSuffix(verdict, `"`)
		}
		n, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return fmt.Sprintf("%s: %v", lines.Text(), err)
		}
		if n != 0 {
			all = append(all, fmt.Sprintf("%s %.0f", name, n))
		}
	}
	if len(all) == 0 {
		return ""
	}
	return " The node says: " + strings.Join(all, ", ") + "."
}

// windowStart measures from the start of our process to the first record that it
// acknowledges of a topic with a window full of ids, left cleanly and killed while it
// took records.
func (b *bench) windowStart() error {
	s, live, more := byHeader(), b.size(liveIDs), b.size(200_000)
	n, err := hapax(b.nodes[0].Command().Path, filepath.Join(b.dir, "restarted"))
	if err != nil {
		return err
	}
	if err := n.Start(b.ctx); err != nil {
		return err
	}
	defer func() { _ = n.End(syscall.SIGKILL) }() // the folder goes with all others
	topic, err := n.create(b.ctx, 1, windowOf(s.identity, 4<<30))
	if err != nil {
		return err
	}
	at := 0
	take := func(records int) error {
		_, _, err := n.send(b.ctx, topic, s, s.slabs(allNew(), int64(at), records), time.Hour)
		at += records
		return err
	}
	restart := func(end syscall.Signal) measure.Pass {
		return func(int) (float64, error) {
			if err := errors.Join(take(more), n.End(end)); err != nil {
				return 0, err
			}
			record := s.one(allNew(), int64(at))
			at++
			began := time.Now()
			if err := n.Start(b.ctx); err != nil {
				return 0, err
			}
			err := n.firstRecord(b.ctx, topic, record)
			return time.Since(began).Seconds(), err
		}
	}
	var figures [][]float64
	kept, err := b.kept(n, topic, s, 1, func() (err error) {
		if err := take(live); err != nil {
			return err
		}
		figures, err = measure.Rounds(b.rounds, []measure.Pass{restart(syscall.SIGTERM), restart(syscall.SIGKILL)})
		if err != nil {
			return err
		}
		_, _, err = n.send(b.ctx, topic, s, s.slabs(allNew(), 0, live), time.Hour) // all are duplicates
		return err
	})
	if err != nil {
		return err
	}
	for i, how := range []string{"a clean stop", "kill -9"} {
		l := report.Line{
			Work: fmt.Sprintf("start to the first acknowledged record, with %.4g M live ids, after %s", float64(live)/1e6, how),
			Ours: report.Of(measure.Median(figures[i]), "s"), Bound: report.AtMost(2, "s"),
		}
		if kept != int64(at) {
			l.Ours, l.Error = nil, fmt.Sprintf("%d records can be read, and should be %d", kept, at)
		}
		b.add(l)
	}
	return nil
}
