// Package scram is the server's side of SCRAM (RFC 5802, RFC 7677): a client proves
// that it knows a password which the server does not know, nor learns.
//
//	client                                  server
//	n,,n=alice,r=NONCE             ──▶      Open
//	                               ◀──      Challenge: r=NONCE…,s=SALT,i=ITERATIONS
//	c=biws,r=NONCE…,p=PROOF        ──▶      Finish
//	                               ◀──      v=SIGNATURE
//
// It is pure: nonces and salts come from its caller. There is no channel binding,
// and names and passwords are taken as the bytes that they are, as Kafka does.
package scram

import (
	"bytes"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"hash"
	"strconv"
	"strings"
)

// Mechanism is a SCRAM mechanism, by the number that Kafka's requests have for it.
type Mechanism int8

// The mechanisms.
const (
	SHA256 Mechanism = 1
	SHA512 Mechanism = 2
)

// Mechanisms are all of them.
func Mechanisms() []Mechanism { return []Mechanism{SHA256, SHA512} }

// String is the mechanism's name in SASL.
func (m Mechanism) String() string {
	switch m {
	case SHA256:
		return "SCRAM-SHA-256"
	case SHA512:
		return "SCRAM-SHA-512"
	}
	return fmt.Sprintf("mechanism %d", int8(m))
}

// Known tells whether it is one of [Mechanisms].
func (m Mechanism) Known() bool { return m == SHA256 || m == SHA512 }

// Size is how many bytes a key has.
func (m Mechanism) Size() int { return m.hash()().Size() }

func (m Mechanism) hash() func() hash.Hash {
	if m == SHA512 {
		return sha512.New
	}
	return sha256.New
}

func (m Mechanism) mac(key []byte, parts ...string) []byte {
	h := hmac.New(m.hash(), key)
	for _, p := range parts {
		_, _ = h.Write([]byte(p)) // it never fails
	}
	return h.Sum(nil)
}

func (m Mechanism) sum(b []byte) []byte {
	h := m.hash()()
	_, _ = h.Write(b) // it never fails
	return h.Sum(nil)
}

// How often a password is hashed: fewer times are too easy to try, more take the
// server's time. Both are Kafka's.
const (
	MinIterations = 4096
	MaxIterations = 16384
)

// Credential is what a server keeps of a password. It does not let anybody in who
// has it, but passwords can be tried against it.
type Credential struct {
	Iterations int
	Salt       []byte
	StoredKey  []byte
	ServerKey  []byte
}

// New makes the credential of a password.
func New(m Mechanism, password string, salt []byte, iterations int) Credential {
	salted, err := pbkdf2.Key(m.hash(), password, salt, iterations, m.Size())
	if err != nil {
		salted = nil // of keys and salts that FIPS 140 does not allow: no proof fits
	}
	return Salted(m, salted, salt, iterations)
}

// Salted makes the credential of a password that was salted and hashed elsewhere.
func Salted(m Mechanism, salted, salt []byte, iterations int) Credential {
	return Credential{
		Iterations: iterations,
		Salt:       bytes.Clone(salt),
		StoredKey:  m.sum(m.mac(salted, "Client Key")),
		ServerKey:  m.mac(salted, "Server Key"),
	}
}

// Nobody makes a credential that no password fits, always the same of a name and a
// secret: who asks for names learns nothing.
func Nobody(m Mechanism, secret []byte, name string) Credential {
	return Credential{
		Iterations: MinIterations,
		Salt:       m.mac(secret, "salt", name)[:16],
		StoredKey:  m.mac(secret, "stored", name),
		ServerKey:  m.mac(secret, "server", name),
	}
}

// Fits tells whether a password is the credential's. It takes the time of
// Iterations hashes.
func (c *Credential) Fits(m Mechanism, password string) bool {
	tried := New(m, password, c.Salt, c.Iterations)
	return subtle.ConstantTimeCompare(tried.StoredKey, c.StoredKey) == 1
}

// Why an exchange fails.
var (
	ErrMessage = errors.New("not a SCRAM message")
	ErrProof   = errors.New("wrong user name or password")
)

// Opening is a client's first message.
type Opening struct {
	User  string
	gs2   string // what it says of channels and whom it acts for
	bare  string // the rest
	nonce string
}

