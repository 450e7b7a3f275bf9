package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/internal/lines"
	"github.com/hapaxmq/hapax/internal/vfs"
	"github.com/hapaxmq/hapax/uniq"
)

// The exit codes, which scripts may rely on.
const (
	exitOK       = 0
	exitError    = 1 // an input, an output or a ledger
	exitUsage    = 2 // the command line
	exitConflict = 3 // a conflict, with --conflicts error
	exitAbsent   = 4 // the ledger knows nothing of an id, or no such record is set aside

	exitUnseen  = 1 // why: the topic does not remember the id
	exitUnasked = 2 // why: nobody could be asked

	exitInterrupted = 130 // as of a program that SIGINT ended; for SIGTERM and SIGHUP too
)

var (
	errUsage  = errors.New("usage")
	errAbsent = errors.New("not remembered")
	errUnseen = errors.New("not remembered by the topic") // which was said
	errAside  = errors.New("not set aside")
)

// unasked is an error of a command whose exit codes say what it was asked.
type unasked struct{ error }

func (u unasked) Unwrap() error { return u.error }

// usage is an error in the command line.
func usage(format string, args ...any) error {
	return fmt.Errorf("%w: %w", errUsage, fmt.Errorf(format, args...))
}

// commands is the command line.
type commands struct {
	Demo    demoCommand    `cmd:"" help:"Play a payment gateway by hand and by Hapax, side by side, while things fail."`
	Part    demoPart       `cmd:"" name:"demo-part" hidden:"" help:"Be a process of the demo."`
	Uniq    uniqCommand    `cmd:"" help:"Let each line through once."`
	Audit   auditCommand   `cmd:"" help:"Report what duplicates there are, and what it takes to catch them. Changes nothing."`
	Ledger  ledgerCommand  `cmd:"" help:"Look into a ledger."`
	Serve   serveCommand   `cmd:"" help:"Be a Kafka broker that keeps what it acknowledged."`
	Topics  topicsCommand  `cmd:"" help:"List the topics of a node, and how they keep each message once."`
	Outbox  outboxCommand  `cmd:"" help:"Publish what the outbox of a database holds, and see to what can't be."`
	Why     whyCommand     `cmd:"" help:"Ask a node what a topic knows of an id."`
	Version versionCommand `cmd:"" help:"Print the version."`

	VersionFlag kong.VersionFlag `name:"version" help:"Print the version."`
}

// world is what a command works on.
type world struct {
	ctx     context.Context
	stdin   io.Reader
	stdout  io.Writer
	stderr  *console
	command string // as far as it could be read, such as "hapax uniq"
}

// run runs one command and returns its exit code.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	w := &world{ctx, stdin, stdout, newConsole(stderr), "hapax"}
	helped := false
	parser, err := kong.New(&commands{},
		kong.Name("hapax"),
		kong.Description("Messages may arrive twice. Hapax lets each take effect once.\n\n"+
			"Exit codes: 0 done; 1 an input, an output or a ledger is not as it should be; 2 the command line; "+
			"3 a conflict, with uniq --conflicts error; 4 ledger lookup or forget of an id that is not remembered, outbox retry or discard of what is not set aside; of why 0 known, 1 not known, 2 an error; 130 interrupted, by SIGINT, SIGTERM or SIGHUP."),
		kong.Vars{"version": version()},
		kong.Writers(stdout, stderr),
		kong.Exit(func(int) { helped = true }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 100}),
		kong.Help(help),
	)
	if err != nil {
		return w.fail(err)
	}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	command, err := parser.Parse(joinNegative(args))
	if helped {
		return exitOK
	}
	w.command = commandOf(command, err)
	if err == nil {
		err = checkEmpty(command)
	}
	if err != nil {
		return w.fail(misread(err))
	}
	return w.fail(command.Run(w))
}

// commandOf is the command that a command line names, if it could be read so far.
func commandOf(command *kong.Context, err error) string {
	var unread *kong.ParseError
	if errors.As(err, &unread) {
		command = unread.Context
	}
	if command == nil || command.Selected() == nil {
		return "hapax"
	}
	return command.Selected().FullPath()
}

// misread is what is wrong with the command line, or with the output of its help.
func misread(err error) error {
	var output *fs.PathError
	if errors.As(err, &output) {
		return err
	}
	if strings.HasSuffix(err.Error(), `but got "EOL" (<EOL>)`) {
		flag, _, _ := strings.Cut(err.Error(), ":")
		return usage("%s wants a value", flag)
	}
	return fmt.Errorf("%w: %w", errUsage, err)
}

