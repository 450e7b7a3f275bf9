package main

import (
	"fmt"
	"os"

	"github.com/hapaxmq/hapax/broker"
)

// givenSettings are the node's, of the file and, over them, of the flags.
type givenSettings struct {
	broker.Settings

	file string
	at   map[string]int // the lines of those that are the file's
}

func (c *serveCommand) settings() (g givenSettings, err error) {
	g = givenSettings{Settings: broker.Settings{}, file: c.Config}
	if c.Config != "" {
		f, err := os.Open(c.Config)
		if err != nil {
			return g, fmt.Errorf("read settings: %w", err)
		}
		g.at, err = g.Read(f)
		_ = f.Close() // it was only read
		if err != nil {
			return g, usage("%s: %w", c.Config, err)
		}
	}
	for _, text := range c.Set {
		flags := broker.Settings{}
		if err := flags.Set(text); err != nil {
			return g, usage("--set: %w", err)
		}
		for name, value := range flags {
			g.Settings[name] = value
			delete(g.at, name)
		}
	}
	if err := g.Check(); err != nil {
		return g, usage("%w", g.place(err))
	}
	return g, nil
}

// place adds to an error about a setting where in the file that stands.
func (g *givenSettings) place(err error) error {
	if line, ok := g.at[broker.SettingOf(err)]; ok {
		return fmt.Errorf("%s: line %d: %w", g.file, line, err)
	}
	return err
}
