package ledger_test

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"runtime/debug"
	"testing"
	"time"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/ledger"
)

// The kill test runs this binary again as a child that works on a ledger and
// writes down, in a pipe, each thing it is about to do and each thing the ledger
// acknowledged. The parent kills it (SIGKILL) at a random moment, reads what came
// through, opens the ledger and compares. Then it starts the next child on the
// same directory.

const killDir = "HAPAX_KILL_DIR" // in the environment: this process is a child

const (
	killSource = "source"
	killLease  = 10 * time.Minute
	killBatch  = 20
)

// note is what the child says: a kind and two numbers.
type note struct {
	Kind byte
	A, B uint64
}

const (
	admitting byte = iota // keys from A to B
	admitted
	confirmed // A is the offset
	claimed   // A is the number, B the token
	committed // A is the number
	released
	forgetting // A is the key
	forgotten
)

func killOptions() ledger.Options {
	return ledger.Options{Window: hapax.Window{Time: 24 * time.Hour}}
}

func killKey(n uint64) (f hapax.Fingerprint) {
	binary.BigEndian.PutUint64(f[:], n*0x9e3779b97f4a7c15)
	binary.BigEndian.PutUint64(f[8:], n)
	return f
}

func killRequest(n uint64) hapax.Request {
	return hapax.Request{Scope: "kill", Identity: fmt.Append(nil, n), Lease: killLease}
}

