package kafka

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"
)

// Options says what is consumed, and how records that have to come again do so.
// Group and Topics are required; of all others the zero value is good.
type Options struct {
	Group  string   // the consumer group
	Topics []string // what it reads

	// DeadLetters is the topic for records that another try will not help, which must
	// be there and not be among Topics. A record keeps its key, value, headers and time, and gets headers
	// that say where it stood and why it is there (see [HeaderTopic]). It may be there
	// twice, if the process dies between writing it and committing its offset. If
	// empty, such a record ends [Consumer.Run] with an error, and nothing is lost; so
	// does one that is larger than the topic takes.
	DeadLetters string
	// Attempts is how many failed attempts in a row make a dead letter of a record.
	// They are counted in memory, from zero when the partition moves. 0: no limit.
	Attempts int

	// Batch is how many records of a partition are given to the inbox together
	// (default 1, at most 10,000). Above 1 it pays for inboxes with
	// [github.com/hapaxmq/hapax/inbox.Batched]; it loosens the order as the package says.
	Batch int
	// Pause is how long to wait before a record comes again, if nothing else is said of
	// it; it doubles from one try to the next, up to MaxPause (default 100 ms, 30 s).
	// After a failed attempt too, and not [inbox.Options].Backoff: those behind it wait.
	Pause, MaxPause time.Duration
	// Commit is how often offsets are committed while partitions stay (default 500 ms).
	// It bounds what comes again after a crash, and nothing else.
	Commit time.Duration

	Logger *slog.Logger // default: silent
}

// Limits.
const (
	maxBatch = 10_000
	maxQueue = 1_000 // records of a partition beside a batch, beyond which it is not fetched
	maxPoll  = 1_000

	// settling bounds what is still done for a partition that goes: its commit, its
	// dead letters.
	settling = 10 * time.Second
)

func (o *Options) validate() error {
	switch {
	case o.Group == "":
		return errors.New("group is empty: offsets are committed for it")
	case len(o.Topics) == 0:
		return errors.New("no topics")
	case slices.Contains(o.Topics, o.DeadLetters):
		return fmt.Errorf("dead letters: %q is read by the consumer itself", o.DeadLetters)
	case o.Attempts < 0:
		return fmt.Errorf("attempts %d: want none below zero", o.Attempts)
	case o.Batch < 0 || o.Batch > maxBatch:
		return fmt.Errorf("batch %d: want 1 to %d", o.Batch, maxBatch)
	case o.Pause < 0 || o.MaxPause < 0 || o.Commit < 0:
		return fmt.Errorf("pause %v, at most %v, commit every %v: want none below zero", o.Pause, o.MaxPause, o.Commit)
	}
	setDefault(&o.Batch, 1)
	setDefault(&o.Pause, 100*time.Millisecond)
	setDefault(&o.MaxPause, max(30*time.Second, o.Pause))
	setDefault(&o.Commit, 500*time.Millisecond)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return nil
}

func setDefault[T comparable](option *T, to T) {
	var zero T
	if *option == zero {
		*option = to
	}
}
