package broker

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/hapaxmq/hapax/broker/code"
	"github.com/hapaxmq/hapax/broker/scram"
)

// The keys of the requests that somebody may send who has not logged in, with
// ApiVersions.
const (
	keySASLHandshake    = 17
	keySASLAuthenticate = 36
)

// plainMechanism is the mechanism by which a client sends the password itself (RFC 4616).
const plainMechanism = "PLAIN"

// mechanisms are all that there are.
func mechanisms() []string {
	all := []string{plainMechanism}
	for _, m := range scram.Mechanisms() {
		all = append(all, m.String())
	}
	return all
}

// login is how far a connection has come with logging in. Its steps are
//
//	SaslHandshake        names the mechanism
//	SaslAuthenticate     once for PLAIN, twice for SCRAM; after version 0 of the
//	                     handshake the same tokens come without a request around them
//
// and again, if connections.max.reauth.ms says so, before that time is over
// (KIP-368), as the same user.
type login struct {
	users    *users
	settings *settings
	now      func() time.Time

	mechanism string          // of the handshake; "" before it
	bare      bool            // tokens come as they are
	exchange  *scram.Exchange // waits for a proof

	tried string    // who wants to log in, for the operator
	user  string    // who has logged in
	by    string    // the mechanism
	ends  time.Time // when that must be done again; zero is never
}

// done tells whether somebody has logged in.
func (l *login) done() bool { return l == nil || l.user != "" }

// maxFrame is how long a request may be: shorter before login.
func (l *login) maxFrame(s *settings) int {
	if !l.done() {
		return min(s.maxToken, s.maxRequest)
	}
	return s.maxRequest
}

// admits tells whether a request may be sent now.
func (l *login) admits(key int16) error {
	switch {
	case l == nil || key == keyAPIVersions || key == keySASLHandshake || key == keySASLAuthenticate:
		return nil
	case l.user == "":
		return fmt.Errorf("%w: key %d before login: the listener wants SASL", errFrame, key)
	case !l.ends.IsZero() && l.now().After(l.ends):
		return fmt.Errorf("user %q has not logged in again within connections.max.reauth.ms", l.user)
	}
	return nil
}

// begin is the handshake.
func (l *login) begin(mechanism string, bare bool) error {
	if l == nil {
		return refuse(code.IllegalSASLState, "the listener wants no SASL")
	}
	l.mechanism, l.exchange, l.bare = "", nil, false
	if bare && l.user != "" {
		return refuse(code.IllegalSASLState, "who logs in again does so by version 1 of the handshake")
	}
	if !slices.Contains(l.settings.mechanisms, mechanism) {
		return refuse(code.UnsupportedSASLMechanism, "%.80q is none of the mechanisms %s", mechanism, strings.Join(l.settings.mechanisms, ", "))
	}
	l.mechanism, l.bare = strings.Clone(mechanism), bare
	return nil
}

// step takes a client's token and answers it. After an error the connection is
// over.
func (l *login) step(ctx context.Context, token []byte) (reply []byte, err error) {
	switch {
	case l == nil || l.mechanism == "":
		return nil, refuse(code.IllegalSASLState, "SaslHandshake names a mechanism first")
	case l.mechanism == plainMechanism:
		name, password, err := readPlain(token)
		l.tried = name
		if err == nil && !l.users.fits(ctx, name, password) {
			err = scram.ErrProof
		}
		if err != nil {
			return nil, l.failed(err)
		}
		return []byte{}, l.enter(name)
	case l.exchange == nil:
		opening, err := scram.Open(token)
		if err != nil {
			return nil, l.failed(err)
		}
		l.tried = opening.User
		l.exchange, reply = opening.Challenge(l.scram(), l.users.credential(l.scram(), opening.User), rand.Text())
		return reply, nil
	}
	name := l.exchange.User()
	if reply, err = l.exchange.Finish(token); err != nil {
		return nil, l.failed(err)
	}
	return reply, l.enter(name)
}

// scram is the mechanism of the handshake, which is one of SCRAM's.
func (l *login) scram() scram.Mechanism {
	if l.mechanism == scram.SHA512.String() {
		return scram.SHA512
	}
	return scram.SHA256
}

func (l *login) failed(err error) error {
	return refuse(code.SASLAuthenticationFailed, "login by %s: %v", l.mechanism, err)
}

// enter lets a user in, or go on.
func (l *login) enter(name string) error {
	if l.user != "" && (l.user != name || l.by != l.mechanism) {
		return refuse(code.SASLAuthenticationFailed, "user %q logged in by %s, and now comes as %q by %s", l.user, l.by, name, l.mechanism)
	}
	l.user, l.by = name, l.mechanism
	l.mechanism, l.exchange, l.bare = "", nil, false
	if l.settings.maxReauth > 0 {
		l.ends = l.now().Add(l.settings.maxReauth)
	}
	return nil
}

// lifetime is for how long the user may stay, in ms; 0 is for good.
func (l *login) lifetime() int64 {
	if l.mechanism != "" { // it is not over
		return 0
	}
	return l.settings.maxReauth.Milliseconds()
}

// readPlain takes a token of PLAIN apart: [whom to act for] NUL user NUL password.
func readPlain(token []byte) (name, password string, err error) {
	parts := bytes.Split(token, []byte{0})
	switch {
	case len(parts) != 3 || len(parts[1]) == 0 || len(parts[2]) == 0:
		return "", "", errors.New("want a user name and a password, each behind a zero byte")
	case len(parts[0]) > 0 && !bytes.Equal(parts[0], parts[1]):
		return "", "", errors.New("nobody may act for another")
	}
	return string(parts[1]), string(parts[2]), nil
}

// logIn takes a token. A connection that fails to log in is answered after a
// while, so that passwords cannot be tried quickly, and then over.
func logIn(ctx context.Context, c *conn, token []byte) ([]byte, error) {
	reply, err := c.login.step(ctx, token)
	switch {
	case err != nil:
		c.b.counters.loginsFailed.Add(1)
		if c.over = err; c.login != nil {
			c.over = fmt.Errorf("user %.80q: %w", c.login.tried, err)
		}
		select {
		case <-time.After(c.b.settings.failedLoginDelay):
		case <-ctx.Done():
		}
	case c.login.mechanism == "": // it is over
		c.b.counters.logins.Add(1)
		c.patience.loggedIn()
	}
	return reply, err
}

// readToken reads and answers a token that comes without a request around it, as
// after version 0 of the handshake. A failure has no answer.
func readToken(ctx context.Context, c *conn, in *intake) error {
	defer in.done()
	token, err := in.token(ctx, c.login.maxFrame(&c.b.settings))
	if err != nil {
		return err
	}
	reply, err := logIn(ctx, c, token)
	if err != nil {
		return c.over
	}
	_, err = c.net.Write(appendSized(nil, reply))
	return err
}
