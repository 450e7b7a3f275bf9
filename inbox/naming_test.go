package inbox

import (
	"fmt"
	"testing"

	"github.com/hapaxmq/hapax"
	"github.com/hapaxmq/hapax/identity"
)

// A digest that changed its form would make conflicts of all copies of what was
// marked before.
func TestS31DigestsNeverChangeTheirForm(t *testing.T) {
	for _, test := range []struct {
		payload string
		want    hapax.Digest
	}{
		{"", 0x4bf5122f344554c5},
		{"plain", 0x236ce17201a2eff5},
		{`{"b":1.0,"a":"x"}`, 0x11f706caeda5741e},
		{`{"a":"\u0078","b":1e0}`, 0x11f706caeda5741e},
	} {
		if got := digest([]byte(test.payload)); got != test.want {
			t.Errorf("digest of %q is %#x, want %#x", test.payload, got, test.want)
		}
	}
	if got, want := digest(nil), hapax.Digest(0x6e340b9cffb37a98); got != want {
		t.Errorf("digest of nil is %#x, want %#x", got, want)
	}
}

// All outcomes have a place in the tally.
func TestTallyHasAllOutcomes(t *testing.T) {
	n := hapax.Outcome(len(tally{}.outcomes))
	if last := (n - 1).String(); last == fmt.Sprintf("Outcome(%d)", n-1) {
		t.Errorf("%v is no outcome", last)
	}
	if next := n.String(); next != fmt.Sprintf("Outcome(%d)", n) {
		t.Errorf("%v is not counted", next)
	}
}

// Whatever a message holds, naming it is an identity or an error, and a digest.
func FuzzName(f *testing.F) {
	for _, spec := range []string{"header:id", "json:id", "sequence:p,n", ByPosition, "content"} {
		f.Add(spec, "id", "1", []byte(`{"id":1,"p":"a","n":7}`), "t/0", int64(7), uint8(0))
		f.Add(spec, "id", "", []byte(nil), "", int64(-1), uint8(identity.PassOnMissing))
	}
	f.Fuzz(func(t *testing.T, spec, header, value string, payload []byte, source string, offset int64, missing uint8) {
		o := Options{Name: "n", Identity: spec, Window: Forever, Missing: identity.MissingPolicy(missing % 3)}
		if o.validate(Transacted) != nil {
			return
		}
		n, err := newNaming(&o)
		if err != nil {
			return
		}
		m := &hapax.Message{
			Headers: []hapax.Header{{Name: header, Value: []byte(value)}}, Value: payload,
			Position: hapax.Position{Source: source, Offset: offset},
		}
		known, err := n.of("n", m)
		switch {
		case err == nil && len(known.identity) == 0 && o.Missing != identity.PassOnMissing:
			t.Errorf("no identity, and no error")
		case err == nil && n.numbers() && len(known.identity) > 0 && known.lane.of == "":
			t.Errorf("a numbered message in no lane")
		}
		if again, _ := n.of("n", m); again.key != known.key || again.digest != known.digest || again.lane != known.lane {
			t.Errorf("named %v, then %v", known, again)
		}
		if digest(payload) == 0 {
			t.Error("digest zero")
		}
	})
}