// Open reads a client's first message.
func Open(message []byte) (o Opening, err error) {
	// gs2-cbind-flag "," [ "a=" authzid ] "," "n=" name ",r=" nonce [ "," extensions ]
	parts := strings.SplitN(string(message), ",", 3)
	if len(parts) < 3 || parts[0] != "n" && parts[0] != "y" {
		return o, fmt.Errorf("%w: it does not begin with n,, (there is no channel binding)", ErrMessage)
	}
	o.gs2, o.bare = parts[0]+","+parts[1]+",", parts[2]
	attributes := strings.Split(o.bare, ",")
	name, named := strings.CutPrefix(attributes[0], "n=")
	if !named || len(attributes) < 2 { // "m=" is for extensions that must be known
		return o, fmt.Errorf("%w: want n=NAME,r=NONCE", ErrMessage)
	}
	nonce, ok := strings.CutPrefix(attributes[1], "r=")
	if o.nonce = nonce; !ok || nonce == "" || !printable(nonce) {
		return o, fmt.Errorf("%w: want r=NONCE behind the name", ErrMessage)
	}
	if o.User, err = readName(name); err != nil {
		return o, err
	}
	for _, extension := range attributes[2:] {
		if strings.HasPrefix(extension, "tokenauth=") {
			return o, fmt.Errorf("%w: there are no delegation tokens", ErrMessage)
		}
	}
	if parts[1] == "" {
		return o, nil
	}
	other, ok := strings.CutPrefix(parts[1], "a=")
	if as, err := readName(other); !ok || err != nil || as != o.User {
		return o, fmt.Errorf("%w: %s may not act for another", ErrMessage, o.User)
	}
	return o, nil
}

// readName undoes the escapes of a name, of which "=" and "," are written so.
func readName(s string) (string, error) {
	var b strings.Builder
	for {
		plain, escaped, found := strings.Cut(s, "=")
		b.WriteString(plain)
		switch {
		case !found:
			if b.Len() == 0 {
				return "", fmt.Errorf("%w: no name", ErrMessage)
			}
			return b.String(), nil
		case strings.HasPrefix(escaped, "2C"):
			b.WriteByte(',')
		case strings.HasPrefix(escaped, "3D"):
			b.WriteByte('=')
		default:
			return "", fmt.Errorf("%w: a name with = in it that is not =2C or =3D", ErrMessage)
		}
		s = escaped[2:]
	}
}

func printable(s string) bool {
	for i := range len(s) {
		if s[i] < 0x21 || s[i] > 0x7e {
			return false
		}
	}
	return true
}

// Exchange waits for a client's proof.
type Exchange struct {
	mechanism  Mechanism
	credential Credential
	opening    Opening
	nonce      string // both sides'
	challenge  string
}

// Challenge answers an opening, with the user's credential and a nonce: printable,
// without commas, and never used before.
func (o Opening) Challenge(m Mechanism, c Credential, nonce string) (*Exchange, []byte) {
	x := &Exchange{mechanism: m, credential: c, opening: o, nonce: o.nonce + nonce}
	x.challenge = "r=" + x.nonce + ",s=" + base64.StdEncoding.EncodeToString(c.Salt) + ",i=" + strconv.Itoa(c.Iterations)
	return x, []byte(x.challenge)
}

// User is whose proof it waits for.
func (x *Exchange) User() string { return x.opening.User }

// Finish checks the proof, and answers with the server's own. An exchange is for
// one proof.
func (x *Exchange) Finish(message []byte) ([]byte, error) {
	// "c=" base64 of gs2 ",r=" nonce [ "," extensions ] ",p=" base64 of proof
	text := string(message)
	at := strings.LastIndex(text, ",p=")
	if at < 0 {
		return nil, fmt.Errorf("%w: no proof", ErrMessage)
	}
	unproven, proof := text[:at], text[at+len(",p="):]
	attributes := strings.Split(unproven, ",")
	if attributes[0] != "c="+base64.StdEncoding.EncodeToString([]byte(x.opening.gs2)) {
		return nil, fmt.Errorf("%w: it is about another channel", ErrMessage)
	}
	// librdkafka before 2.6.1 says its own nonce twice (its pull request 4895), which
	// takes nothing from the proof: the server's is in it.
	if len(attributes) < 2 || attributes[1] != "r="+x.nonce && attributes[1] != "r="+x.opening.nonce+x.nonce {
		return nil, fmt.Errorf("%w: another nonce", ErrMessage)
	}
	signed := x.opening.bare + "," + x.challenge + "," + unproven
	signature := x.mechanism.mac(x.credential.StoredKey, signed)
	key, err := base64.StdEncoding.DecodeString(proof)
	if err != nil || len(key) != len(signature) {
		return nil, fmt.Errorf("%w: the proof is no key", ErrMessage)
	}
	subtle.XORBytes(key, key, signature)
	if subtle.ConstantTimeCompare(x.mechanism.sum(key), x.credential.StoredKey) != 1 {
		return nil, ErrProof
	}
	return []byte("v=" + base64.StdEncoding.EncodeToString(x.mechanism.mac(x.credential.ServerKey, signed))), nil
}
