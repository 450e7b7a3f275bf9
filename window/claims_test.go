package window

import (
	"errors"
	"maps"
	"testing"

	"pgregory.net/rapid"

	"github.com/hapaxmq/hapax"
)

func TestClaimsTokensRise(t *testing.T) {
	c := NewClaims(3, 41)
	last := uint64(41)
	for i := range byte(3) {
		h, err := c.Take(hapax.Fingerprint{i}, 0, 10)
		if err != nil || h.Token <= last {
			t.Fatalf("token %d after %d, %v", h.Token, last, err)
		}
		last = h.Token
	}
	if _, err := c.Take(hapax.Fingerprint{9}, 0, 10); !errors.Is(err, ErrTooMany) || c.Token() != last || c.Len() != 3 {
		t.Errorf("a fourth of three: %v", err)
	}
	c.Drop(hapax.Fingerprint{1})
	c.SkipTo(100)
	c.SkipTo(7)
	if h, err := c.Take(hapax.Fingerprint{1}, 0, 10); err != nil || h.Token != 101 {
		t.Errorf("token %d, %v", h.Token, err)
	}
	c.Put(hapax.Fingerprint{1}, Held{Token: 500, Deadline: 20})
	if c.Token() != 500 {
		t.Errorf("last token %d", c.Token())
	}
}

// At its deadline a lease is over.
func TestClaimsEdge(t *testing.T) {
	c := NewClaims(3, 0)
	f := hapax.Fingerprint{1}
	h, err := c.Take(f, 7, 1000)
	if err != nil {
		t.Fatal(err)
	}
	if got, ok := c.Get(f, 999); !ok || got != h || got.Digest != 7 {
		t.Error("it is not held before its deadline")
	}
	if _, ok := c.Get(f, 1000); ok {
		t.Error("it is held at its deadline")
	}
	c.Expire(999, func(hapax.Fingerprint) { t.Error("it expired before its deadline") })
	gone := 0
	c.Expire(1000, func(hapax.Fingerprint) { gone++ })
	c.Expire(1000, func(hapax.Fingerprint) { gone++ })
	if gone != 1 || c.Len() != 0 {
		t.Errorf("%d expired, %d left", gone, c.Len())
	}
}

// Leases extended and claims dropped without end leave nothing behind.
func TestClaimsStaySmall(t *testing.T) {
	c := NewClaims(100, 0)
	for i := range 100_000 {
		f := hapax.Fingerprint{byte(i % 10)}
		h, ok := c.Get(f, 0)
		switch {
		case !ok:
			var err error
			if h, err = c.Take(f, 0, 1<<40); err != nil {
				t.Fatal(err)
			}
		case i%7 == 0:
			c.Drop(f)
			continue
		}
		h.Deadline++
		c.Put(f, h)
		if n := len(c.deadline); n > 2*c.Len()+65 {
			t.Fatalf("%d deadlines of %d claims", n, c.Len())
		}
	}
}

// The claims agree with a map.
func TestClaimsProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const most = 5
		c, model := NewClaims(most, 0), map[hapax.Fingerprint]Held{}
		now, last := int64(0), uint64(0)
		for range rapid.IntRange(1, 300).Draw(t, "steps") {
			f := hapax.Fingerprint{rapid.ByteRange(0, 8).Draw(t, "key")}
			deadline := now + rapid.Int64Range(1, 50).Draw(t, "lease")
			held, live := c.Get(f, now)
			if want, ok := model[f]; live != (ok && now < want.Deadline) || live && held != want {
				t.Fatalf("got %+v %v, want %+v", held, live, want)
			}
			switch rapid.IntRange(0, 4).Draw(t, "step") {
			case 0:
				if live {
					held.Deadline = max(held.Deadline, deadline)
					c.Put(f, held)
					model[f] = held
					break
				}
				h, err := c.Take(f, 0, deadline)
				if full := len(model) >= most; full != errors.Is(err, ErrTooMany) {
					t.Fatalf("%d claims: %v", len(model), err)
				}
				if err == nil {
					if h.Token <= last {
						t.Fatalf("token %d after %d", h.Token, last)
					}
					last, model[f] = h.Token, h
				}
			case 1:
				c.Drop(f)
				delete(model, f)
			case 2:
				now += rapid.Int64Range(0, 40).Draw(t, "time")
			default:
				expireBoth(t, c, model, now)
			}
		}
		if got := maps.Collect(c.All); !maps.Equal(got, model) {
			t.Fatalf("all: %v, want %v", got, model)
		}
	})
}

func expireBoth(t *rapid.T, c *Claims, model map[hapax.Fingerprint]Held, now int64) {
	c.Expire(now, func(f hapax.Fingerprint) {
		if h, ok := model[f]; !ok || now < h.Deadline {
			t.Fatalf("%v expired at %d: %+v", f, now, h)
		}
		delete(model, f)
	})
	for f, h := range model {
		if h.Deadline <= now {
			t.Fatalf("%v is left at %d: %+v", f, now, h)
		}
	}
}
