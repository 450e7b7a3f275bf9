// Package telling is what the programs written in Go share: arguments, lines told,
// and when to leave.
package telling

import (
	"context"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"
)

// Verbs are what a program does; the package clients says how.
type Verbs struct {
	Produce   func(ctx context.Context, address, topic string, numbers Range, codec string) error
	Consume   func(ctx context.Context, address, topic string, count int) error
	Follow    func(ctx context.Context, address string, topics []string) error
	Member    func(ctx context.Context, address, group, topic, protocol string) error
	Transform func(ctx context.Context, address, group, from, to, id string) error
	Admin     func(ctx context.Context, address, topic, group string) error
}

// Main runs the verb that the arguments name, and ends the program. The context of
// Follow, Member and Transform ends when standard input does, that of the others after two
// minutes.
func (v Verbs) Main() {
	if err := v.run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func (v Verbs) run(args []string) error {
	if len(args) < 4 {
		return fmt.Errorf("want an address, a verb and its arguments, not %q", args)
	}
	address, verb, args := args[0], args[1], args[2:]
	limited, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	switch verb {
	case "produce":
		count := number(args[1])
		for i, codec := range args[2:] {
			if err := v.Produce(limited, address, args[0], Range{i * count, (i + 1) * count}, codec); err != nil {
				return fmt.Errorf("produce with %s: %w", codec, err)
			}
		}
		return nil
	case "consume":
		return v.Consume(limited, address, args[0], number(args[1]))
	case "follow":
		return v.Follow(leaving(), address, args)
	case "member":
		protocol := "classic"
		if len(args) > 2 {
			protocol = args[2]
		}
		return v.Member(leaving(), address, args[0], args[1], protocol)
	case "transform":
		return v.Transform(leaving(), address, args[0], args[1], args[2], args[3])
	case "admin":
		return v.Admin(limited, address, args[0], args[1])
	}
	return fmt.Errorf("no verb %q", verb)
}

// number is what the exam wrote, which is a number.
func number(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		panic(err)
	}
	return n
}

// leaving ends when standard input does.
func leaving() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin) // an error ends it as well
		cancel()
	}()
	return ctx
}

// Tell tells one line, by one write. It may be called concurrently.
func Tell(words ...any) {
	_, _ = fmt.Fprintln(os.Stdout, words...) // the exam misses what is not told
}

// Range is the numbers from From up to but not To.
type Range struct{ From, To int }

// Key is that of a record by its number.
func Key(n int) string { return fmt.Sprintf("k%d", n%10) }
