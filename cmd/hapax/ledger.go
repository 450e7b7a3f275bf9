package main

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/identity"
	"github.com/hapaxmq/hapax/internal/vfs"
	"github.com/hapaxmq/hapax/ledger"
)

// ledgerCommand is hapax ledger.
type ledgerCommand struct {
	Stats  ledgerStats  `cmd:"" help:"Tell what a ledger is and how much it holds."`
	Lookup ledgerLookup `cmd:"" help:"Tell what is known of ids: since when, from where, until when."`
	Forget ledgerForget `cmd:"" help:"Make ids as if they had never been seen."`
	Verify ledgerVerify `cmd:"" help:"Check every byte of a ledger that is not in use."`
	Export ledgerExport `cmd:"" help:"Print every identity that is remembered, as JSON lines. Producers of sequences are not among them."`
}

// printJSON prints one line of JSON.
func (w *world) printJSON(v any) error { return json.NewEncoder(w.stdout).Encode(v) }

// stored opens a ledger with the options it was made with.
func (w *world) stored(dir string, readOnly bool) (*ledger.Ledger, ledger.Info, error) {
	info, err := ledger.Inspect(vfs.OS(), dir)
	if err != nil {
		return nil, info, err
	}
	o := w.ledgerOptions(memoryFor(0))
	o.Window, o.Identity, o.Scope, o.Digests = info.Window, info.Identity, info.Scope, info.Digests
	o.ReadOnly, o.Sequences.Window = readOnly, info.SequenceWindow
	if x, err := identity.Parse(info.Identity); err == nil && x.IsSequence() {
		o.Sequences.Idle = info.Window.Time // as uniq has it
	}
	// The program whose ledger it is may have asked for more than is usual.
	o.MaxClaims, o.MaxSources, o.MaxUnconfirmed, o.MaxReceipts = math.MaxInt32, math.MaxInt32, math.MaxInt32, math.MaxInt64
	o.Details = true
	l, err := ledger.Open(dir, o)
	return l, info, full(err, "it was made with more memory than three quarters of this machine's")
}

const (
	// disorder is how many numbers of a producer are told apart one by one.
	disorder = 1024
	// producerBytes is what that takes of memory, with all else about a producer.
	producerBytes = 32 + disorder/8 + 10
)

// ledgerOptions are those that do not depend on what is remembered.
func (w *world) ledgerOptions(memory int64) ledger.Options {
	return ledger.Options{
		MaxMemory: memory, MaxSources: 1 << 20, Logger: w.stderr.logger(),
		Sequences: ledger.SequenceOptions{Window: disorder, MaxProducers: int(min(memory/producerBytes, 1<<24))},
	}
}

// ids are identities as an operator types them.
type ids struct {
	Dir         string   `arg:"" help:"The ledger's directory."`
	IDs         []string `arg:"" optional:"" name:"id" help:"Ids. For json:PATH, text that is no JSON is a string: 7 is a number, '\"7\"' is a string. For other specs, the whole message."`
	Scope       string   `placeholder:"ID" help:"The scope's id, if each message has its own."`
	Fingerprint []string `placeholder:"HEX" help:"Fingerprints instead of ids, as export prints them."`
}

// identified is an id with its fingerprint.
type identified struct {
	text        string
	fingerprint hapax.Fingerprint
}

// fingerprints hashes what the operator typed with the ledger's secret.
func (c *ids) fingerprints(l *ledger.Ledger, info ledger.Info) ([]identified, error) {
	var all []identified
	for _, text := range c.Fingerprint {
		f, err := hapax.ParseFingerprint(text)
		if err != nil {
			return nil, usage("%w", err)
		}
		all = append(all, identified{text, f})
	}
	if len(c.IDs) == 0 {
		if len(all) == 0 {
			return nil, usage("name an id, or a --fingerprint")
		}
		return all, nil
	}
	x, err := identity.Parse(info.Identity)
	if err != nil {
		return nil, fmt.Errorf("the ledger's identity: %w: give a --fingerprint", err)
	}
	scope, err := c.scope(info)
	if err != nil {
		return nil, err
	}
	hasher := l.Hasher(scope)
	for _, text := range c.IDs {
		id, err := appendID(x, text)
		if err != nil {
			return nil, usage("id %q of the kind %s: %w", text, info.Identity, err)
		}
		all = append(all, identified{text, hasher.Fingerprint(id)})
	}
	return all, nil
}

// appendID is what the ledger hashes of what an operator types: of a sequence, the
// producer.
func appendID(x *identity.Extractor, text string) ([]byte, error) {
	if x.IsSequence() {
		q, _, err := x.Sequence(nil, &hapax.Message{Value: []byte(text)})
		return q.Producer, err
	}
	return x.AppendID(nil, text)
}

// scope is that of the ids: the ledger's only one, or that of a message.
func (c *ids) scope(info ledger.Info) (hapax.Scope, error) {
	name, constant := strings.CutPrefix(info.Scope, "=")
	switch {
	case (constant || info.Scope == "") && c.Scope != "" && c.Scope != name:
		return "", usage("--scope %s: all identities in this ledger are in one scope, %q", c.Scope, name)
	case constant || info.Scope == "":
		return hapax.Scope(name), nil
	case c.Scope == "":
		return "", usage("each message has its own scope here (%s): name it with --scope", info.Scope)
	}
	x, err := identity.Parse(info.Scope)
	if err != nil {
		return "", fmt.Errorf("the ledger's scope: %w: give a --fingerprint", err)
	}
	id, err := x.AppendID(nil, c.Scope)
	if err != nil {
		return "", usage("--scope %q of the kind %s: %w", c.Scope, info.Scope, err)
	}
	return hapax.Scope(id), nil
}
