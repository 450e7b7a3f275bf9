package main

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hapaxmq/hapax/bench/measure"
	"github.com/hapaxmq/hapax/bench/report"
	"github.com/hapaxmq/hapax/bench/stream"
)

// command is a deduplicator of lines to be run on a file.
type command struct {
	name    string
	program string
	args    []string
	stdin   bool   // it reads the file from standard input
	output  string // it writes this file itself; empty: standard output
	trash   string // to be removed before each run
}

// uniq compares hapax uniq with the deduplicators of lines at hand, in time
// and memory. All write a file, and each one's is compared with what must be
// in it, once, before anything is measured.
func uniq(b *bench) error {
	hapax, err := hapaxBinary(b)
	if err != nil {
		return err
	}
	input := b.path("lines")
	want, err := stream.Tenth().WriteLines(input, b.size(20_000_000))
	if err != nil {
		return err
	}
	durable := command{
		name: "hapax uniq --ledger --out", program: hapax, output: b.path("durable.out"), trash: b.path("ledger"),
		args: []string{"uniq", "--ledger", b.path("ledger"), "--out", b.path("durable.out"), input},
	}
	commands := []command{{name: "hapax uniq", program: hapax, args: []string{"uniq", input}}, durable}
	for _, peer := range []command{
		{name: "huniq", program: "huniq", stdin: true},
		{name: "mawk '!seen[$0]++'", program: "mawk", args: []string{"!seen[$0]++"}, stdin: true},
	} {
		path, err := report.Find(peer.program)
		if err != nil {
			if err := b.add(report.Line{Work: "hapax uniq", Peer: peer.name, Error: err.Error()}); err != nil {
				return err
			}
			continue
		}
		peer.program = path
		commands = append(commands, peer)
	}
	for _, c := range commands {
		if err := c.check(b, input, want); err != nil {
			return err
		}
	}
	walls, peaks, _, err := race(b, input, commands)
	if err != nil {
		return err
	}
	if err := addUniq(b, commands, walls, peaks); err != nil {
		return err
	}
	return addDisk(b, durable, measure.Median(walls[1]))
}

// addDisk shows how long the disk alone takes for what a durable run leaves on it.
func addDisk(b *bench, durable command, wall float64) error {
	out, err := os.Stat(durable.output)
	if err != nil {
		return err
	}
	size, err := measure.Disk(durable.trash)
	if err != nil {
		return err
	}
	size += out.Size()
	if err := errors.Join(os.Remove(durable.output), os.RemoveAll(durable.trash)); err != nil {
		return err
	}
	walls, err := measure.Rounds(b.Rounds, []measure.Pass{func(int) (float64, error) {
		start := time.Now()
		err := writeAndSync(b.path("zeros"), size)
		return time.Since(start).Seconds(), err
	}})
	if err != nil {
		return err
	}
	alone := measure.Median(walls[0])
	return b.add(report.Line{
		Work: "for comparison: with --ledger and --out", Ours: report.Of(wall, "s"),
		Peer: fmt.Sprintf("write and fdatasync of its %.2f GB", float64(size)/1e9), Their: report.Of(alone, "s"), Ratio: wall / alone,
	})
}

// writeAndSync makes a file of a size, synced every 64 MiB.
func writeAndSync(path string, size int64) (err error) {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close(), os.Remove(path)) }()
	piece := make([]byte, 1<<20)
	for n := int64(0); n < size; n += int64(len(piece)) {
		if _, err := f.Write(piece); err != nil {
			return err
		}
		if n%(64<<20) == 0 {
			if err := unix.Fdatasync(int(f.Fd())); err != nil {
				return err
			}
		}
	}
	return unix.Fdatasync(int(f.Fd()))
}

