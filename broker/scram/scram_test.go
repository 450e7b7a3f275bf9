package scram

import (
	"crypto/pbkdf2"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"strings"
	"testing"
)

// The example of RFC 7677, section 3.
const (
	exampleFirst     = "n,,n=user,r=rOprNGfwEbeRWgbNEkqO"
	exampleNonce     = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
	exampleChallenge = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
	exampleFinal     = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
	exampleSignature = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="
)

func exampleCredential(t testing.TB, password string) Credential {
	t.Helper()
	salt, err := base64.StdEncoding.DecodeString("W22ZaJ0SNY7soEsUEjb6gQ==")
	if err != nil {
		t.Fatal(err)
	}
	return New(SHA256, password, salt, 4096)
}

func example(t testing.TB, c Credential) *Exchange {
	t.Helper()
	o, err := Open([]byte(exampleFirst))
	if err != nil || o.User != "user" {
		t.Fatalf("%+v: %v", o, err)
	}
	x, challenge := o.Challenge(SHA256, c, exampleNonce)
	if string(challenge) != exampleChallenge {
		t.Errorf("challenge %s", challenge)
	}
	return x
}

func TestExample(t *testing.T) {
	if got, err := example(t, exampleCredential(t, "pencil")).Finish([]byte(exampleFinal)); err != nil || string(got) != exampleSignature {
		t.Errorf("%s: %v", got, err)
	}
	if got, err := example(t, exampleCredential(t, "pencils")).Finish([]byte(exampleFinal)); !errors.Is(err, ErrProof) || got != nil {
		t.Errorf("another password: %s: %v", got, err)
	}
}

func TestFinishRefuses(t *testing.T) {
	right := exampleCredential(t, "pencil")
	for name, test := range map[string]struct {
		from, to string
		want     error
	}{
		"another channel":     {"c=biws", "c=eSws", ErrMessage},
		"another nonce":       {"k0,p", "k1,p", ErrMessage},
		"no proof":            {",p=", ",q=", ErrMessage},
		"a proof that is not": {"dHzb", "dHz!", ErrMessage},
		"a short proof":       {"p=dHzbZapW", "p=", ErrMessage},
		"another proof":       {"dHzb", "dHzc", ErrProof},
		"more that is signed": {",p=", ",x=y,p=", ErrProof},
		"nothing but a proof": {"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0", "", ErrMessage},
	} {
		final := strings.Replace(exampleFinal, test.from, test.to, 1)
		if got, err := example(t, right).Finish([]byte(final)); !errors.Is(err, test.want) || got != nil {
			t.Errorf("%s: %s: %v", name, got, err)
		}
	}
}

func TestOpen(t *testing.T) {
	for message, want := range map[string]string{
		"n,,n=alice,r=x":                   "alice",
		"y,,n=alice,r=x":                   "alice",
		"n,a=alice,n=alice,r=x":            "alice",
		"n,,n=a=2Cb=3Dc,r=x":               "a,b=c",
		"n,,n=alice,r=x,other=thing":       "alice",
		"n,,n=alice,r=x,tokenauth=true":    "",
		"n,a=bob,n=alice,r=x":              "",
		"n,bob,n=alice,r=x":                "",
		"p=tls-unique,,n=alice,r=x":        "",
		"n,,m=mandatory,n=alice,r=x":       "",
		"n,,n=,r=x":                        "",
		"n,,n=a=2b,r=x":                    "",
		"n,,n=alice,r=":                    "",
		"n,,n=alice,r=with space":          "",
		"n,,n=alice":                       "",
		"n,":                               "",
		"":                                 "",
		"n,,r=x,n=alice":                   "",
		"\x00alice\x00a password of PLAIN": "",
	} {
		o, err := Open([]byte(message))
		if o.User != want && want != "" || (err == nil) != (want != "") || err != nil && !errors.Is(err, ErrMessage) {
			t.Errorf("%q: user %q: %v", message, o.User, err)
		}
	}
}

func TestCredential(t *testing.T) {
	for _, m := range Mechanisms() {
		c := New(m, "pencil", []byte("salt"), MinIterations)
		if !c.Fits(m, "pencil") || c.Fits(m, "Pencil") || c.Fits(m, "") {
			t.Errorf("%v: the wrong passwords fit", m)
		}
		if n := Nobody(m, []byte("secret"), "alice"); n.Fits(m, "pencil") || n.Fits(m, "") || len(n.StoredKey) != m.Size() {
			t.Errorf("%v: a password fits nobody: %+v", m, n)
		}
	}
}

// Older librdkafka says its own nonce twice.
func TestNonceTwice(t *testing.T) {
	c := exampleCredential(t, "pencil")
	x := example(t, c)
	unproven := "c=biws,r=" + x.opening.nonce + x.nonce
	salted, err := pbkdf2.Key(sha256.New, "pencil", c.Salt, c.Iterations, SHA256.Size())
	if err != nil {
		t.Fatal(err)
	}
	key := SHA256.mac(salted, "Client Key")
	subtle.XORBytes(key, key, SHA256.mac(c.StoredKey, x.opening.bare+","+x.challenge+","+unproven))
	if _, err := x.Finish([]byte(unproven + ",p=" + base64.StdEncoding.EncodeToString(key))); err != nil {
		t.Error(err)
	}
}

// FuzzExchange sends what anybody may: only the one proof passes.
func FuzzExchange(f *testing.F) {
	right := exampleCredential(f, "pencil")
	f.Add([]byte(exampleFirst), []byte(exampleFinal))
	f.Add([]byte("y,a=a,n=a,r=b"), []byte("c=eSxhPWEs,r=b,p="))
	f.Fuzz(func(t *testing.T, first, final []byte) {
		if got, err := example(t, right).Finish(final); err == nil && string(final) != exampleFinal {
			t.Errorf("%q passes: %s", final, got)
		}
		o, err := Open(first)
		if err != nil {
			return
		}
		x, _ := o.Challenge(SHA512, Nobody(SHA512, []byte("secret"), o.User), "nonce")
		if got, err := x.Finish(final); err == nil {
			t.Errorf("nobody is let in by %q, %q: %s", first, final, got)
		}
	})
}
