package main

import (
	"errors"
	"strings"

	"github.com/hapaxmq/hapax"
)

// fullError is a [hapax.ErrFull] in the words of the command line, where the
// ledger's are those of its options.
type fullError struct {
	error
	advice string // what to do about it
}

func (e fullError) Error() string {
	return inFlags(strings.Join(said(e.error), "; ")) + " (" + e.advice + ")"
}

func (e fullError) Unwrap() error { return e.error }

// full adds what to do to an error that says that a budget is used up.
func full(err error, advice string) error {
	if !errors.Is(err, hapax.ErrFull) {
		return err
	}
	return fullError{err, advice}
}

// inFlags takes the names of options, and the advice to set them, out of what a
// ledger says.
func inFlags(text string) string {
	return strings.NewReplacer(
		"; raise it, shorten the window, or set Evict", "",
		"; raise it, or set Sequences.Idle", "",
		"; raise MaxProducers, or set Idle", "",
		"; raise MaxSources", "; begin another ledger",
		"than MaxProducers of", "than --max-memory has room for:",
		"MaxMemory of", "--max-memory of",
	).Replace(text)
}