// joinNegative writes "--flag", "-1" as "--flag=-1", so that the flag says what is
// wrong with it: no flag's name begins with a digit.
func joinNegative(args []string) (joined []string) {
	for i, arg := range args {
		if arg == "--" {
			return append(joined, args[i:]...)
		}
		negative := len(arg) > 1 && arg[0] == '-' && '0' <= arg[1] && arg[1] <= '9'
		if last := len(joined) - 1; negative && last >= 0 && strings.HasPrefix(joined[last], "--") && !strings.Contains(joined[last], "=") {
			joined[last] += "=" + arg
		} else {
			joined = append(joined, arg)
		}
	}
	return joined
}

// checkEmpty refuses what was given and says nothing: a script with a variable
// that is not set must not be taken for one that asks for less.
func checkEmpty(command *kong.Context) error {
	for _, element := range command.Path {
		switch f, a := element.Flag, element.Positional; {
		case f != nil && f.Target.CanInt() && f.Target.IsZero():
			return fmt.Errorf("--%s 0: want 1 or more", f.Name)
		case f != nil && !f.IsBool() && !f.Target.CanUint() && f.Target.IsZero(): // a number from 0 on is never empty
			return fmt.Errorf("--%s: %s is empty", f.Name, f.FormatPlaceHolder())
		case a != nil && a.Target.IsZero():
			return fmt.Errorf("<%s> is empty", a.Name)
		}
	}
	return nil
}

// fail says what went wrong, if anything did, and returns the exit code.
func (w *world) fail(err error) int {
	if err == nil {
		return exitOK
	}
	text := strings.ReplaceAll(strings.Join(said(err), "; "), "hapax: ", "") // it says so once
	switch {
	case errors.Is(err, errUsage):
		w.stderr.say("%s; see %s --help", text, w.command)
		return exitUsage
	case errors.Is(err, errUnseen):
		return exitUnseen
	case errors.Is(err, errAbsent), errors.Is(err, errAside):
		w.stderr.say("%s", text)
		return exitAbsent
	case errors.Is(err, context.Canceled):
		w.stderr.say("interrupted")
		return exitInterrupted
	}
	w.stderr.say("%s%s", text, advice(err))
	if errors.Is(err, hapax.ErrConflict) {
		return exitConflict
	}
	if _, ok := errors.AsType[unasked](err); ok {
		return exitUnasked
	}
	return exitError
}

// said is what each of several errors says that were joined. A disk that was full to
// one of them is full to those behind it too, and need not be said again.
func said(err error) (texts []string) {
	full := false
	for _, err := range joined(err) {
		if again := full && vfs.IsFull(err); !again {
			texts = append(texts, err.Error())
		}
		full = full || vfs.IsFull(err)
	}
	return texts
}

// joined are the errors that [errors.Join] made one of.
func joined(err error) (all []error) {
	several, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []error{err}
	}
	var texts []string
	for _, err := range several.Unwrap() {
		all = append(all, joined(err)...)
		texts = append(texts, err.Error())
	}
	if strings.Join(texts, "\n") != err.Error() { // it says more than they do
		return []error{err}
	}
	return all
}

// advice is what to do about an error, behind what it says.
func advice(err error) string {
	switch {
	case errors.Is(err, hapax.ErrMissing):
		return " (--missing says what to do with such lines)"
	case errors.Is(err, hapax.ErrConflict):
		return " (--conflicts says what to do with such lines)"
	case errors.Is(err, uniq.ErrStale):
		return " (--stale says what to do with such lines)"
	case vfs.IsFull(err):
		return " (make room and start again)"
	case errors.Is(err, lines.ErrTooLong):
		return " (--max-line says how long it may be)"
	}
	return ""
}

// help prints the help of a command, with its examples at the end.
func help(options kong.HelpOptions, ctx *kong.Context) error {
	if err := kong.DefaultHelpPrinter(options, ctx); err != nil {
		return err
	}
	if node := ctx.Selected(); node != nil {
		if e, ok := node.Target.Addr().Interface().(interface{ examples() string }); ok {
			_, err := fmt.Fprintf(ctx.Stdout, "\nExamples:\n%s", e.examples())
			return err
		}
	}
	return nil
}
