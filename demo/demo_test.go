package demo

import (
	"context"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hapaxmq/hapax/demo/auditor"
)

const asPart = "demo-part"

func TestMain(m *testing.M) {
	if len(os.Args) != 2 || os.Args[1] != asPart {
		os.Exit(m.Run())
	}
	if err := Part(context.Background(), os.Stdin, os.Stdout); err != nil {
		_, _ = os.Stderr.WriteString(err.Error() + "\n")
		os.Exit(1)
	}
}

// playedHere plays the demo with parts of this test's binary.
func playedHere(t *testing.T, o Options) Report {
	t.Helper()
	o.Fast, o.Program = true, []string{os.Args[0], asPart}
	t.Setenv("GORACE", "atexit_sleep_ms=0") // else each part waits a second at its end for races
	r, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestByHand wires one part after the other by hand in the column of Hapax too, which is
// then found to be as wrong as the naive one.
func TestByHand(t *testing.T) {
	for part, want := range map[string]func(Column) int{
		partGateway:    func(c Column) int { return c.Credits.Doubled },
		partWallet:     func(c Column) int { return c.Credits.Doubled },
		partMail:       func(c Column) int { return c.Mails.Doubled },
		partSettlement: func(c Column) int { return c.Settlements.Doubled },
		partAnalytics:  func(c Column) int { return c.Miscounted },
	} {
		t.Run(part, func(t *testing.T) {
			r := playedHere(t, Options{byHand: part, only: func(k kind) bool {
				return k.part == part && (k.do == kill && part != partGateway || k.do == loseAnswer || k.do == sendTwice)
			}})
			if want(r.Hapax) == 0 || want(r.Hapax) != want(r.Naive) {
				t.Errorf("%d effects doubled where Hapax was left out, and %d by hand", want(r.Hapax), want(r.Naive))
			}
			if len(r.Problems) != 1 || !strings.Contains(r.Problems[0], "Hapax is not perfect") {
				t.Errorf("problems: %q", r.Problems)
			}
		})
	}
}

// TestCalm: where nothing fails nothing goes wrong by hand, and that is a problem.
func TestCalm(t *testing.T) {
	r := playedHere(t, Options{only: func(kind) bool { return false }})
	if len(r.Problems) != 1 || !strings.Contains(r.Problems[0], "faults were not real") {
		t.Errorf("problems: %q", r.Problems)
	}
	for _, c := range []Column{r.Naive, r.Hapax} {
		if wrong := c.wrong(true); wrong != "" || c.Payments != 8*6 {
			t.Errorf("%d payments, %s", c.Payments, wrong)
		}
	}
}

// TestAgain: a seed draws the same payments and the same faults, and these do the same.
func TestAgain(t *testing.T) {
	if !reflect.DeepEqual(schedule(7, full(), kinds()), schedule(7, full(), kinds())) {
		t.Error("a seed draws another schedule")
	}
	if reflect.DeepEqual(schedule(7, full(), kinds()), schedule(8, full(), kinds())) {
		t.Error("two seeds draw one schedule")
	}
}

// TestSchedule: each fault strikes once in a round, at a payment or a move of its own wave,
// and no two payments have one id.
func TestSchedule(t *testing.T) {
	t.Parallel()
	ids, struck := map[string]bool{}, map[string]int{}
	for _, w := range schedule(3, full(), kinds()) {
		all := append(paymentIDs(w.payments), moveIDs(w.moves)...)
		for _, id := range all {
			if ids[id] {
				t.Errorf("%s is there twice", id)
			}
			ids[id] = true
		}
		if w.fault != nil {
			struck[w.fault.name]++
			if !slices.Equal(w.fault.ids, all) || w.fault.of != all[len(all)-1] {
				t.Errorf("%s strikes %s of %q, in a wave of %q", w.fault.name, w.fault.of, w.fault.ids, all)
			}
		}
	}
	for _, k := range kinds() {
		if struck[k.name] != full().rounds {
			t.Errorf("%s: struck %d times", k.name, struck[k.name])
		}
	}
}

// TestHitsOnlyOne: a fault that hits one column and not the other is told by its name.
func TestHitsOnlyOne(t *testing.T) {
	t.Parallel()
	for _, k := range kinds() {
		c := &conductor{tally: newTally(), columns: []*column{{name: columnNaive}, {name: columnHapax}}}
		c.tally.patience = time.Millisecond
		f := &fault{kind: k, of: "p-0001", ids: []string{"p-0001"}}
		for range 2 {
			c.tally.add(config{Column: columnNaive, Part: f.part}, line{What: came, Of: f.ids})
		}
		c.happened(columnNaive, f)
		err := c.awaitHits(t.Context(), f)
		if err == nil || !strings.Contains(err.Error(), k.name+": it hit only the naive column") {
			t.Errorf("%s: %v", k.name, err)
		}
		for range 2 {
			c.tally.add(config{Column: columnHapax, Part: f.part}, line{What: came, Of: f.ids})
		}
		c.happened(columnHapax, f)
		if err := c.awaitHits(t.Context(), f); err != nil {
			t.Errorf("%s: %v", k.name, err)
		}
	}
}

// TestJudge plants each wrong in the column of Hapax.
func TestJudge(t *testing.T) {
	t.Parallel()
	wrong := Column{Credits: auditor.Sum{Doubled: 1}}
	for _, test := range []struct {
		name    string
		hapax   Column
		windows bool
		want    string
	}{
		{"nothing", Column{Payments: 9, SetBack: 4, Keyless: auditor.Sum{Doubled: 3}}, true, ""},
		{"credited twice", wrong, true, "1 credited twice"},
		{"mailed twice", Column{Mails: auditor.Sum{Doubled: 2}}, true, "2 e-mails doubled"},
		{"settled twice", Column{Settlements: auditor.Sum{Doubled: 2}}, true, "2 settled twice"},
		{"lost", Column{Mails: auditor.Sum{Lost: 1}, Keyless: auditor.Sum{Lost: 1}}, true, "2 lost"},
		{"unknown", Column{Settlements: auditor.Sum{Unknown: 1}}, true, "1 of no payment"},
		{"miscounted", Column{Miscounted: 5}, true, "5 miscounted"},
		{"money", Column{Credits: auditor.Sum{Wrong: 101}, Settlements: auditor.Sum{Wrong: 1}}, true, "money wrong by 1.02"},
		{"misplaced", Column{Misplaced: 1}, true, "1 addresses wrong"},
		{"misplaced without windows", Column{Misplaced: 1}, false, ""},
	} {
		r := Report{Naive: wrong, Hapax: test.hapax, windows: test.windows}
		r.judge()
		got := strings.Join(r.Problems, "; ")
		if want := strings.TrimSuffix("the column of Hapax is not perfect: "+test.want, "the column of Hapax is not perfect: "); got != want {
			t.Errorf("%s: %q, want %q", test.name, got, want)
		}
	}
}
