package broker

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync"

	"github.com/hapaxmq/hapax/broker/code"
	"github.com/hapaxmq/hapax/broker/partition"
	"github.com/hapaxmq/hapax/broker/scram"
	"github.com/hapaxmq/hapax/internal/wal"
)

// Limits on users.
const (
	maxUsers    = 10_000
	maxUserName = 249 // bytes
	maxSalt     = 256 // bytes
)

// users are those who may log in, with what is kept of their passwords. They are in
// the node's log. Its lock is a leaf, but for the log's.
type users struct {
	log   *partition.Log
	sync  func(end int64) error
	ask   [32]byte      // the secret that nobody's credentials are made of
	check chan struct{} // holds those who hash a password, which takes a processor

	mu  sync.RWMutex
	all map[string]credentials
}

// credentials are a user's, by mechanism. They are never changed, but replaced.
type credentials map[scram.Mechanism]scram.Credential

func newUsers(log *partition.Log) *users {
	us := &users{log: log, all: make(map[string]credentials), check: make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2))}
	_, _ = rand.Read(us.ask[:]) // it never fails
	return us
}

// SetPassword makes a user, or gives one another password, for all mechanisms. It
// is durable on return. With the password that the user has it changes nothing.
func (b *Broker) SetPassword(name, password string) error {
	if err := b.users.setPassword(name, password); err != nil {
		return fmt.Errorf("set the password of user %q: %w", name, err)
	}
	return nil
}

func (us *users) setPassword(name, password string) error {
	if password == "" {
		return refuse(code.UnacceptableCredential, "an empty password")
	}
	change := userChange{user: name}
	has := us.of(name)
	for _, m := range scram.Mechanisms() {
		if c, ok := has[m]; ok && c.Fits(m, password) {
			continue
		}
		salt := make([]byte, 16)
		_, _ = rand.Read(salt) // it never fails
		change.add(m, scram.New(m, password, salt, scram.MinIterations))
	}
	end, err := us.change(&change)
	if err != nil {
		return err
	}
	return us.sync(end)
}

// of are a user's credentials; none of somebody who is not known.
func (us *users) of(name string) credentials {
	us.mu.RLock()
	defer us.mu.RUnlock()
	return us.all[name]
}

// list is the names of all users, in order.
func (us *users) list() []string {
	us.mu.RLock()
	defer us.mu.RUnlock()
	return slices.Sorted(maps.Keys(us.all))
}

// credential is a user's for a mechanism. Somebody who is not known has one too,
// which nothing fits.
func (us *users) credential(m scram.Mechanism, name string) scram.Credential {
	if c, ok := us.of(name)[m]; ok {
		return c
	}
	return scram.Nobody(m, us.ask[:], name)
}

// fits tells whether a password is a user's. That takes a processor some
// milliseconds; only so many do it at once, so that others are served meanwhile.
func (us *users) fits(ctx context.Context, name, password string) bool {
	select {
	case us.check <- struct{}{}:
		defer func() { <-us.check }()
	case <-ctx.Done():
		return false
	}
	m, has := scram.SHA256, us.of(name)
	if _, ok := has[m]; !ok && len(has) > 0 {
		m = scram.SHA512
	}
	c := us.credential(m, name)
	return c.Fits(m, password)
}

// userChange is what becomes of a user's credentials, whole or not at all.
type userChange struct {
	user    string
	changes []credentialChange
}

// credentialChange is a credential that a user gets, or one that is taken away,
// which has no iterations.
type credentialChange struct {
	mechanism scram.Mechanism
	taken     bool
	scram.Credential
}

func (u *userChange) add(m scram.Mechanism, c scram.Credential) {
	u.changes = append(u.changes, credentialChange{mechanism: m, Credential: c})
}

// change carries a change out, if it is allowed. It is durable when the log is synced
// to end.
func (us *users) change(u *userChange) (end int64, err error) {
	us.log.Begin()
	defer us.log.End()
	us.mu.Lock()
	defer us.mu.Unlock()
	if err := us.allow(u); err != nil || len(u.changes) == 0 {
		return 0, err
	}
	at, err := us.log.Append(frameUser, u.encode())
	if err != nil {
		return 0, err
	}
	us.take(u)
	return at.End, nil
}

