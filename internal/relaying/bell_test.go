package relaying

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// TestBell: it rings once for many, and always after the last who asked.
func TestBell(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var rings int
		var last time.Time
		b := NewBell(func(context.Context) error {
			rings++
			last = time.Now()
			<-time.After(2 * time.Millisecond)
			return nil
		})
		began := time.Now()
		asked := began
		for range 1000 {
			<-time.After(100 * time.Microsecond)
			b.Ring()
			asked = time.Now()
		}
		synctest.Wait()
		<-time.After(time.Second)
		if most := int(asked.Sub(began)/Rest) + 2; rings > most || last.Before(asked) {
			t.Errorf("rang %d times, the last time %v after it was asked for, want %d at most", rings, last.Sub(asked), most)
		}
		b.Ring()
		synctest.Wait()
		if time.Since(last) != 0 {
			t.Error("does not ring at once after a rest")
		}
		<-time.After(time.Second) // until it is quiet
	})
}
