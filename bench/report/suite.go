package report

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"syscall"
	"time"
)

// Config is what the command line of every program here says.
type Config struct {
	Quick  bool // small sizes: does it work?
	Rounds int
	Dir    string // for files: a folder of the run's own
}

// Row is one piece of work. The lines that it returns beside an error are kept.
type Row struct {
	Name    string
	About   string
	Measure func(ctx context.Context) ([]Line, error)
}

// Suite is a program that measures rows, one after the other, and prints one table.
type Suite struct {
	Name  string
	Quick string // what -quick does
	Files string // what -dir says of the files
	Flags func(*flag.FlagSet)
	Rows  []Row
	Peers func() Peers // once all is measured

	// Open is called before the first row, and Close behind the last one.
	Open  func(ctx context.Context, c Config) error
	Close func() error
}

// Main runs the program and ends it.
func (s *Suite) Main() {
	if err := s.Run(os.Args[1:], os.Stdout); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintf(os.Stderr, "%s: %v\n", s.Name, err)
		os.Exit(1)
	}
}

// Run measures what the command line asks for. SIGINT and SIGTERM stop it: then it prints what
// it has.
func (s *Suite) Run(args []string, out io.Writer) (err error) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var c Config
	flags := flag.NewFlagSet(s.Name, flag.ContinueOnError)
	flags.BoolVar(&c.Quick, "quick", false, s.Quick+": to see that everything works")
	flags.IntVar(&c.Rounds, "rounds", 5, "interleaved rounds; figures are medians")
	flags.StringVar(&c.Dir, "dir", os.TempDir(), "folder for files, removed at the end"+s.Files)
	pattern := flags.String("rows", "", "measure only rows whose name matches this regular expression")
	asJSON := flags.Bool("json", false, "print JSON instead of a table")
	list := flags.Bool("list", false, "list the rows")
	if s.Flags != nil {
		s.Flags(flags)
	}
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	if c.Rounds < 1 {
		return errors.New("-rounds must be at least 1")
	}
	selected, err := regexp.Compile(*pattern)
	if err != nil {
		return fmt.Errorf("-rows: %w", err)
	}
	if *list {
		return s.list(out)
	}
	if c.Dir, err = os.MkdirTemp(c.Dir, "hapax-bench-"); err != nil {
		return fmt.Errorf("make folder: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(c.Dir)) }()
	result, err := s.measure(ctx, c, selected)
	switch {
	case result == nil:
		return err
	case *asJSON:
		return errors.Join(err, result.JSON(out))
	}
	return errors.Join(err, result.Markdown(out))
}

func (s *Suite) list(out io.Writer) error {
	for _, r := range s.Rows {
		if _, err := fmt.Fprintf(out, "%-16s %s\n", r.Name, r.About); err != nil {
			return err
		}
	}
	return nil
}

// measure returns what it has measured, if it could begin.
func (s *Suite) measure(ctx context.Context, c Config, selected *regexp.Regexp) (result *Report, err error) {
	if s.Close != nil {
		defer func() { err = errors.Join(err, s.Close()) }()
	}
	if err := s.Open(ctx, c); err != nil {
		return nil, err
	}
	result = &Report{}
	for _, r := range s.Rows {
		if !selected.MatchString(r.Name) {
			continue
		}
		began := time.Now()
		fmt.Fprintf(os.Stderr, "%s …", r.Name)
		lines, err := r.Measure(ctx)
		if err != nil {
			lines = append(lines, Line{Work: r.About, Error: err.Error()})
		}
		for _, l := range lines {
			l.Row = r.Name
			result.Lines = append(result.Lines, l)
		}
		fmt.Fprintf(os.Stderr, " %v\n", time.Since(began).Round(time.Second))
		if ctx.Err() != nil {
			break
		}
	}
	result.Machine = Machine(context.WithoutCancel(ctx), c.Dir, s.Peers())
	if ctx.Err() != nil {
		return result, fmt.Errorf("stopped: %w", ctx.Err())
	}
	return result, nil
}