// allow refuses what no user and no credential may be.
func (us *users) allow(u *userChange) error {
	has := us.all[u.user]
	switch {
	case u.user == "" || len(u.user) > maxUserName || strings.ContainsFunc(u.user, control):
		return refuse(code.UnacceptableCredential, "a user's name has 1 to %d bytes, and no control characters", maxUserName)
	case has == nil && len(us.all) >= maxUsers:
		return refuse(code.UnacceptableCredential, "there are %d users, and no more can be", maxUsers)
	}
	seen := make(map[scram.Mechanism]bool)
	for i := range u.changes {
		c := &u.changes[i]
		_, known := has[c.mechanism]
		switch {
		case !c.mechanism.Known():
			return refuse(code.UnsupportedSASLMechanism, "%v is not known", c.mechanism)
		case seen[c.mechanism]:
			return refuse(code.DuplicateResource, "user %q is changed twice for %v", u.user, c.mechanism)
		case c.taken && !known:
			return refuse(code.ResourceNotFound, "user %q has no credential for %v", u.user, c.mechanism)
		case c.taken:
		case c.Iterations < scram.MinIterations || c.Iterations > scram.MaxIterations:
			return refuse(code.UnacceptableCredential, "%d iterations: want %d to %d", c.Iterations, scram.MinIterations, scram.MaxIterations)
		case len(c.Salt) == 0 || len(c.Salt) > maxSalt || len(c.StoredKey) != c.mechanism.Size():
			return refuse(code.UnacceptableCredential, "want a salt of 1 to %d bytes, and a salted password of %d", maxSalt, c.mechanism.Size())
		}
		seen[c.mechanism] = true
	}
	return nil
}

func control(r rune) bool { return r < 0x20 || r == 0x7f }

// take takes a change over.
func (us *users) take(u *userChange) {
	has := maps.Clone(us.all[u.user])
	if has == nil {
		has = make(credentials)
	}
	for _, c := range u.changes {
		if c.taken {
			delete(has, c.mechanism)
		} else {
			has[c.mechanism] = c.Credential
		}
	}
	if us.all[u.user] = has; len(has) == 0 {
		delete(us.all, u.user)
	}
}

func (us *users) snapshot(add wal.Add) error {
	for _, name := range us.list() {
		has := us.of(name)
		u := userChange{user: name}
		for _, m := range slices.Sorted(maps.Keys(has)) {
			u.add(m, has[m])
		}
		if err := add(frameUser, u.encode()); err != nil {
			return err
		}
	}
	return nil
}

func (us *users) replay(payload []byte) error {
	u, err := readUserChange(payload)
	if err == nil {
		us.mu.Lock()
		defer us.mu.Unlock()
		us.take(&u)
	}
	return err
}

func (u *userChange) encode() []byte {
	b := appendString(nil, u.user)
	b = binary.AppendUvarint(b, uint64(len(u.changes)))
	for i := range u.changes {
		c := &u.changes[i]
		b = binary.AppendUvarint(append(b, byte(c.mechanism)), uint64(c.Iterations))
		if c.taken {
			continue
		}
		for _, part := range [][]byte{c.Salt, c.StoredKey, c.ServerKey} {
			b = append(binary.AppendUvarint(b, uint64(len(part))), part...)
		}
	}
	return b
}

func readUserChange(b []byte) (u userChange, err error) {
	r := reader{b: b}
	u.user = r.string()
	for range r.uvarint(uint64(len(scram.Mechanisms()))) {
		var c credentialChange
		if m := r.bytes(1); len(m) > 0 {
			c.mechanism = scram.Mechanism(m[0])
		}
		c.Iterations = int(r.uvarint(scram.MaxIterations))
		if c.taken = c.Iterations == 0; !c.taken {
			c.Salt, c.StoredKey, c.ServerKey = []byte(r.string()), []byte(r.string()), []byte(r.string())
		}
		if !c.mechanism.Known() {
			r.fail()
		}
		u.changes = append(u.changes, c)
	}
	return u, r.end()
}
