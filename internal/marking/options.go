package marking

import (
	"fmt"
	"time"

	"github.com/hapaxmq/hapax/internal/sqltext"
)

// Options are those which all drivers have, as their packages document them.
type Options struct {
	Table      string
	Wait       time.Duration
	Runs       int
	Settle     time.Duration
	MaxReceipt int
	Span       time.Duration
	Ahead      time.Duration
}

// WithDefaults fills in what is zero, and checks the rest.
func (o Options) WithDefaults(d sqltext.Dialect, k sqltext.Kind) (Options, error) {
	if !d.Valid() {
		return o, fmt.Errorf("dialect %v: want one of those in this package", d)
	}
	if o.Table == "" {
		o.Table = k.Table()
	}
	if err := sqltext.CheckTable(o.Table); err != nil {
		return o, err
	}
	if o.Wait < 0 || o.Runs < 0 || o.Settle < 0 || o.MaxReceipt < 0 || o.Span < 0 || o.Ahead < 0 {
		return o, fmt.Errorf("options %+v: want none below zero", o)
	}
	if o.MaxReceipt > maxReceipt {
		return o, fmt.Errorf("receipts of %d bytes: want at most %d", o.MaxReceipt, maxReceipt)
	}
	if o.Span > 0 && (d != sqltext.Postgres || k != sqltext.Inbox || o.Span%time.Second != 0) {
		return o, fmt.Errorf("partitions of %v: want whole seconds, in marks by id of PostgreSQL", o.Span)
	}
	setDefault(&o.Wait, 5*time.Second)
	setDefault(&o.Runs, 20)
	setDefault(&o.Settle, 30*time.Second)
	setDefault(&o.MaxReceipt, 64<<10)
	setDefault(&o.Ahead, 2*o.Span)
	return o, nil
}

// maxReceipt bounds the limit of receipts: a table of marks is no store of files.
const maxReceipt = 1 << 20

func setDefault[T comparable](option *T, to T) {
	var zero T
	if *option == zero {
		*option = to
	}
}