func TestMain(m *testing.M) {
	debug.SetGCPercent(400) // disks in memory come and go; what stays is little
	if dir := os.Getenv(killDir); dir != "" {
		if err := killChild(dir, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// killChild works until it is killed. Its first key and claim number are given
// on standard input.
func killChild(dir string, out io.Writer) error {
	var next uint64
	if _, err := fmt.Fscan(os.Stdin, &next); err != nil {
		return err
	}
	l, err := ledger.Open(dir, killOptions())
	if err != nil {
		return err
	}
	c := &child{l: l, out: out, ctx: context.Background(), next: next}
	for {
		if err := c.round(); err != nil {
			return err
		}
	}
}

type child struct {
	l    *ledger.Ledger
	out  io.Writer
	ctx  context.Context
	next uint64
}

// say writes one note in one write, which a pipe takes whole or not at all.
func (c *child) say(kind byte, a, b uint64) error {
	return binary.Write(c.out, binary.BigEndian, note{kind, a, b})
}

func (c *child) round() error {
	first := c.next
	c.next += killBatch
	b := &ledger.Batch{Source: killSource}
	for n := first; n < c.next; n++ {
		b.Entries = append(b.Entries, ledger.Entry{Fingerprint: killKey(n), Offset: int64(n)})
	}
	steps := []func() error{
		func() error { return c.say(admitting, first, c.next) },
		func() error { return c.l.Admit(c.ctx, b) },
		func() error { return c.say(admitted, first, c.next) },
		func() error { return c.say(forgetting, first, 0) },
		func() error { _, err := c.l.Forget(c.ctx, killKey(first)); return err },
		func() error { return c.say(forgotten, first, 0) },
		func() error { return c.hold(first) },
		func() error { return c.end(first+1, committed) },
		func() error { return c.end(first+2, released) },
	}
	if first/killBatch%3 == 0 {
		steps = append(steps,
			func() error {
				return c.l.Confirm(c.ctx, ledger.Checkpoint{Source: killSource, Offset: int64(c.next - 1)})
			},
			func() error { return c.say(confirmed, c.next-1, 0) })
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

func (c *child) claim(n uint64) (hapax.Claim, error) {
	got, err := c.l.Claim(c.ctx, killRequest(n))
	if err == nil && got.Verdict != hapax.Fresh {
		err = fmt.Errorf("claim %d: %v", n, got.Verdict)
	}
	return got, err
}

func (c *child) hold(n uint64) error {
	got, err := c.claim(n)
	if err != nil {
		return err
	}
	return c.say(claimed, n, got.Token)
}

func (c *child) end(n uint64, how byte) error {
	got, err := c.claim(n)
	if err != nil {
		return err
	}
	if how == committed {
		err = c.l.Commit(c.ctx, got, fmt.Append(nil, n))
	} else {
		err = c.l.Release(c.ctx, got)
	}
	if err != nil {
		return err
	}
	return c.say(how, n, got.Token)
}

// TestKill: after SIGKILL at any moment nothing acknowledged is forgotten,
// claims are held, nothing released or forgotten is remembered, and tokens do
// not go back.
func TestKill(t *testing.T) {
	newSurvivor(t).outlive(12)
}

// TestTortureKill is the same for as long as HAPAX_TORTURE says, with a new
// ledger every now and then.
func TestTortureKill(t *testing.T) {
	limit, err := time.ParseDuration(os.Getenv("HAPAX_TORTURE"))
	if err != nil {
		t.Skip("set HAPAX_TORTURE to a length of time")
	}
	for start := time.Now(); time.Since(start) < limit; {
		newSurvivor(t).outlive(100)
	}
}

// survivor is what the parent knows from the pipe.
type survivor struct {
	t      *testing.T
	dir    string
	next   uint64
	kept   map[uint64]bool // keys acknowledged: false if forgotten on request
	unsure uint64          // key whose forgetting has no answer; 0: none
	claims []note
	offset uint64 // confirmed
	token  uint64 // highest
}

func newSurvivor(t *testing.T) *survivor {
	return &survivor{t: t, dir: t.TempDir(), next: killBatch, kept: map[uint64]bool{}}
}

// outlive kills one child after the other on one ledger.
func (h *survivor) outlive(lives int) {
	h.t.Helper()
	for life := range lives {
		h.live(time.Duration(rand.Int64N(int64(60 * time.Millisecond))))
		h.check()
		if h.t.Failed() {
			h.t.Fatalf("after life %d", life)
		}
	}
	h.t.Logf("%d keys acknowledged over %d lives", len(h.kept), lives)
}

// live runs one child and kills it some time after its first answer.
func (h *survivor) live(after time.Duration) {
	h.t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), killDir+"="+h.dir)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		h.t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		h.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		h.t.Fatal(err)
	}
	if _, err := fmt.Fprintln(in, h.next); err != nil {
		h.t.Fatal(err)
	}
	r := bufio.NewReader(out)
	begun := false
	for {
		var n note
		if err := binary.Read(r, binary.BigEndian, &n); err != nil {
			break // the pipe ends with the child
		}
		h.hear(n)
		if !begun {
			begun = true
			time.AfterFunc(after, func() { _ = cmd.Process.Kill() })
		}
	}
	if err := cmd.Wait(); cmd.ProcessState.Exited() {
		h.t.Fatalf("the child ended by itself: %v", err)
	}
}

func (h *survivor) hear(n note) {
	switch n.Kind {
	case admitting:
		h.next = n.B
	case admitted:
		for k := n.A; k < n.B; k++ {
			h.kept[k] = true
		}
	case confirmed:
		h.offset = n.A
	case forgetting:
		h.unsure = n.A
	case forgotten:
		h.unsure = 0
		h.kept[n.A] = false
	default:
		h.token = max(h.token, n.B)
		h.claims = append(h.claims, n)
	}
}

func (h *survivor) check() {
	h.t.Helper()
	l, err := ledger.Open(h.dir, killOptions())
	if err != nil {
		h.t.Fatalf("open after a kill: %v", err)
	}
	defer func() {
		if err := l.Close(); err != nil {
			h.t.Errorf("close: %v", err)
		}
	}()
	ctx := context.Background()
	remembered := map[hapax.Fingerprint]hapax.Verdict{}
	for s, err := range l.All() {
		if err != nil {
			h.t.Fatalf("list: %v", err)
		}
		remembered[s.Fingerprint] = s.Verdict
	}
	for n, kept := range h.kept {
		got := remembered[killKey(n)]
		if n != h.unsure && kept != (got == hapax.Duplicate) {
			h.t.Errorf("key %d: acknowledged as kept: %t, and is %v", n, kept, got)
		}
	}
	c, ok := l.Checkpoint(killSource)
	if h.offset > 0 && (!ok || uint64(c.Offset) < h.offset) {
		h.t.Errorf("checkpoint %d, %d was confirmed", c.Offset, h.offset)
	}
	for _, n := range h.claims {
		h.claim(ctx, l, n)
	}
	h.claims = h.claims[:0]
	delete(h.kept, h.unsure)
	h.unsure = 0
	h.next += killBatch // past what the last child may have claimed without a word
}

func (h *survivor) claim(ctx context.Context, l *ledger.Ledger, n note) {
	h.t.Helper()
	c, err := l.Claim(ctx, killRequest(n.A))
	if err != nil {
		h.t.Fatalf("claim: %v", err)
	}
	switch n.Kind {
	case claimed:
		if c.Verdict != hapax.InFlight {
			h.t.Errorf("%d is %v, it is claimed", n.A, c.Verdict)
		}
	case committed:
		if c.Verdict != hapax.Duplicate || string(c.Receipt) != fmt.Sprint(n.A) {
			h.t.Errorf("%d is %v with receipt %q, it was committed", n.A, c.Verdict, c.Receipt)
		}
	case released:
		if c.Verdict != hapax.Fresh || c.Token <= n.B {
			h.t.Errorf("%d is %v with token %d, it was released with token %d", n.A, c.Verdict, c.Token, n.B)
		}
		if c.Token <= h.token {
			h.t.Errorf("token %d after %d", c.Token, h.token)
		}
		h.token = max(h.token, c.Token)
	}
}
