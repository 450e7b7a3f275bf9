package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/hapaxmq/hapax/demo"
)

// demoCommand is hapax demo.
type demoCommand struct {
	Fast     bool   `name:"fast" help:"Each fault once, without a pause: a few seconds instead of a minute."`
	Seed     uint64 `name:"seed" default:"1" placeholder:"N" help:"Draws payments and faults (default 1): the same number draws the same ones."`
	JSON     bool   `name:"json" help:"Print the report as one JSON object, and no progress."`
	Keep     string `name:"keep" placeholder:"DIR" help:"Leave the databases and logs of all processes in DIR, which is empty or made."`
	Postgres string `name:"postgres" placeholder:"URL" help:"Keep tables in PostgreSQL instead of SQLite, in schemas that are dropped at the end."`
	Kafka    string `name:"kafka" placeholder:"ADDR" help:"Use another broker than our own, such as Apache Kafka. Topics and groups are deleted at the end."`
	Redis    string `name:"redis" placeholder:"ADDR" help:"Keep claims in Redis instead of directories. Keys are deleted at the end."`
}

func (*demoCommand) examples() string {
	return `  hapax demo
  hapax demo --fast --seed 7
  hapax demo --postgres 'postgres://hapax@127.0.0.1/hapax' --redis 127.0.0.1:6379

A gateway takes payments; a wallet is credited, an e-mail is sent, the bank settles,
analytics count. Twice, side by side: as services are written by hand, with care, and
behind the doors of Hapax. Both run the same handlers and meet the same faults: answers
and acks lost, processes killed, ranges replayed. An auditor who knows only payments and
effects says what is wrong. It exits with 1 if anything is wrong with the column of Hapax,
or nothing with the other one; with 130 when it is interrupted. All it makes is in a folder
hapax-demo-… below TMPDIR, which is removed at its end unless that is a kill -9.
`
}

// demoPart is a process of the demo.
type demoPart struct{}

// Run is the part that the conductor says, on standard input.
func (*demoPart) Run(w *world) error { return demo.Part(w.ctx, w.stdin, w.stdout) }

// Run plays the demo.
func (c *demoCommand) Run(w *world) error {
	program, err := os.Executable()
	if err != nil {
		return err
	}
	paint := demo.Paint{On: isTerminal(w.stdout) && os.Getenv("NO_COLOR") == ""} //nolint:misspell // its name
	live := &demo.Live{Out: w.stdout, Paint: paint}
	watch := live.Show
	switch {
	case c.JSON:
		watch = nil
	case !isTerminal(w.stdout):
		watch = func(p demo.Progress) { w.stderr.print(p.Line() + "\n") }
	}
	report, err := demo.Run(w.ctx, demo.Options{
		Seed: c.Seed, Fast: c.Fast, Keep: c.Keep, Postgres: c.Postgres, Kafka: c.Kafka, Redis: c.Redis,
		Program: []string{program, "demo-part"}, Watch: watch,
	})
	if err != nil {
		return err
	}
	live.Clear()
	switch {
	case c.JSON:
		err = json.NewEncoder(w.stdout).Encode(report)
	case len(report.Problems) > 0:
		_, err = fmt.Fprintf(w.stdout, "%s\n%s", report.FaultTable(paint), report.Table(paint))
	default:
		_, err = fmt.Fprintf(w.stdout, "%s\n%s\n%s\n", report.FaultTable(paint), report.Table(paint), report.Verdict())
	}
	if err == nil && len(report.Problems) > 0 {
		err = errors.New(report.Verdict())
	}
	return err
}
