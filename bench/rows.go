package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/hapaxmq/hapax/bench/measure"
	"github.com/hapaxmq/hapax/bench/report"
)

// row is one piece of work, and what it is measured against.
type row struct {
	name    string
	about   string
	limit   time.Duration
	measure func(*bench) error
}

func rows() []row {
	return []row{
		{"hot", "one by one and in batches of 256, one core", 20 * time.Minute, hot},
		{"latency", "latency one by one, one core", 10 * time.Minute, latency},
		{"cores", "both cores", 10 * time.Minute, cores},
		{"scale", "ns a key at 100 M and at 1 M", 15 * time.Minute, scale},
		{"memory", "RAM a live key", 15 * time.Minute, memory},
		{"disk", "disk a live key", 10 * time.Minute, disk},
		{"batches", "durable batches of 1,000", 15 * time.Minute, durableBatches},
		{"single", "durable one by one", 15 * time.Minute, durableSingle},
		{"opening", "opening", 15 * time.Minute, opening},
		{"leaving", "leaving the window", 15 * time.Minute, leaving},
		{"sequences", "sequences instead of ids", 15 * time.Minute, sequences},
		{"cold", "200 M keys in 1 GiB", 30 * time.Minute, cold},
		{"uniq", "hapax uniq on 20 M lines", 40 * time.Minute, uniq},
		{"json", "hapax uniq on webhook JSON", 20 * time.Minute, webhooks},
	}
}

// bench is a row being measured.
type bench struct {
	config
	ctx context.Context
	out *json.Encoder
}

// add prints a line at once, so that it outlives what comes after it.
func (b *bench) add(l report.Line) error { return b.out.Encode(l) }

// size is a number of messages or bytes, a hundredth of it with -quick.
func (b *bench) size(full int64) int64 {
	if b.Quick {
		return full / 100
	}
	return full
}

func (b *bench) path(name string) string { return filepath.Join(b.Dir, name) }

type rowArgs struct {
	Row    string
	Config config
}

// task runs in a process of its own and returns a result, which is written as
// JSON.
type task func(args json.RawMessage) (any, error)

func tasks() map[string]task {
	return map[string]task{
		"grow":  typed(growTask),
		"fill":  typed(fillTask),
		"open":  typed(openTask),
		"cold":  typed(coldTask),
		"tally": typed(tallyTask),
	}
}

func typed[Args, Result any](f func(Args) (Result, error)) task {
	return func(encoded json.RawMessage) (any, error) {
		var args Args
		if err := json.Unmarshal(encoded, &args); err != nil {
			return nil, fmt.Errorf("read arguments: %w", err)
		}
		return f(args)
	}
}

// serve is the main function of a child.
func serve(name string, args json.RawMessage, out io.Writer) error {
	if name == "row" {
		return serveRow(args, out)
	}
	t, ok := tasks()[name]
	if !ok {
		return fmt.Errorf("unknown task %q", name)
	}
	result, err := t(args)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return measure.Reply(out, result)
}

func serveRow(encoded json.RawMessage, out io.Writer) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var args rowArgs
	if err := json.Unmarshal(encoded, &args); err != nil {
		return fmt.Errorf("read arguments: %w", err)
	}
	for _, r := range rows() {
		if r.name != args.Row {
			continue
		}
		b := &bench{config: args.Config, ctx: ctx, out: json.NewEncoder(out)}
		if err := r.measure(b); err != nil {
			return b.add(report.Line{Work: r.about, Error: err.Error()})
		}
		return nil
	}
	return fmt.Errorf("unknown row %q", args.Row)
}
