package main

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/hapaxmq/hapax/uniq"
)

// watch shows progress on a terminal, unless the output is on one too, until the
// function that it returns is called.
func (w *world) watch(p *uniq.Progress, toStdout bool) (stop func()) {
	if !w.stderr.terminal || toStdout && isTerminal(w.stdout) {
		return func() {}
	}
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(500 * time.Millisecond)
		defer tick.Stop()
		start := time.Now()
		for {
			select {
			case <-done:
				w.stderr.progress("")
				return
			case <-tick.C:
				w.stderr.progress(progressLine(p.Stats(), time.Since(start)))
			}
		}
	}()
	return func() {
		close(done)
		<-ended
	}
}

func progressLine(s uniq.Stats, took time.Duration) string {
	line := count(s.Read) + " lines"
	if s.Unique > 0 {
		line += fmt.Sprintf(", %s duplicates", count(s.Duplicates))
	}
	if s.Conflicts > 0 {
		line += fmt.Sprintf(", %s conflicts", count(s.Conflicts))
	}
	return line + fmt.Sprintf(", %s lines/s, %s/s", count(int64(float64(s.Read)/took.Seconds())),
		bytesText(int64(float64(s.Bytes)/took.Seconds())))
}

// report warns of what was dropped and prints the statistics, if asked for.
func (c *uniqCommand) report(w *world, s uniq.Stats, took time.Duration) error {
	if s.Conflicts > 0 && (c.Conflicts == "" || c.Conflicts == "drop") && !c.Mark {
		w.stderr.say("warning: conflicts dropped: %s (see --conflicts)", count(s.Conflicts))
	}
	switch {
	case c.JSON:
		b, err := json.Marshal(struct {
			uniq.Stats
			Seconds float64 `json:"seconds"`
		}{s, took.Seconds()})
		if err != nil {
			return fmt.Errorf("print statistics: %w", err)
		}
		w.stderr.print(string(b) + "\n")
	case c.Stats:
		w.stderr.print(fmt.Sprintf("read        %d\nunique      %d\nduplicates  %d\nconflicts   %d\nwithout id  %d\n",
			s.Read, s.Unique, s.Duplicates, s.Conflicts, s.WithoutID))
		if s.ByContent > 0 {
			w.stderr.print(fmt.Sprintf("by content  %d\n", s.ByContent))
		}
		if s.Stale > 0 {
			w.stderr.print(fmt.Sprintf("stale       %d\n", s.Stale))
		}
		if s.Late > 0 {
			w.stderr.print(fmt.Sprintf("late        %d\n", s.Late))
		}
	}
	return nil
}
