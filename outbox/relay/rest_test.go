package relay

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// TestRest: a relay looks when it is woken, but no sooner than it may, and not after an error.
func TestRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &Relay{o: Options{Poll: 5 * time.Millisecond, MaxPoll: time.Hour, MaxPause: 2 * time.Hour}, woken: make(chan struct{}, 1)}
		for _, step := range []struct {
			wait, wake, want time.Duration // wake: none below zero
		}{
			{time.Hour, -1, time.Hour},
			{time.Hour, time.Second, time.Second},
			{time.Hour, 0, r.o.Poll},
			{r.o.MaxPause, time.Second, r.o.MaxPause},
			{time.Hour, -1, r.o.Poll}, // of what woke it meanwhile
		} {
			began := time.Now()
			if step.wake >= 0 {
				time.AfterFunc(step.wake, r.Wake)
			}
			if !r.rest(t.Context(), step.wait) || time.Since(began) != step.want {
				t.Errorf("%+v: looked after %v", step, time.Since(began))
			}
		}
		ctx, end := context.WithCancel(t.Context())
		end()
		if r.rest(ctx, time.Hour) {
			t.Error("looks although it has ended")
		}
	})
}
