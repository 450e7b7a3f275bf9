// Package rehearsaltest runs a check whose failure is an observation: an exam sees by
// it that a store fails what it does not promise, and that it finds planted faults.
package rehearsaltest

import (
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
)

// Rehearsal is a test that has failed, was skipped or has passed, for nobody but who
// asks. Clean-up goes to the test it is part of.
type Rehearsal struct {
	testing.TB
	mu      sync.Mutex
	failed  bool
	skipped bool
	said    []string
}

// Run runs f to its end or first fatal failure.
func Run(tb testing.TB, f func(testing.TB)) *Rehearsal {
	r := &Rehearsal{TB: tb}
	done := make(chan struct{})
	go func() {
		defer close(done)
		f(r)
	}()
	<-done
	return r
}

func (r *Rehearsal) note(failed bool, said string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failed = r.failed || failed
	r.skipped = r.skipped || !failed
	r.said = append(r.said, said)
}

// Said is why it failed or was skipped.
func (r *Rehearsal) Said() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Join(r.said, "\n")
}

// Passed tells whether it neither failed nor was skipped.
func (r *Rehearsal) Passed() bool { return !r.Failed() && !r.Skipped() }

// The methods of [testing.TB] that a rehearsal keeps to itself.

func (r *Rehearsal) Failed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.failed
}

func (r *Rehearsal) Skipped() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.skipped
}

func (r *Rehearsal) Errorf(format string, args ...any) { r.note(true, fmt.Sprintf(format, args...)) }
func (r *Rehearsal) Error(args ...any)                 { r.note(true, fmt.Sprint(args...)) }
func (r *Rehearsal) Fail()                             { r.note(true, "failed") }
func (r *Rehearsal) FailNow()                          { r.Fatal("failed") }
func (r *Rehearsal) Fatalf(format string, args ...any) { r.Fatal(fmt.Sprintf(format, args...)) }
func (r *Rehearsal) Fatal(args ...any) {
	r.note(true, fmt.Sprint(args...))
	runtime.Goexit()
}
func (r *Rehearsal) Skipf(format string, args ...any) { r.Skip(fmt.Sprintf(format, args...)) }
func (r *Rehearsal) SkipNow()                         { r.Skip("skipped") }
func (r *Rehearsal) Skip(args ...any) {
	r.note(false, fmt.Sprint(args...))
	runtime.Goexit()
}
