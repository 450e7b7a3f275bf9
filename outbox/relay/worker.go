package relay

import (
	"context"
	"errors"
	"sync"
	"time"
)

// worker publishes what is in a shard, as long as its relay holds that.
type worker struct {
	*Relay

	shard  Shard
	ctx    context.Context // ends when the shard is lost, or when it took too long to stop
	lose   context.CancelFunc
	awake  chan struct{}
	asked  chan struct{} // closed when it is to stop
	stop   func()        // closes asked
	refuse *refusal      // what the line before has met
}

// refusal is what is known of a batch that was refused.
type refusal struct {
	batch  int64
	reason *RefusedError
}

// start starts a worker for a shard, unless one is still at it.
func (r *Relay) start(run context.Context, s Shard, all *sync.WaitGroup) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.workers[s.Number] != nil {
		return
	}
	w := &worker{Relay: r, shard: s, awake: make(chan struct{}, 1), asked: make(chan struct{})}
	w.stop = sync.OnceFunc(func() { close(w.asked) })
	w.ctx, w.lose = context.WithCancel(context.WithoutCancel(run))
	unbind := context.AfterFunc(run, func() {
		w.stop()
		time.AfterFunc(r.o.Settle, w.lose)
	})
	r.workers[s.Number] = w
	all.Go(func() {
		defer w.lose()
		defer unbind()
		w.work()
		r.mu.Lock()
		delete(r.workers, s.Number)
		r.mu.Unlock()
	})
}

// rouse makes a worker look for records.
func (w *worker) rouse() { signal(w.awake) }

// drowse forgets that it was roused, for it is about to look.
func (w *worker) drowse() {
	select {
	case <-w.awake:
	default:
	}
}

// over tells whether the worker is to end.
func (w *worker) over() bool {
	select {
	case <-w.asked:
		return true
	case <-w.ctx.Done():
		return true
	default:
		return false
	}
}

// work publishes over one line after another, until it is over, and gives the shard back.
func (w *worker) work() {
	pause := w.o.Pause
	for !w.over() {
		published, err := w.line()
		switch {
		case errors.Is(err, errHeld):
			return
		case err == nil || w.ctx.Err() != nil:
			continue
		case errors.Is(err, ErrLost): // if another has the shard, it can't be taken
		case w.refuse == nil:
			w.failed("publish", err, "shard", w.shard.Number)
		}
		if published || w.refuse != nil {
			pause = w.o.Pause
		}
		select {
		case <-w.ctx.Done():
		case <-w.asked:
		case <-time.After(pause):
			pause = min(2*pause, w.o.MaxPause)
		}
	}
	if err := w.source.Give(w.ctx, w.hold(w.shard.Number)); err != nil && w.ctx.Err() == nil {
		w.failed("give a shard back", err, "shard", w.shard.Number)
	}
}

// errHeld ends a worker: another relay holds the shard.
var errHeld = errors.New("relay: the shard can't be taken")

// line publishes over one line, until it fails or the worker is over.
func (w *worker) line() (published bool, err error) {
	h := w.hold(w.shard.Number)
	// Who has lost the shard must not stop the one that has it.
	had, err := w.source.Take(w.ctx, h)
	if err == nil && !had {
		err = errHeld
	}
	if err != nil {
		return false, err
	}
	line, last, err := w.destination.Open(w.ctx, w.shard)
	if err != nil {
		return false, err
	}
	defer line.Close()
	batch, err := w.source.Resume(w.ctx, h, last)
	alone := false
	if err == nil {
		batch, alone, err = w.judge(h, batch)
	}
	resumed := err == nil && batch.Number > 0
	for err == nil && !w.over() {
		if len(batch.Records) > 0 {
			if err := w.publish(line, h, batch, alone, resumed); err != nil {
				return published, err
			}
			published, alone = true, false
		}
		switch {
		case resumed: // there may be more of those that another relay has sealed
			batch, err = w.source.Resume(w.ctx, h, batch.Number)
			resumed = batch.Number > 0
		default:
			w.drowse()
			batch, err = w.source.Next(w.ctx, h, batch, w.o.Batch)
		}
		if err == nil && !resumed && len(batch.Records) == 0 {
			w.sleep()
		}
	}
	return published, err
}

// sleep returns when there may be records, or the worker is over.
func (w *worker) sleep() {
	select {
	case <-w.awake:
	case <-w.asked:
	case <-w.ctx.Done():
	}
}

// patience bounds how long a batch that is sent waits for its seal: Kafka's transaction is open meanwhile, and
// holds up all who read committed. If it takes longer, the next line has the batch resumed, and so sealed
// for good, before it sends anything.
const patience = time.Second

// publish publishes a batch, and keeps what was refused of it for the next line. Its seal becomes
// durable meanwhile, unless it is.
func (w *worker) publish(line Line, h Hold, b Batch, alone, durable bool) error {
	began := time.Now()
	sealed := func() error { return nil }
	if !durable {
		ctx, end := context.WithTimeout(w.ctx, patience)
		kept := make(chan error, 1)
		go func() { kept <- w.source.Sealed(ctx, h, b) }()
		sealed = sync.OnceValue(func() error { return <-kept })
		defer func() {
			end()
			_ = sealed() // it ends with this batch, also if the line did not ask
		}()
	}
	err := line.Publish(w.ctx, b, alone, sealed)
	if err == nil {
		w.published(b, time.Since(began))
		w.busy.Store(true)
		return nil
	}
	var reason *RefusedError
	if errors.As(err, &reason) && len(reason.Faults) > 0 {
		w.refuse = &refusal{b.Number, reason}
	}
	return err
}

// judge decides what to do about a refusal, now that a new line has told that its batch was
// not published: records that certainly were refused are set aside; else it is to be found
// out which of them were, by sending them one by one.
func (w *worker) judge(h Hold, b Batch) (left Batch, alone bool, err error) {
	r := w.refuse
	w.refuse = nil
	if r == nil || r.batch != b.Number {
		return b, false, nil
	}
	if !r.reason.Certain {
		return b, true, nil
	}
	if err := w.source.SetAside(w.ctx, h, b, r.reason.Faults); err != nil {
		return b, false, err
	}
	w.counts.faults.Add(int64(len(r.reason.Faults)))
	w.tell(b, r.reason.Faults)
	left, err = w.source.Resume(w.ctx, h, b.Number-1)
	return left, false, err
}

// tell tells of records that were set aside: of each fault once, with the first that has it. A topic that is
// not there is the fault of all its records.
func (w *worker) tell(b Batch, faults map[int64]string) {
	records := map[string]int{}
	for _, fault := range faults {
		records[fault]++
	}
	for _, first := range b.Records {
		if fault, refused := faults[first.Position]; refused && records[fault] > 0 {
			w.o.Logger.Error("outbox relay: records set aside", "fault", fault, "records", records[fault],
				"position", first.Position, "id", first.ID, "topic", first.Topic)
			delete(records, fault)
		}
	}
}
