package partition

import (
	"testing"
	"time"

	"github.com/hapaxmq/hapax/broker/batch"
	"github.com/hapaxmq/hapax/internal/vfs"
	"github.com/hapaxmq/hapax/internal/wal"
)

// Of what is durable nothing is kept in mind for readers who never come, and who
// comes at last is told of all.
func TestNobodyReads(t *testing.T) {
	var log Log
	told := make(chan struct{}, 1)
	w, err := wal.Open(vfs.NewMem(), "log", wal.Options{
		Snapshot: func(wal.Add) error { return nil }, Hold: log.Hold, Listening: log.Watched,
		Committed: func(int64, error) { log.Committed() },
	}, func(wal.Frame) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	}()
	log.Use(w)
	p := New(1, &log, Settings{ProducerExpiry: 1000})
	write := func() {
		b := batch.AppendEmpty(nil, batch.Header{ProducerID: batch.None})
		h, err := batch.ReadHeader(b)
		if err != nil {
			t.Fatal(err)
		}
		log.Begin()
		a, err := p.Append(b, h, time.Now, nil)
		log.End()
		if err != nil {
			t.Fatal(err)
		}
		if err := log.Sync(a.LogEnd); err != nil {
			t.Fatal(err)
		}
	}
	for range 1000 {
		write()
	}
	if got := len(p.pending.ring); got > 4 {
		t.Errorf("%d appends are kept in mind", got)
	}
	p.Watch(told)
	if got := p.Limit(false); got != 1000 {
		t.Errorf("who begins to read may read up to %d", got)
	}
	write()
	<-told
	if got := p.Limit(false); got != 1001 {
		t.Errorf("who is told may read up to %d", got)
	}
	p.Unwatch(told)
	if log.Watched() {
		t.Error("nobody watches")
	}
}
