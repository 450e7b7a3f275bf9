package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
)

// An input that a run was reading when it was killed, or stopped at a conflict,
// is unfinished: the ledger may remember lines of it that are in no output, and
// only the input itself brings them back. Until it is given again, copies of them
// in other inputs would be dropped as duplicates. So a run without it is refused,
// unless the user says to leave it.

// checkUnfinished demands that unfinished files are among those to read, and that
// standard input is if that is unfinished. Whether it is the same one shows when
// it is read.
func (p *positions) checkUnfinished(ctx context.Context, files []string) error {
	given, err := p.given(files)
	if err != nil {
		return err
	}
	for _, all := range p.files {
		for i := range all {
			if k := &all[i]; k.note.CutShort() && !given[k.name] {
				if err := p.leaveUnfinished(ctx, k, "give it again"); err != nil {
					return err
				}
			}
		}
	}
	if len(files) == 0 || slices.ContainsFunc(files, mayBePipe) {
		return nil
	}
	for i := range p.pipes {
		if k := &p.pipes[i]; k.note.CutShort() {
			if err := p.leaveUnfinished(ctx, k, feedAgain); err != nil {
				return err
			}
		}
	}
	return nil
}

const feedAgain = "feed it again from its start"

// mayBePipe tells whether what is named so is no plain file.
func mayBePipe(name string) bool {
	info, err := os.Stat(name)
	return name == "-" || err == nil && !info.Mode().IsRegular()
}

// given tells which unfinished files are among those to read, by their names in
// the ledger.
func (p *positions) given(files []string) (map[string]bool, error) {
	given := map[string]bool{}
	for _, name := range files {
		info, err := os.Stat(name)
		if err != nil || !info.Mode().IsRegular() {
			continue // whoever reads it says what is wrong
		}
		known := p.files[fileID(info, name)]
		if len(known) == 0 {
			continue
		}
		f, err := os.Open(name)
		if err != nil {
			continue
		}
		for _, k := range known {
			same, failed := k.begins(f)
			given[k.name] = given[k.name] || same
			err = errors.Join(err, failed)
		}
		if err := errors.Join(err, f.Close()); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	return given, nil
}

// leaveUnfinished refuses to go on without an unfinished input, or notes that the
// user does.
func (p *positions) leaveUnfinished(ctx context.Context, k *known, todo string) error {
	name := k.note.Path
	if strings.HasPrefix(k.name, "pipe:") {
		name = "another standard input"
	}
	if !p.leave {
		return fmt.Errorf("%s was being read when a run was cut short (it is done up to line %s), "+
			"and lines of it which are in no output would count as duplicates here: "+
			"%s, or go on without these lines with --leave-input", name, count(k.note.Line), todo)
	}
	p.console.say("warning: %s was being read when a run was cut short: lines of it which are in no output "+
		"count as duplicates until you %s", name, todo)
	k.note.Left = true
	return p.confirm(ctx, k.name, k.offset, k.note)
}

// leaveUnfinishedPipes leaves the unfinished pipes of earlier runs to another one.
func (p *positions) leaveUnfinishedPipes(ctx context.Context) error {
	for i := range p.pipes {
		if k := &p.pipes[i]; !p.used[k.name] && k.note.CutShort() {
			if err := p.leaveUnfinished(ctx, k, feedAgain); err != nil {
				return err
			}
		}
	}
	return nil
}

// warnUnfinished tells of pipes that a run has not come back to, though it read
// standard input.
func (p *positions) warnUnfinished() {
	for i := range p.pipes {
		if k := &p.pipes[i]; !p.used[k.name] && k.note.CutShort() {
			p.console.say("warning: the standard input of a run that was cut short was not fed again: lines of it which are in no output " +
				"count as duplicates until it is, from its start")
		}
	}
}
