// Command hookstream writes a stream of GitHub webhooks with the duplicates
// that real systems make, and the truth about it. Package
// internal/hookstream says how.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/hapaxmq/hapax/internal/hookstream"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "hookstream:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	var o hookstream.Options
	flags := flag.NewFlagSet("hookstream", flag.ExitOnError)
	payloads := flags.String("payloads", "testdata/webhooks", "`file` of payloads, or a directory that holds one: the unpacked npm package will do")
	out := flags.String("out", "", "write the stream to this `file` (default standard output)")
	truth := flags.String("truth", "", "write the truth to this `file`")
	flags.Int64Var(&o.Messages, "messages", 0, "stop after this many lines")
	flags.Func("bytes", "stop after this `size`: 1000000, 64M, 1G (1G is 2^30)", func(s string) (err error) {
		o.Bytes, err = parseSize(s)
		return err
	})
	flags.Uint64Var(&o.Seed, "seed", 1, "the same seed makes the same stream")
	flags.Float64Var(&o.Duplicates, "duplicates", 0.1, "share of lines that are copies")
	flags.DurationVar(&o.Span, "span", 0, "time from the first message to the last (default 72h)")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	if o.Messages == 0 && o.Bytes == 0 {
		o.Messages = 10_000
	}
	var err error
	if o.Payloads, err = load(*payloads); err != nil {
		return err
	}
	t, err := write(*out, o)
	if err != nil || *truth == "" {
		return err
	}
	text, err := json.MarshalIndent(t, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(*truth, append(text, '\n'), 0o644)
}

// load reads the payloads of a file, or of a directory: of this repository's
// sample or of the npm package.
func load(path string) ([]hookstream.Payload, error) {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		for _, name := range []string{"payloads.json", "index.json", "api.github.com/index.json", "package/api.github.com/index.json"} {
			file := filepath.Join(path, name)
			if _, err := os.Stat(file); err == nil {
				return load(file)
			} else if !errors.Is(err, fs.ErrNotExist) {
				return nil, err
			}
		}
		return nil, fmt.Errorf("%s holds no webhook payloads: name the file", path)
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close() //nolint:errcheck // it was only read
	payloads, err := hookstream.Load(bufio.NewReader(file))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return payloads, nil
}

func write(path string, o hookstream.Options) (*hookstream.Truth, error) {
	if path == "" {
		return hookstream.Write(os.Stdout, o)
	}
	file, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	t, err := hookstream.Write(file, o)
	return t, errors.Join(err, file.Close())
}

func parseSize(s string) (int64, error) {
	number, shift := s, 0
	if i := strings.IndexAny(s, "KMG"); i >= 0 && i == len(s)-1 {
		number, shift = s[:i], 10*(1+strings.IndexByte("KMG", s[i]))
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n < 0 || n > (1<<62)>>shift {
		return 0, errors.New("want a number, or one with K, M or G behind it")
	}
	return n << shift, nil
}
