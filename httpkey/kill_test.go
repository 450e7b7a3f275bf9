package httpkey_test

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/httpkey"
	"github.com/hapaxmq/hapax/ledger"
)

// The kill test runs this binary again as a child that serves one request, and dies by
// SIGKILL at one point of it. Other children then get the request again until one
// answers it, and the effects are counted.

// In the environment: this process is a child, and serves in that directory.
const killDir = "HAPAX_HTTPKEY_KILL_DIR"

const (
	killPoint = "HAPAX_HTTPKEY_KILL_POINT"
	killClock = "HAPAX_HTTPKEY_KILL_CLOCK" // how far the ledger's clock is ahead
)

// killLease outlasts all children of a test, on whatever machine.
const killLease = time.Hour

// The points, in their order.
const (
	pointBegun  = "before the effect"
	pointWorked = "after the effect"
	pointKept   = "before the response leaves"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(killDir); dir != "" {
		if err := child(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m)
}

// dieAt ends the process as kill -9 does, if this is the point.
func dieAt(point string) {
	if os.Getenv(killPoint) != point {
		return
	}
	if self, err := os.FindProcess(os.Getpid()); err == nil {
		_ = self.Kill()
	}
	select {}
}

// dying is a client that kills its server before the first byte of a response leaves.
type dying struct {
	header http.Header
	status int
	body   strings.Builder
}

func (d *dying) Header() http.Header { return d.header }

func (d *dying) WriteHeader(status int) {
	dieAt(pointKept)
	d.status = status
}

func (d *dying) Write(b []byte) (int, error) { return d.body.Write(b) }

// child serves one request, and prints what it answers.
func child(dir string) error {
	ahead, err := time.ParseDuration(os.Getenv(killClock))
	if err != nil {
		return err
	}
	l, err := ledger.Open(filepath.Join(dir, "ledger"), ledger.Options{
		Window:  hapax.Window{Unbounded: true},
		Digests: true,
		Clock:   func() time.Time { return time.Now().Add(ahead) },
	})
	if err != nil {
		return err
	}
	o := options()
	o.Lease = killLease
	m, err := httpkey.New(l, o)
	if err != nil {
		return errors.Join(err, l.Close())
	}
	w := &dying{header: http.Header{}}
	m.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		run, _ := httpkey.FromContext(r.Context())
		dieAt(pointBegun)
		if err := charge(dir, run.Token); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		dieAt(pointWorked)
		w.WriteHeader(http.StatusCreated)
	})).ServeHTTP(w, request("k", "{}"))
	fmt.Println(w.status, w.header.Get(httpkey.ReplayedHeader))
	return l.Close()
}

// charge is an effect: a line with the token of its run.
func charge(dir string, token uint64) error {
	f, err := os.OpenFile(filepath.Join(dir, "charges"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(f, token)
	return errors.Join(err, f.Close())
}

// run runs a child, and returns what it printed, or that it died.
func run(t *testing.T, dir, point string, ahead time.Duration) (said string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), killDir+"="+dir, killPoint+"="+point, killClock+"="+ahead.String(),
		"GORACE=atexit_sleep_ms=0") // or each child takes a second to end under -race
	out, err := cmd.CombinedOutput()
	if errors.As(err, new(*exec.ExitError)) && len(out) == 0 { // one that failed says why
		return "killed"
	}
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return strings.TrimSpace(string(out))
}

// TestKill: a request is done twice only if its server was killed between effect and
// commit, and then with a higher token. Until the dead one's lease ends it is in
// flight.
func TestKill(t *testing.T) {
	for _, test := range []struct {
		point   string
		answers [3]string // while the lease runs, after it, once more
		effects int
	}{
		{pointBegun, [3]string{"409", "201", "201 true"}, 1},
		{pointWorked, [3]string{"409", "201", "201 true"}, 2},
		{pointKept, [3]string{"201 true", "201 true", "201 true"}, 1},
	} {
		t.Run(test.point, func(t *testing.T) {
			dir := t.TempDir()
			if said := run(t, dir, test.point, 0); said != "killed" {
				t.Fatalf("the child said %q, and was to die", said)
			}
			for n, want := range test.answers {
				ahead := 2 * killLease
				if n == 0 {
					ahead = 0
				}
				if said := run(t, dir, "", ahead); said != want {
					t.Errorf("number %d said %q, want %q", n+1, said, want)
				}
			}
			text, err := os.ReadFile(filepath.Join(dir, "charges"))
			if err != nil {
				t.Fatal(err)
			}
			var tokens []int
			for line := range strings.FieldsSeq(string(text)) {
				token, err := strconv.Atoi(line)
				if err != nil {
					t.Fatal(err)
				}
				tokens = append(tokens, token)
			}
			if len(tokens) != test.effects || len(slices.Compact(slices.Clone(tokens))) != test.effects || !slices.IsSorted(tokens) {
				t.Errorf("charged by tokens %d, want %d that rise", tokens, test.effects)
			}
		})
	}
}