func addUniq(b *bench, commands []command, walls, peaks [][]float64) error {
	work := fmt.Sprintf("hapax uniq, %s lines of %d bytes", millions(b.size(20_000_000)), stream.LineLength)
	lines := []report.Line{{
		Work: "the same with --ledger and --out",
		Ours: report.Of(measure.Median(walls[1]), "s"), Peer: "hapax uniq", Their: report.Of(measure.Median(walls[0]), "s"),
		Ratio: measure.Ratio(walls[1], walls[0]), Bound: report.AtMost(1.5, "×"),
		Note: fmt.Sprintf("%.0f MB at its peak.", measure.Median(peaks[1])),
	}}
	times := map[string]float64{"huniq": 3, "mawk": 10}
	memory := map[string]float64{"huniq": 1, "mawk": 0.2}
	for i, c := range commands[2:] {
		program := filepath.Base(c.program)
		lines = append(lines, report.Line{
			Work: work + ", time",
			Ours: report.Of(measure.Median(walls[0]), "s"), Peer: c.name, Their: report.Of(measure.Median(walls[i+2]), "s"),
			Ratio: measure.Ratio(walls[i+2], walls[0]), Bound: report.AtLeast(times[program], "×"),
		}, report.Line{
			Work: work + ", peak memory",
			Ours: report.Of(measure.Median(peaks[0]), "MB"), Peer: c.name, Their: report.Of(measure.Median(peaks[i+2]), "MB"),
			Ratio: measure.Ratio(peaks[0], peaks[i+2]), Bound: report.AtMost(memory[program], "×"),
		})
	}
	for _, l := range lines {
		if err := b.add(l); err != nil {
			return err
		}
	}
	return nil
}

// race runs every command once a round. It returns seconds, peak MB and seconds
// of processor time, by command and round.
func race(b *bench, input string, commands []command) (walls, peaks, cpus [][]float64, err error) {
	peaks, cpus = make([][]float64, len(commands)), make([][]float64, len(commands))
	passes := make([]measure.Pass, len(commands))
	for i, c := range commands {
		passes[i] = func(int) (float64, error) {
			usage, _, err := c.run(b, input)
			peaks[i] = append(peaks[i], float64(usage.Peak)/1e6)
			cpus[i] = append(cpus[i], usage.CPU.Seconds())
			return usage.Wall.Seconds(), err
		}
	}
	walls, err = measure.Rounds(b.Rounds, passes)
	return walls, peaks, cpus, err
}

// run runs c on the file input and returns what it took and the file it wrote.
func (c command) run(b *bench, input string) (usage measure.Usage, output string, err error) {
	output = c.output
	if c.trash != "" {
		err = os.RemoveAll(c.trash)
	}
	if output != "" {
		err = errors.Join(err, os.RemoveAll(output))
	}
	if err != nil {
		return usage, "", err
	}
	run := exec.CommandContext(b.ctx, c.program, c.args...)
	var complaints strings.Builder
	run.Stderr = &complaints
	if c.stdin {
		f, err := os.Open(input)
		if err != nil {
			return usage, "", err
		}
		defer func() { _ = f.Close() }() // it is only read
		run.Stdin = f
	}
	if output == "" {
		output = b.path("out")
		f, err := os.Create(output)
		if err != nil {
			return usage, "", err
		}
		defer func() { err = errors.Join(err, f.Close()) }()
		run.Stdout = f
	}
	measure.Settle()
	usage, err = measure.Run(run)
	if err != nil {
		err = fmt.Errorf("%w: %s", err, complaints.String())
	}
	return usage, output, err
}

// check compares what c writes with what must be written.
func (c command) check(b *bench, input string, want [sha256.Size]byte) error {
	_, output, err := c.run(b, input)
	if err != nil {
		return err
	}
	f, err := os.Open(output)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // it is only read
	got, n, err := stream.Sum(f)
	if err == nil && got != want {
		err = fmt.Errorf("%s: wrote %d bytes, and not each line once", c.name, n)
	}
	return err
}

// hapaxBinary is the binary to measure, built if none was named.
func hapaxBinary(b *bench) (string, error) {
	if b.Hapax != "" {
		return filepath.Abs(b.Hapax)
	}
	path := b.path("hapax")
	if err := measure.Go(b.ctx, "build", "-o", path, "./cmd/hapax"); err != nil {
		return "", err
	}
	return path, nil
}
